/**
 * Races for unique values, and scans by index inside transactions: no value has two owners, index
 * and rows agree in every read, and no scan misses what it should have seen (phantoms).
 */
import { isHoldfastError } from '../../core/errors.ts'
import { strong, unique as uniqueIndex, unvalidated } from '../../table/schema.ts'
import { History } from '../check/history.ts'
import type { UniqueView } from '../check/unique.ts'
import type { Draw } from '../draw.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'
import { idsOf } from './ids.ts'
import { recorded } from './recorded.ts'
import { zipf } from './zipf.ts'

interface User {
  id: string
  name?: string
  team: string
  score: number
}

interface Seat {
  id: string
  room: string
}

const USERS = 8
const NAMES = 4
const TEAMS = 3
const ROOMS = ['a', 'b'] as const
const USER_KINDS = ['put', 'patch', 'take', 'delete', 'rename', 'view'] as const
const SEAT_KINDS = ['seat', 'seat', 'seat', 'leave', 'leave'] as const
const KINDS = [...USER_KINDS, ...SEAT_KINDS]
/** A room takes so many; whoever books counts the seats first, by index or by the range of keys. */
const SEATS = 3

export const unique: Workload = {
  name: 'unique',
  what: 'unique values have one owner, and scans by index in transactions see no phantoms',
  tables: {
    users: strong({
      row: unvalidated<User>(),
      key: 'id',
      indexes: { byName: uniqueIndex('name'), byTeam: 'team' },
    }),
    seats: strong({ row: unvalidated<Seat>(), key: 'id', indexes: { byRoom: 'room' } }),
  },
  sometimes: ['a unique value was taken', 'a room was full'],
  begin: (host) => new UniqueRun(host),
}

