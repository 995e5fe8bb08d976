/**
 * Transactions that append to lists and read them, and set registers (Elle's workload): strictly
 * serializable. Some only read, and some throw: what those saw must have been as well.
 */
import { LIMITS } from '../../core/limits.ts'
import type { Transaction as DatabaseTransaction } from '../../table/database.ts'
import { strong, unvalidated, type TableDefinitions } from '../../table/schema.ts'
import { History } from '../check/history.ts'
import type { Step, Unique } from '../check/transactions.ts'
import type { Draw } from '../draw.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadDatabase,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'
import { zipf } from './zipf.ts'

interface List {
  id: string
  values: number[]
}

interface Register {
  id: string
  value: number
}

type Tx = DatabaseTransaction<TableDefinitions>

const KEYS = 8
const STEPS_MAX = 4
const THROW_SHARE = 0.1
const READ_ONLY_SHARE = 0.3
const VALUES_OF_OPERATION = 10
/** Transactions that take their time: others write between their reads. */
const SLOW_SHARE = 0.3
/** In the mean, between two steps of such a one: less than others take, or more. */
const STEP_MS = [3, 40] as const
/** Of the slow ones, those that read more rows than a read set tells apart. */
const WIDE_SHARE = 0.1
const WIDE_KEYS = Array.from({ length: LIMITS.readSetEntries + 1 }, (_, i) => `none-${i}`)

export const listAppend: Workload = {
  name: 'list-append',
  what: 'transactions over lists and registers are strictly serializable, throwing ones included',
  tables: {
    lists: strong({ row: unvalidated<List>(), key: 'id' }),
    registers: strong({ row: unvalidated<Register>(), key: 'id' }),
  },
  sometimes: ['a transaction threw'],
  begin: (host) => new ListAppendRun(host),
}

interface Pace {
  /** Virtual milliseconds between two steps. */
  readonly stepMs: number
  readonly isWide: boolean
}

const AT_ONCE: Pace = { stepMs: 0, isWide: false }

/** What a transaction throws on purpose: it carries what was seen. */
class Thrown extends Error {
  readonly steps: readonly Step[]

  constructor(steps: readonly Step[]) {
    super('thrown on purpose')
    this.steps = steps
  }
}

class ListAppendRun implements WorkloadRun {
  readonly #host: WorkloadHost
  readonly #history: History<unknown, readonly Step[]>

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#history = new History(() => host.nowMs)
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const node = draw.pick(this.#host.nodes)
    const throws = draw.chance(THROW_SHARE)
    const isReadOnly = draw.chance(READ_ONLY_SHARE)
    const isSlow = draw.chance(SLOW_SHARE)
    const pace: Pace = {
      stepMs: isSlow ? draw.exponential(draw.pick(STEP_MS)) : 0,
      isWide: isSlow && draw.chance(WIDE_SHARE),
    }
    const base = (Number(client.name.slice('client-'.length)) * 1000 + number) * VALUES_OF_OPERATION
    const todo = Array.from({ length: draw.int(1, STEPS_MAX) }, (_, i) =>
      drawStep(draw.fork(`step-${i}`), base + i, isReadOnly),
    )
    await this.#run(client, node, todo, throws, pace)
  }

  async #run(
    client: WorkloadClient,
    node: WorkloadNode,
    todo: readonly Todo[],
    throws: boolean,
    { stepMs, isWide }: Pace = AT_ONCE,
  ): Promise<void> {
    const call = this.#history.call(client.name, { kind: 'transaction', throws })
    /** What is to be written: known even when nobody answers. */
    const writes = todo.flatMap(writeOf)
    const text = todo.map(({ kind, key, value }) => `${kind} ${key} ${value}`).join(', ')
    const outcome = await client.operation(text, node, async ({ db }) => {
      try {
        return await db.transact(async (tx) => {
          const steps: Step[] = []
          for (const [i, step] of todo.entries()) {
            if (i > 0 && stepMs > 0) await this.#host.sleep(stepMs)
            if (i === 1 && isWide) await tx.table('lists').getMany(WIDE_KEYS)
            await perform(tx, step, steps)
          }
          if (throws) throw new Thrown(steps)
          return steps
        })
      } catch (cause) {
        if (!(cause instanceof Thrown)) throw cause
        this.#host.sometimes('a transaction threw')
        // Nothing was written, and what it saw was so.
        return cause.steps.filter(({ kind }) => kind === 'read' || kind === 'get')
      }
    })
    if (outcome.kind === 'ok') call.ok(throws ? ownReads(outcome.value, writes) : outcome.value)
    else if (outcome.kind === 'failed' || throws) call.failed(writes)
    else call.unknown(writes)
  }

  async finish(): Promise<void> {
    const all = Array.from({ length: KEYS }, (_, i) => i)
    const todo = all.flatMap((i): Todo[] => [
      { kind: 'read', key: `l${i}`, value: 0 },
      { kind: 'get', key: `r${i}`, value: 0 },
    ])
    for (const node of this.#host.nodes) {
      await this.#host.clients(1, (client) => this.#run(client, node, todo, false))
    }
    this.#host.examine({ by: 'serializable', operations: this.#history.operations })
  }
}

interface Todo {
  readonly kind: 'read' | 'append' | 'get' | 'set'
  readonly key: string
  readonly value: number
}

function drawStep(draw: Draw, value: number, isReadOnly: boolean): Todo {
  const kinds = isReadOnly
    ? (['read', 'get'] as const)
    : (['read', 'append', 'append', 'get', 'set'] as const)
  const kind = draw.pick(kinds)
  const space = kind === 'read' || kind === 'append' ? 'l' : 'r'
  return { kind, key: `${space}${zipf(draw, KEYS)}`, value }
}

function writeOf({ kind, key, value }: Todo): Step[] {
  if (kind === 'append') return [{ kind, key, value }]
  return kind === 'set' ? [{ kind, key, value }] : []
}

/** Of a transaction that threw: its reads, without what it had written itself. */
function ownReads(steps: readonly Step[], writes: readonly Step[]): Step[] {
  const own = new Set<Unique>()
  for (const step of writes) {
    if (step.kind === 'append' || step.kind === 'set') own.add(step.value)
  }
  return steps.flatMap((step): Step[] => {
    if (step.kind === 'read') return [{ ...step, list: step.list.filter((v) => !own.has(v)) }]
    if (step.kind === 'get' && step.value !== null && own.has(step.value)) return []
    return [step]
  })
}

async function perform(tx: Tx, { kind, key, value }: Todo, steps: Step[]): Promise<void> {
  const lists = tx.table('lists')
  const registers = tx.table('registers')
  switch (kind) {
    case 'read':
      steps.push({ kind, key, list: valuesOf(await lists.get(key)) })
      return
    case 'append': {
      const values = valuesOf(await lists.get(key))
      steps.push({ kind: 'read', key, list: values })
      await lists.put({ id: key, values: [...values, value] })
      steps.push({ kind, key, value })
      return
    }
    case 'get': {
      const row = await registers.get(key)
      steps.push({ kind, key, value: (row?.['value'] as number | undefined) ?? null })
      return
    }
    case 'set': {
      const row = await registers.get(key)
      const before = (row?.['value'] as number | undefined) ?? null
      await registers.put({ id: key, value })
      steps.push({ kind, key, before, value })
    }
  }
}

function valuesOf(row: Awaited<ReturnType<AnyTableGet>>): number[] {
  return (row?.['values'] as number[] | undefined) ?? []
}

type AnyTableGet = ReturnType<WorkloadDatabase['table']>['get']
