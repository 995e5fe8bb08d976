// The host by itself: workloads over a database that tells the truth, and over such that do not.
import { afterEach, describe, expect, it } from 'vitest'
import { open } from '../open.ts'
import type { Workload, WorkloadDatabase, WorkloadNode } from '../sim/workload.ts'
import { bank } from '../sim/workloads/bank.ts'
import { registers } from '../sim/workloads/registers.ts'
import { RealHost } from './real-host.ts'

const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((db) => db.close()))
})

type Change = (db: WorkloadDatabase) => WorkloadDatabase

/** Runs a workload over one database in memory, seen as `change` shows it. */
async function run(workload: Workload, change: Change = (db) => db): Promise<RealHost> {
  const db = await open({ memory: true, tables: workload.tables })
  opened.push(db)
  const seen = change(db)
  const node: WorkloadNode = { name: 'node-1', call: async (work) => work({ db: seen }) }
  const nowMs = (): number => performance.now()
  const told = { nowMs, onCase: () => undefined }
  const host = new RealHost({ workload, nodes: [node], seed: '1', firstClient: 1, ...told })
  const running = workload.begin(host)
  await running.setUp?.()
  await host.clients(3, async (client) => {
    for (let number = 1; number <= 60; number++) await running.operation(client, number)
  })
  host.isHealed = true
  await running.finish()
  return host
}

const withTable =
  (name: string, members: (table: object) => object): Change =>
  (db) => ({
    ...db,
    transact: db.transact.bind(db),
    table: (asked) => {
      const table = db.table(asked)
      if (asked !== name) return table
      return new Proxy(table, {
        get: (target, member) =>
          (members(target) as Record<string | symbol, unknown>)[member] ??
          (Reflect.get(target, member, target) as (() => unknown) | undefined)?.bind(target),
      })
    },
  })

describe('workloads over real databases', () => {
  it.each([registers, bank])('are clean where nothing is wrong: $name', async (workload) => {
    const { found, counts } = await run(workload)
    expect(found).toEqual([])
    expect(counts.acked).toBeGreaterThan(100)
    expect(counts.checks).toBeGreaterThan(0)
  })

  it('find a write that was acked and is lost', async () => {
    let puts = 0
    const losing = withTable('registers', (table) => {
      const rows = table as { put(row: object): Promise<unknown> }
      const ack = { position: 1, token: '', durability: 'fsynced' }
      return { put: (row: object) => (++puts % 4 === 0 ? ack : rows.put(row)) }
    })
    const { found } = await run(registers, losing)
    expect(found.map(({ property }) => property)).toContain('linearizability')
  })

  it('find money that comes from nowhere', async () => {
    let calls = 0
    const { found } = await run(bank, (db) => ({
      ...db,
      table: db.table.bind(db),
      transact: async (work, options) => {
        const value = await db.transact(work, options)
        if (++calls === 40) {
          await db.transact(async (tx) => {
            const accounts = tx.table('accounts')
            await accounts.put({ id: 'a0', balance: 1_000n })
          })
        }
        return value
      },
    }))
    expect(found.map(({ property }) => property)).toContain('bank:total')
  })
})