class UniqueRun implements WorkloadRun {
  readonly #host: WorkloadHost
  readonly #views: History<unknown, UniqueView | undefined>

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#views = new History(() => host.nowMs)
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const node = draw.pick(this.#host.nodes)
    const id = `u${zipf(draw, USERS)}`
    const name = `n${zipf(draw, NAMES)}`
    const user = { id, name, team: `t${draw.int(0, TEAMS - 1)}`, score: number }
    switch (draw.pick(KINDS)) {
      case 'put':
        return this.#tried(client, node, `put ${id} as ${name}`, (db) =>
          db.table('users').put(user),
        )
      case 'patch':
        return this.#tried(client, node, `move ${id} to ${user.team}`, (db) =>
          db.table('users').update(id, (row) => ({ ...row, team: user.team })),
        )
      case 'take':
        return this.#tried(client, node, `${id} takes ${name}`, (db) =>
          db.table('users').update(id, (row) => ({ ...row, name })),
        )
      case 'delete':
        return this.#tried(client, node, `delete ${id}`, (db) => db.table('users').delete(id))
      case 'rename':
        return this.#tried(client, node, `free ${id}, take ${name}`, (db) =>
          db.transact(async (tx) => {
            await tx.table('users').put({ id, team: user.team, score: number })
            await tx.table('users').put(user)
          }),
        )
      case 'seat':
        return this.#book(client, node, draw, number)
      case 'leave':
        return this.#leave(client, node, draw.pick(ROOMS))
      default:
        return this.#view(client, node)
    }
  }

  async #tried(
    client: WorkloadClient,
    node: WorkloadNode,
    text: string,
    work: (db: Parameters<Parameters<WorkloadNode['call']>[0]>[0]['db']) => Promise<unknown>,
  ): Promise<void> {
    await client.operation(text, node, async ({ db }) => {
      try {
        await work(db)
      } catch (cause) {
        if (!isHoldfastError(cause, 'UniqueViolation', 'NotFound')) throw cause
        if (cause.code === 'UniqueViolation') this.#host.sometimes('a unique value was taken')
      }
    })
  }

  /** Takes a seat if the room has one left: the count of those taken is the whole condition. */
  async #book(
    client: WorkloadClient,
    node: WorkloadNode,
    draw: Draw,
    number: number,
  ): Promise<void> {
    const room = draw.pick(ROOMS)
    // Short, so that what the log keeps of a key tells seats of a room apart.
    const id = `${room}/${client.name.slice('client-'.length)}.${number}`
    const where = draw.chance(0.5) ? { index: 'byRoom', eq: room } : { prefix: `${room}/` }
    // Whoever stops at a limit that was not reached has seen the end as well.
    const limit = draw.chance(0.5) ? { limit: SEATS } : {}
    const query = { ...where, ...limit, reverse: draw.chance(0.5) }
    await client.operation(`book ${id}`, node, async ({ db }) => {
      await db.transact(async (tx) => {
        const seats = tx.table('seats')
        const taken = await seats.query(query as never).toArray()
        if (taken.length < SEATS) await seats.put({ id, room })
        else this.#host.sometimes('a room was full')
      })
    })
  }

  async #leave(client: WorkloadClient, node: WorkloadNode, room: string): Promise<void> {
    await client.operation(`leave ${room}`, node, async ({ db }) => {
      await db.transact(async (tx) => {
        const seats = tx.table('seats')
        const [first] = await seats.query({ index: 'byRoom', eq: room } as never).toArray()
        if (first !== undefined) await seats.delete(first['id'] as string)
      })
    })
  }

  /** Rows and both indexes at one moment. */
  async #view(client: WorkloadClient, node: WorkloadNode): Promise<void> {
    await recorded(this.#views, client, node, { kind: 'view' }, 'view', async ({ db }) => {
      const output = await db.transact(async (tx) => {
        const users = tx.table('users')
        const rows = await users.query().toArray()
        const byName = await users.query({ index: 'byName' }).toArray()
        const byTeam = await users.query({ index: 'byTeam' }).toArray()
        const seats = await tx.table('seats').query().toArray()
        return { rows, byName, byTeam, seats }
      })
      const byRoom = new Map<string, number>()
      for (const { room } of output.seats as unknown as Seat[]) {
        byRoom.set(room, (byRoom.get(room) ?? 0) + 1)
      }
      for (const [room, count] of byRoom) {
        this.#host.check('phantom', count <= SEATS, `${room} has ${count} seats of ${SEATS}`, [
          room,
        ])
      }
      const [teams, ids] = [idsOf(output.byTeam), idsOf(output.rows)]
      this.#host.check('index:agrees', teams === ids, `rows ${ids}, by team ${teams}`)
      return {
        output: viewOf(output.rows as unknown as User[], output.byName as unknown as User[]),
      }
    })
  }

  /** When all is quiet, a value that no row has can be taken: no refusal outlives its reason. */
  async #takeFree(client: WorkloadClient, node: WorkloadNode): Promise<void> {
    await client.operation('take every free name', node, async ({ db }) => {
      const users = db.table('users')
      const rows = await users.query().toArray()
      const taken = new Set(rows.map((row) => row['name']))
      for (let i = 0; i < NAMES; i++) {
        const name = `n${i}`
        if (taken.has(name)) continue
        const isFree = await users.insert({ id: `last-${name}`, name, team: 't0', score: 0 }).then(
          () => true,
          (cause: unknown) => {
            if (!isHoldfastError(cause, 'UniqueViolation')) throw cause
            return false
          },
        )
        this.#host.check('unique:free-value-refused', isFree, `no row has ${name}`, [name])
      }
    })
  }

  async finish(): Promise<void> {
    const [first] = this.#host.nodes
    if (first !== undefined) await this.#host.clients(1, (client) => this.#takeFree(client, first))
    for (const node of this.#host.nodes) {
      await this.#host.clients(1, (client) => this.#view(client, node))
    }
    this.#host.examine({ by: 'unique', operations: this.#views.operations })
  }
}

function viewOf(rows: readonly User[], byName: readonly User[]): UniqueView {
  return {
    rows: rows.map(({ id, name }) =>
      name === undefined ? ([id] as const) : ([id, name] as const),
    ),
    index: byName.map(({ id, name }) => [name ?? '', id] as const),
  }
}
