/**
 * Every level and every form of reading (S6): sessions that move from node to node with their token
 * go back on nothing, reads with a bound are not staler than that, and by default all are linearizable.
 */
import type { ReadLevel, ReadOptions } from '../../table/handles.ts'
import { strong, unvalidated } from '../../table/schema.ts'
import { History, type Operation } from '../check/history.ts'
import type { SessionOperation } from '../check/sessions.ts'
import type { StalenessOperation } from '../check/staleness.ts'
import type { CasInput } from '../check/zones.ts'
import type { Draw } from '../draw.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadDatabase,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'
import { recorded } from './recorded.ts'

interface Register {
  id: string
  value: number
}

interface Mark {
  id: string
}

const KEYS = ['k0', 'k1', 'k2', 'k3'] as const
const MARKS = 3
const FORMS = ['get', 'getMany', 'query', 'first', 'page', 'transaction'] as const
/** Of a read, in milliseconds: some of the delays that there are are longer. */
const BOUND_MS = 5
const LEVELS: readonly ReadLevel[] = [
  'linearizable',
  'linearizable',
  'session',
  'session',
  'session',
  { maxStalenessMs: BOUND_MS },
  { maxStalenessMs: 100 },
]
/** A node's clock may run this much slower than others', and its bounds are by its own. */
const DRIFT = 1.2
const READ_BACK_SHARE = 0.5
const READ_AGAIN_SHARE = 0.5
const VALUES_OF_CLIENT = 100_000

interface ReadInput {
  readonly kind: 'read' | 'write'
  readonly key: string
  readonly value?: number
  readonly level?: ReadLevel
}

type Form = (typeof FORMS)[number]

export const sessions: Workload = {
  name: 'sessions',
  what: 'reads of every form are as fresh as their level says, on whatever node',
  tables: {
    registers: strong({ row: unvalidated<Register>(), key: 'id' }),
    marks: strong({ row: unvalidated<Mark>(), key: 'id' }),
  },
  sometimes: ['a session read waited for its token', 'a read was within its bound'],
  begin: (host) => new SessionsRun(host),
}

