/** Registers, compare-and-set, answers that say no, and counters under a Zipf distribution: linearizable, key by key. */
import { isHoldfastError } from '../../core/errors.ts'
import { strong, unvalidated } from '../../table/schema.ts'
import { History } from '../check/history.ts'
import type { CounterInput } from '../check/models.ts'
import type { CasInput } from '../check/zones.ts'
import type { Draw } from '../draw.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'
import { recorded } from './recorded.ts'
import { zipf } from './zipf.ts'

interface Register {
  id: string
  value: number
}

const KEYS = 6
const READS = ['read', 'read', 'read', 'read', 'count'] as const
const WRITES = ['write', 'cas', 'cas', 'insert', 'swap', 'chain', 'remove'] as const
const COUNTS = ['add', 'add', 'bump'] as const
const KINDS = [...READS, ...WRITES, ...COUNTS]
/** Values are unique: the client's number times this, plus the number of the operation. */
const VALUES_OF_CLIENT = 100_000
/** Updates of a chain: all of one row, on one node, at once. */
const CHAIN = 3
const CHAIN_VALUES = 10_000
const THROW_SHARE = 0.2
const ABORT_SHARE = 0.15
/** In the mean, until an update that is aborted is. */
const ABORT_MS = 20

export const registers: Workload = {
  name: 'registers',
  what: 'reads, all kinds of writes, refusals and counters over few hot keys are linearizable',
  tables: {
    registers: strong({ row: unvalidated<Register>(), key: 'id' }),
    counters: strong({ row: unvalidated<Register>(), key: 'id' }),
  },
  begin: (host) => new RegistersRun(host),
}

interface Swap {
  readonly value: number
  /** Who does it, in the history: one thing after another. */
  readonly by: string
  readonly throws?: boolean
  readonly abortMs?: number | undefined
}

/** What an update throws on purpose. */
class Thrown extends Error {}

class RegistersRun implements WorkloadRun {
  readonly #host: WorkloadHost
  readonly #registers: History<CasInput, unknown>
  readonly #counters: History<CounterInput, number | undefined>
  /** What each client read or wrote last, by key: what its next compare-and-set expects. */
  readonly #known = new Map<string, number | undefined>()

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#registers = new History(() => host.nowMs)
    this.#counters = new History(() => host.nowMs)
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const key = `r${zipf(draw, KEYS)}`
    const node = draw.pick(this.#host.nodes)
    const value = Number(client.name.slice('client-'.length)) * VALUES_OF_CLIENT + number
    switch (draw.pick(KINDS)) {
      case 'read':
        return this.#read(client, node, key)
      case 'write':
        return this.#write(client, node, key, value)
      case 'cas':
        return this.#cas(client, node, key, value)
      case 'insert':
        return this.#insert(client, node, key, value)
      case 'swap':
        return this.#swap(client, node, key, { value, by: client.name })
      case 'chain':
        return this.#chain(client, node, key, value, draw)
      case 'remove':
        return this.#remove(client, node, key)
      case 'add':
        return this.#add(client, node, key, draw.int(1, 9))
      case 'bump':
        return this.#bump(client, node, key, draw.int(1, 9))
      case 'count':
        return this.#count(client, node, key)
    }
  }

