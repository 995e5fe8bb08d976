/**
 * Transfers between accounts (Jepsen's bank): in every read of all accounts the total is the same and
 * nobody is in debt; each acked transfer took place once, others at most once or not at all.
 */
import { HoldfastError } from '../../core/errors.ts'
import { strong, unvalidated } from '../../table/schema.ts'
import type { Balances } from '../check/bank.ts'
import type { EffectInput } from '../check/effects.ts'
import { History } from '../check/history.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadDatabase,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'
import { recorded } from './recorded.ts'
import { zipf } from './zipf.ts'

interface Account {
  id: string
  balance: bigint
}

interface Transfer {
  id: string
  amount: bigint
}

const ACCOUNTS = Array.from({ length: 6 }, (_, i) => `a${i}`)
const START = 40n
const READ_SHARE = 0.3
const SHORT = 'not enough money'

export const bank: Workload = {
  name: 'bank',
  what: 'transfers keep the total, and take place exactly once',
  tables: {
    accounts: strong({ row: unvalidated<Account>(), key: 'id' }),
    transfers: strong({ row: unvalidated<Transfer>(), key: 'id' }),
  },
  sometimes: ['a transfer was refused for lack of money'],
  begin: (host) => new BankRun(host),
}

class BankRun implements WorkloadRun {
  readonly #host: WorkloadHost
  readonly #reads: History<unknown, Balances | undefined>
  readonly #transfers: History<EffectInput, undefined>

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#reads = new History(() => host.nowMs)
    this.#transfers = new History(() => host.nowMs)
  }

  async setUp(): Promise<void> {
    const [node] = this.#host.nodes
    await node?.call(({ db }) =>
      db.transact(async (tx) => {
        for (const id of ACCOUNTS) await tx.table('accounts').put({ id, balance: START })
      }),
    )
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const node = draw.pick(this.#host.nodes)
    if (draw.chance(READ_SHARE)) return this.#read(client, node, draw.chance(0.5))
    const from = ACCOUNTS[zipf(draw, ACCOUNTS.length)] as string
    const to = draw.pick(ACCOUNTS.filter((id) => id !== from))
    const amount = BigInt(draw.int(1, 30))
    const id = `${client.name}/${number}`
    const text = `transfer ${id}: ${amount} from ${from} to ${to}`
    const call = this.#transfers.call(client.name, { id })
    let wasRefused = false
    const outcome = await client.operation(text, node, async ({ db }) => {
      try {
        await transfer(db, id, from, to, amount)
      } catch (cause) {
        if (!(cause instanceof Error) || cause.message !== SHORT) throw cause
        wasRefused = true
      }
    })
    if (wasRefused) this.#host.sometimes('a transfer was refused for lack of money')
    if (outcome.kind === 'failed' || (outcome.kind === 'ok' && wasRefused)) call.failed()
    else if (outcome.kind === 'ok') call.ok(undefined)
    else call.unknown()
  }

  /** In a transaction, or as a scan of its own: both are of one moment. */
  async #read(client: WorkloadClient, node: WorkloadNode, isScan: boolean): Promise<void> {
    const input = { kind: isScan ? 'scan' : 'read' }
    await recorded(this.#reads, client, node, input, `${input.kind} all`, async ({ db }) => {
      const rows = isScan
        ? await db.table('accounts').query().toArray()
        : await db.transact((tx) => tx.table('accounts').query().toArray())
      const output = Object.fromEntries(
        rows.map((row) => [row['id'] as string, Number(row['balance'])]),
      )
      return { output }
    })
  }

  async finish(): Promise<void> {
    for (const node of this.#host.nodes) {
      await this.#host.clients(1, async (client) => {
        await this.#read(client, node, true)
        await this.#read(client, node, false)
      })
    }
    const [node] = this.#host.nodes
    const ids = await node?.call(async ({ db }) => {
      const rows = await db.table('transfers').query().toArray()
      return rows.map((row) => row['id'] as string)
    })
    const total = Number(START) * ACCOUNTS.length
    const { operations } = this.#reads
    this.#host.examine({ by: 'bank', operations, accounts: ACCOUNTS, total })
    this.#host.examine({
      by: 'effects',
      operations: this.#transfers.operations,
      effects: ids,
      order: 'none',
    })
  }
}

async function transfer(
  db: WorkloadDatabase,
  id: string,
  from: string,
  to: string,
  amount: bigint,
): Promise<void> {
  await db.transact(async (tx) => {
    const accounts = tx.table('accounts')
    const [source, target] = [await accounts.get(from), await accounts.get(to)]
    if (source === undefined || target === undefined) {
      throw new HoldfastError('NotFound', `account ${from} or ${to} is missing`)
    }
    const left = (source['balance'] as bigint) - amount
    if (left < 0n) throw new Error(SHORT)
    await accounts.put({ id: from, balance: left })
    await accounts.put({ id: to, balance: (target['balance'] as bigint) + amount })
    await tx.table('transfers').insert({ id, amount })
  })
}
