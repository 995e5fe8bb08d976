/** Calls that are made again with their idempotency key until they are answered: each effect once. */
import { strong, unvalidated } from '../../table/schema.ts'
import { checkEffects, type EffectInput } from '../check/effects.ts'
import { History } from '../check/history.ts'
import type { SimClient, Simulation } from '../simulation.ts'
import type { SimulatedNode } from '../world.ts'
import type { Workload, WorkloadRun } from '../workload.ts'

interface Log {
  id: string
  entries: string[]
}

const KEYS = 4
const TRIES = 6
/** A call is given up long before its own deadline, as an impatient caller does. */
const PATIENCE_MS = 1_500

export const idempotency: Workload = {
  name: 'idempotency',
  what: 'a call that is retried with its idempotency key takes effect exactly once',
  tables: { logs: strong({ row: unvalidated<Log>(), key: 'id' }) },
  sometimes: ['a retried call was answered with its first outcome'],
  begin: (sim) => new IdempotencyRun(sim),
}

class IdempotencyRun implements WorkloadRun {
  readonly #sim: Simulation
  readonly #requests: History<EffectInput, undefined>

  constructor(sim: Simulation) {
    this.#sim = sim
    this.#requests = new History(() => sim.nowMs)
  }

  async operation(client: SimClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const key = `log-${draw.int(0, KEYS - 1)}`
    const id = `${client.name}/${number}`
    const call = this.#requests.call(client.name, { id, key })
    const how = draw.pick(['op', 'transaction', 'blind'] as const)
    let unknown = 0
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const node = draw.pick(this.#sim.nodes)
      const outcome = await client.operation(
        `append ${id} to ${key}, attempt ${attempt}`,
        node,
        (target) => append(target, key, id, how),
        { deadlineMs: PATIENCE_MS },
      )
      if (outcome.kind === 'ok') {
        if (unknown > 0) this.#sim.sometimes('a retried call was answered with its first outcome')
        return call.ok(undefined)
      }
      if (outcome.kind === 'unknown') unknown++
      await client.sleep(draw.fork(`wait-${attempt}`).exponential(400))
    }
    if (unknown === 0) call.failed()
    else call.unknown()
  }

  async finish(): Promise<void> {
    const [node] = this.#sim.nodes
    const rows = await node?.call(({ db }) => db.table('logs').query().toArray())
    const effects = (rows ?? []).flatMap((row) => row['entries'] as string[])
    this.#sim.judge(checkEffects(this.#requests.operations, effects, { order: 'process' }))
  }
}

async function append(
  { db }: SimulatedNode,
  key: string,
  id: string,
  how: 'op' | 'transaction' | 'blind',
): Promise<void> {
  const options = { idempotencyKey: id }
  const create = { id: key, entries: [] }
  if (how === 'op') {
    await db.table('logs').append(key, { entries: [id] }, { ...options, create })
    return
  }
  if (how === 'blind') {
    // It reads nothing: only the idempotency key stands between it and a second effect.
    await db.transact((tx) => {
      tx.table('logs').append(key, { entries: [id] }, { create })
    }, options)
    return
  }
  await db.transact(async (tx) => {
    const row = await tx.table('logs').get(key)
    const entries = (row?.['entries'] as string[] | undefined) ?? []
    await tx.table('logs').put({ id: key, entries: [...entries, id] })
  }, options)
}
