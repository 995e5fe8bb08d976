/** Calls that are made again with their idempotency key until they are answered: each effect once. */
import { strong, unvalidated } from '../../table/schema.ts'
import type { EffectInput } from '../check/effects.ts'
import { History } from '../check/history.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadDatabase,
  WorkloadHost,
  WorkloadRun,
} from '../workload.ts'

interface Log {
  id: string
  entries: string[]
}

const KEYS = 4
const TRIES = 6
/** A call is given up long before its own deadline, as an impatient caller does. */
const PATIENCE_MS = 1_500
/** Transactions that take their time: others write between their reads and their end. */
const SLOW_SHARE = 0.3
/** In the mean, what such a one takes. */
const SLOW_MS = 5

export const idempotency: Workload = {
  name: 'idempotency',
  what: 'a call that is retried with its idempotency key takes effect exactly once',
  tables: { logs: strong({ row: unvalidated<Log>(), key: 'id' }) },
  sometimes: ['a retried call was answered with its first outcome'],
  begin: (host) => new IdempotencyRun(host),
}

class IdempotencyRun implements WorkloadRun {
  readonly #host: WorkloadHost
  readonly #requests: History<EffectInput, undefined>
  /** Where each entry stands in its log, as its call was told. */
  readonly #places = new Map<string, { readonly key: string; readonly place: number }>()

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#requests = new History(() => host.nowMs)
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const key = `log-${draw.int(0, KEYS - 1)}`
    const id = `${client.name}/${number}`
    const call = this.#requests.call(client.name, { id, key })
    const how = draw.pick(['op', 'transaction', 'blind'] as const)
    const slowMs = draw.chance(SLOW_SHARE) ? draw.exponential(SLOW_MS) : 0
    let unknown = 0
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const node = draw.pick(this.#host.nodes)
      const outcome = await client.operation(
        `append ${id} to ${key}, attempt ${attempt}`,
        node,
        (target) => append(target, key, id, how, () => this.#host.sleep(slowMs)),
        { deadlineMs: PATIENCE_MS },
      )
      if (outcome.kind === 'ok') {
        if (outcome.value !== undefined) this.#places.set(id, { key, place: outcome.value })
        if (unknown > 0) this.#host.sometimes('a retried call was answered with its first outcome')
        return call.ok(undefined)
      }
      if (outcome.kind === 'unknown') unknown++
      await client.sleep(draw.fork(`wait-${attempt}`).exponential(400))
    }
    if (unknown === 0) call.failed()
    else call.unknown()
  }

  async finish(): Promise<void> {
    const [node] = this.#host.nodes
    const rows = await node?.call(({ db }) => db.table('logs').query().toArray())
    const logs = new Map((rows ?? []).map((row) => [row['id'], row['entries'] as string[]]))
    for (const [id, { key, place }] of this.#places) {
      const found = logs.get(key)?.[place]
      this.#host.check('exactly-once:outcome', found === id, `${id} was told place ${place}`, [id])
    }
    const effects = (rows ?? []).flatMap((row) => row['entries'] as string[])
    const { operations } = this.#requests
    this.#host.examine({ by: 'effects', operations, effects, order: 'process' })
  }
}

/** Returns where the entry stands, when that is told. */
async function append(
  { db }: { readonly db: WorkloadDatabase },
  key: string,
  id: string,
  how: 'op' | 'transaction' | 'blind',
  pause: () => Promise<void>,
): Promise<number | undefined> {
  const options = { idempotencyKey: id }
  const create = { id: key, entries: [] }
  if (how === 'op') {
    const { row } = await db.table('logs').append(key, { entries: [id] }, { ...options, create })
    return (row['entries'] as string[]).length - 1
  }
  if (how === 'blind') {
    // It reads nothing: only the idempotency key stands between it and a second effect.
    await db.transact((tx) => {
      tx.table('logs').append(key, { entries: [id] }, { create })
    }, options)
    return undefined
  }
  return db.transact(async (tx) => {
    const row = await tx.table('logs').get(key)
    const entries = (row?.['entries'] as string[] | undefined) ?? []
    await pause()
    await tx.table('logs').put({ id: key, entries: [...entries, id] })
    return entries.length
  }, options)
}