class SessionsRun implements WorkloadRun {
  readonly #host: WorkloadHost
  readonly #history: History<ReadInput, number | undefined>
  /** Whether there is a row. */
  readonly #marks: History<CasInput, unknown>
  /** What each session has come to. */
  readonly #tokens = new Map<string, string>()

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#history = new History(() => host.nowMs)
    this.#marks = new History(() => host.nowMs)
  }

  /** Each key is there, so that every form of reading meets it. */
  async setUp(): Promise<void> {
    const [node] = this.#host.nodes
    const calls = KEYS.map((key) => this.#history.call('set-up', { kind: 'write', key, value: 0 }))
    const results = await node.call(({ db }) =>
      db.table('registers').putMany(KEYS.map((id) => ({ id, value: 0 }))),
    )
    for (const [i, result] of results.entries()) {
      if (!result.ok) throw result.error
      calls[i]?.ok(undefined, { position: result.value.position })
    }
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const node = draw.pick(this.#host.nodes)
    const key = draw.pick(KEYS)
    const mark = `m${draw.int(0, MARKS - 1)}`
    const value = Number(client.name.slice('client-'.length)) * VALUES_OF_CLIENT + number
    switch (draw.pick(['read', 'read', 'read', 'write', 'write', 'mark', 'unmark', 'has', 'has'])) {
      case 'write':
        await this.#write(client, node, key, value)
        // At once, and mostly elsewhere: other nodes are hardly as far by then.
        if (draw.chance(READ_BACK_SHARE)) await this.#readBack(client, key, draw.fork('back'))
        return
      case 'mark':
        return this.#mark(client, node, mark)
      case 'unmark':
        return this.#unmark(client, node, mark)
      case 'has':
        return this.#has(client, node, mark, draw)
      default:
        await this.#read(client, node, key, draw)
        // Soon after another read it may be within its bound.
        if (draw.chance(READ_AGAIN_SHARE)) {
          await client.sleep(draw.exponential(BOUND_MS / 2))
          await this.#read(client, node, key, draw.fork('again'), { maxStalenessMs: BOUND_MS })
        }
        return
    }
  }

  async #write(
    client: WorkloadClient,
    node: WorkloadNode,
    key: string,
    value: number,
  ): Promise<void> {
    const input = { kind: 'write', key, value } as const
    await recorded(this.#history, client, node, input, `${key} = ${value}`, async ({ db }) => {
      const { position, token } = await db.table('registers').put({ id: key, value })
      this.#learn(client, token)
      return { output: undefined, position }
    })
  }

  #readBack(client: WorkloadClient, key: string, draw: Draw): Promise<void> {
    return this.#read(client, draw.pick(this.#host.nodes), key, draw, 'session')
  }

  async #read(
    client: WorkloadClient,
    node: WorkloadNode,
    key: string,
    draw: Draw,
    level = draw.pick(LEVELS),
  ): Promise<void> {
    const form = draw.pick(FORMS)
    const after = level === 'session' ? this.#tokens.get(client.name) : undefined
    const options: ReadOptions = after === undefined ? { level } : { level, after }
    const input = {
      kind: 'read',
      key,
      level: form === 'transaction' ? 'linearizable' : level,
    } as const
    const text = `${form} ${key} at ${JSON.stringify(level)}`
    const sinceMs = this.#host.nowMs
    await recorded(this.#history, client, node, input, text, async (target) => {
      const output = await look(target, form, key, options)
      this.#learn(client, target.db.token)
      if (after !== undefined && this.#host.nowMs > sinceMs)
        this.#host.sometimes('a session read waited for its token')
      if (typeof level === 'object' && this.#host.nowMs === sinceMs)
        this.#host.sometimes('a read was within its bound')
      return { output }
    })
  }

  async #mark(client: WorkloadClient, node: WorkloadNode, key: string): Promise<void> {
    const input = { kind: 'write', key, value: true } as const
    await recorded(this.#marks, client, node, input, `mark ${key}`, async ({ db }) => {
      const { token } = await db.table('marks').put({ id: key })
      this.#learn(client, token)
      return { output: undefined }
    })
  }

  async #unmark(client: WorkloadClient, node: WorkloadNode, key: string): Promise<void> {
    const input = { kind: 'remove', key } as const
    await recorded(this.#marks, client, node, input, `unmark ${key}`, async ({ db }) => {
      const { token, existed } = await db.table('marks').delete(key)
      this.#learn(client, token)
      return { output: existed }
    })
  }

  async #has(client: WorkloadClient, node: WorkloadNode, key: string, draw: Draw): Promise<void> {
    const counts = draw.chance(0.5)
    const input = { kind: 'read', key } as const
    const text = `${counts ? 'count' : 'has'} ${key}`
    await recorded(this.#marks, client, node, input, text, async ({ db }) => {
      const marks = db.table('marks')
      const isThere = counts ? (await marks.count({ eq: key })) === 1 : await marks.has(key)
      return { output: isThere ? true : undefined }
    })
  }

  /** The newest of the tokens that a session was given stands for all of them. */
  #learn(client: WorkloadClient, token: string | undefined): void {
    if (token === undefined) return
    const known = this.#tokens.get(client.name)
    if (known === undefined || positionOf(token) > positionOf(known))
      this.#tokens.set(client.name, token)
  }

  async finish(): Promise<void> {
    for (const node of this.#host.nodes) {
      await this.#host.clients(1, async (client) => {
        for (const key of KEYS) await this.#read(client, node, key, client.drawOf(`last-${key}`))
      })
    }
    const { operations } = this.#history
    const positions = new Map<unknown, number>()
    for (const { input, position } of operations) {
      if (input.kind === 'write' && position !== undefined)
        positions.set(`${input.key} ${input.value}`, position)
    }
    const seen = operations.map((operation) => {
      const { input, output } = operation
      if (input.kind === 'write') return operation
      return { ...operation, position: positions.get(`${input.key} ${output}`) }
    })
    const ofSessions = seen.filter(isOfSession) as SessionOperation[]
    this.#host.examine({ by: 'sessions', operations: ofSessions })
    this.#host.examine({ by: 'staleness', operations: seen.map(bounded) })
    const strict = operations.filter(
      ({ input: { kind, level } }) => kind === 'write' || level === 'linearizable',
    )
    this.#host.examine({
      by: 'cas-registers',
      operations: strict as Operation<CasInput, unknown>[],
    })
    this.#host.examine({ by: 'cas-registers', operations: this.#marks.operations })
  }
}

/** A read without its session's token promises a session nothing. */
function isOfSession({ input: { level } }: Operation<ReadInput>): boolean {
  return typeof level !== 'object'
}

function bounded(operation: Operation<ReadInput, unknown>): StalenessOperation {
  const { kind, key, level } = operation.input
  const maxStalenessMs = typeof level === 'object' ? level.maxStalenessMs * DRIFT : undefined
  return { ...operation, input: { kind, key, maxStalenessMs } }
}

const positionOf = (token: string): number => Number(token.split('.')[2] ?? 0)

/** The value of a key, by one of the ways to read it. */
async function look(
  { db }: { readonly db: WorkloadDatabase },
  form: Form,
  key: string,
  options: ReadOptions,
): Promise<number | undefined> {
  const registers = db.table('registers')
  const valueIn = (rows: readonly (Readonly<Record<string, unknown>> | undefined)[]): unknown =>
    rows.find((row) => row?.['id'] === key)?.['value']
  const value = await (async (): Promise<unknown> => {
    switch (form) {
      case 'get':
        return valueIn([await registers.get(key, options)])
      case 'getMany':
        return valueIn(await registers.getMany(KEYS, options))
      case 'query':
        return valueIn(await registers.query(options).toArray())
      case 'first':
        return valueIn([await registers.query({ ...options, gte: key }).first()])
      case 'page':
        return valueIn((await registers.query({ ...options, gte: key }).page({ limit: 1 })).rows)
      case 'transaction':
        return db.transact(async (tx) => valueIn(await tx.table('registers').getMany(KEYS)))
    }
  })()
  return value as number | undefined
}