  async #read(client: WorkloadClient, node: WorkloadNode, key: string): Promise<void> {
    const input = { kind: 'read', key } as const
    const text = `read ${key}`
    const outcome = await recorded(this.#registers, client, node, input, text, async ({ db }) => {
      const row = await db.table('registers').get(key)
      return { output: row?.['value'] }
    })
    if (outcome.kind === 'ok') this.#learn(client, key, outcome.value.output as number | undefined)
  }

  async #write(
    client: WorkloadClient,
    node: WorkloadNode,
    key: string,
    value: number,
  ): Promise<void> {
    const input = { kind: 'write', key, value } as const
    const text = `write ${key} = ${value}`
    const outcome = await recorded(this.#registers, client, node, input, text, async ({ db }) => {
      const { position } = await db.table('registers').put({ id: key, value })
      return { output: undefined, position }
    })
    if (outcome.kind === 'ok') this.#learn(client, key, value)
  }

  async #cas(
    client: WorkloadClient,
    node: WorkloadNode,
    key: string,
    value: number,
  ): Promise<void> {
    const expected = this.#known.get(`${client.name} ${key}`)
    const input = { kind: 'cas', key, expected, value } as const
    const text = `cas ${key} from ${expected} to ${value}`
    const outcome = await recorded(this.#registers, client, node, input, text, async ({ db }) => {
      const output = await db.transact(async (tx) => {
        const rows = tx.table('registers')
        const found = await rows.get(key)
        if (found?.['value'] !== expected) return false
        await rows.put({ id: key, value })
        return true
      })
      return { output }
    })
    if (outcome.kind === 'ok' && outcome.value.output === true) this.#learn(client, key, value)
  }

  /** As a compare-and-set whose expectation is that there is none. */
  async #insert(
    client: WorkloadClient,
    node: WorkloadNode,
    key: string,
    value: number,
  ): Promise<void> {
    const input = { kind: 'cas', key, expected: undefined, value } as const
    const text = `insert ${key} = ${value}`
    await recorded(this.#registers, client, node, input, text, async ({ db }) => {
      const insert = db.table('registers').insert({ id: key, value })
      return { output: await wasDone(insert, 'AlreadyExists') }
    })
  }

  /**
   * Replaces a value by one that tells which was there. When its function throws, it is a read; when
   * it is aborted, its answer says whether it may take place.
   */
  async #swap(client: WorkloadClient, node: WorkloadNode, key: string, swap: Swap): Promise<void> {
    const { value, by, throws = false, abortMs } = swap
    const input = throws
      ? ({ kind: 'read', key } as const)
      : ({ kind: 'swap', key, value } as const)
    const call = this.#registers.call(by, input)
    const text = throws ? `look at ${key}, and throw` : `swap ${key} for ${value}`
    const outcome = await client.operation(text, node, async ({ db }) => {
      let before: unknown
      const rows = db.table('registers')
      const signal = abortMs === undefined ? undefined : this.#abortIn(abortMs)
      const change = (row: Record<string, unknown>): Record<string, unknown> => {
        before = row['value']
        if (throws) throw new Thrown('thrown on purpose')
        return { ...row, value }
      }
      try {
        await rows.update(key, change as never, { signal })
        this.#host.check('update:throws', !throws, `an update of ${key} that threw was told done`)
        return before
      } catch (cause) {
        if (cause instanceof Thrown) return before
        if (isHoldfastError(cause, 'NotFound')) return undefined
        throw cause
      }
    })
    if (outcome.kind === 'ok') call.ok(outcome.value)
    else if (outcome.kind === 'failed') call.failed()
    else call.unknown()
  }

  /** Updates of one row at once, some of which throw or are aborted. */
  async #chain(
    client: WorkloadClient,
    node: WorkloadNode,
    key: string,
    value: number,
    draw: Draw,
  ): Promise<void> {
    const links = Array.from({ length: CHAIN }, (_, i): Swap => {
      const link = draw.fork(`link-${i}`)
      return {
        value: value + i * CHAIN_VALUES,
        by: `${client.name}.${i + 1}`,
        throws: link.chance(THROW_SHARE),
        // Whoever aborts may not learn what came of it: after healing everybody does.
        abortMs:
          !this.#host.isHealed && link.chance(ABORT_SHARE) ? link.exponential(ABORT_MS) : undefined,
      }
    })
    await Promise.all(links.map((link) => this.#swap(client, node, key, link)))
  }

  #abortIn(ms: number): AbortSignal {
    const controller = new AbortController()
    void this.#host.sleep(ms).then(() => controller.abort())
    return controller.signal
  }

  async #remove(client: WorkloadClient, node: WorkloadNode, key: string): Promise<void> {
    const input = { kind: 'remove', key } as const
    await recorded(this.#registers, client, node, input, `remove ${key}`, async ({ db }) => {
      const { existed } = await db.table('registers').delete(key)
      return { output: existed }
    })
  }

  async #add(client: WorkloadClient, node: WorkloadNode, key: string, by: number): Promise<void> {
    const input = { kind: 'add', key, by } as const
    const text = `add ${by} to ${key}`
    await recorded(this.#counters, client, node, input, text, async ({ db }) => {
      const create = { id: key, value: 0 }
      const rows = db.table('counters')
      const { row, position } = await rows.increment(key, { value: by }, { create })
      return { output: row['value'] as number, position }
    })
  }

  /** As `#add`, by a transaction that reads. */
  async #bump(client: WorkloadClient, node: WorkloadNode, key: string, by: number): Promise<void> {
    const input = { kind: 'add', key, by } as const
    const text = `read ${key}, add ${by}`
    await recorded(this.#counters, client, node, input, text, async ({ db }) => {
      const output = await db.transact(async (tx) => {
        const rows = tx.table('counters')
        const before = await rows.get(key)
        const value = ((before?.['value'] as number | undefined) ?? 0) + by
        await rows.put({ id: key, value })
        return value
      })
      return { output }
    })
  }

  async #count(client: WorkloadClient, node: WorkloadNode, key: string): Promise<void> {
    const input = { kind: 'read', key } as const
    await recorded(this.#counters, client, node, input, `count ${key}`, async ({ db }) => {
      const row = await db.table('counters').get(key)
      return { output: (row?.['value'] as number | undefined) ?? 0 }
    })
  }

  #learn(client: WorkloadClient, key: string, value: number | undefined): void {
    this.#known.set(`${client.name} ${key}`, value)
  }

  /** Every key is read on every node: what was written last must be there. */
  async finish(): Promise<void> {
    for (const node of this.#host.nodes) {
      await this.#host.clients(1, async (client) => {
        for (let key = 0; key < KEYS; key++) {
          await this.#read(client, node, `r${key}`)
          await this.#count(client, node, `r${key}`)
        }
      })
    }
    this.#host.examine({ by: 'cas-registers', operations: this.#registers.operations })
    this.#host.examine({ by: 'counters', operations: this.#counters.operations })
  }
}

/** False when it was refused with `code`, which is an answer as well. */
async function wasDone(
  work: Promise<unknown>,
  code: 'AlreadyExists' | 'NotFound',
): Promise<boolean> {
  try {
    await work
    return true
  } catch (cause) {
    if (isHoldfastError(cause, code)) return false
    throw cause
  }
}
