/**
 * Rows, keys and transactions near each limit: what is within comes back bit by bit, what is beyond
 * is refused by name with nothing applied.
 */
import { isHoldfastError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { strong, unvalidated } from '../../table/schema.ts'
import { History } from '../check/history.ts'
import type { RegisterInput } from '../check/zones.ts'
import type { Draw } from '../draw.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'
import { recorded } from './recorded.ts'

interface Blob {
  id: string
  bytes: Uint8Array
}

const KEYS = 4
/** What a row of this table has besides its bytes: more than enough. */
const ROW_ROOM = 64
/** Rows and their headers of a transaction with two of them. */
const TRANSACTION_ROOM = 1024

export const large: Workload = {
  name: 'large',
  what: 'values near each limit are stored whole, and those beyond are refused with nothing applied',
  tables: { blobs: strong({ row: unvalidated<Blob>(), key: 'id' }) },
  operations: 48,
  sometimes: ['a row was too large', 'a transaction was too large'],
  begin: (host) => new LargeRun(host),
}

class LargeRun implements WorkloadRun {
  readonly #host: WorkloadHost
  /** Values are lengths and the byte they are filled with. */
  readonly #history: History<RegisterInput, unknown>

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#history = new History(() => host.nowMs)
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const node = draw.pick(this.#host.nodes)
    const key = `b${draw.int(0, KEYS - 1)}`
    const fill = draw.int(0, 255)
    switch (draw.pick(['read', 'read', 'small', 'small', 'row', 'row', 'too-large', 'pair'])) {
      case 'small':
        return this.#write(client, node, key, draw.int(0, 3_000), fill)
      case 'row':
        return this.#write(client, node, key, nearRowLimit(draw), fill)
      case 'too-large':
        return this.#tooLarge(client, node, key, fill)
      case 'pair':
        return this.#pair(client, node, draw, fill)
      default:
        return this.#read(client, node, key)
    }
  }

  async #read(client: WorkloadClient, node: WorkloadNode, key: string): Promise<void> {
    const input = { kind: 'read', key } as const
    await recorded(this.#history, client, node, input, `read ${key}`, async ({ db }) => {
      const row = await db.table('blobs').get(key)
      return { output: row === undefined ? undefined : this.#show(row['bytes'] as Uint8Array) }
    })
  }

  /** Every byte is looked at: a torn value is no value that was ever written. */
  #show(bytes: Uint8Array): string {
    const [fill = 0] = bytes
    // Compared by one call: looking at them one by one costs more than all else of this workload.
    const isWhole = Buffer.alloc(bytes.length, fill).equals(bytes)
    this.#host.check('integrity', isWhole, `a value of ${bytes.length} bytes is mixed up`)
    return `${bytes.length} x ${fill}`
  }

  async #write(
    client: WorkloadClient,
    node: WorkloadNode,
    key: string,
    length: number,
    fill: number,
  ): Promise<void> {
    const bytes = new Uint8Array(length).fill(fill)
    const input = { kind: 'write', key, value: this.#show(bytes) } as const
    const text = `write ${key}: ${length} bytes`
    await recorded(this.#history, client, node, input, text, async ({ db }) => {
      const { position } = await db.table('blobs').put({ id: key, bytes })
      return { output: undefined, position }
    })
  }

  async #tooLarge(
    client: WorkloadClient,
    node: WorkloadNode,
    key: string,
    fill: number,
  ): Promise<void> {
    const bytes = new Uint8Array(LIMITS.rowBytes + 1).fill(fill)
    await client.operation(`write ${key}: too large`, node, async ({ db }) => {
      const code = await codeOf(db.table('blobs').put({ id: key, bytes }))
      this.#host.check('limit:row', code === 'RowTooLarge', `a row too large gave ${code}`)
      this.#host.sometimes('a row was too large')
    })
  }

  /** Two rows in one transaction, which together fit, or do not. */
  async #pair(client: WorkloadClient, node: WorkloadNode, draw: Draw, fill: number): Promise<void> {
    const fits = draw.chance(0.5)
    const half = LIMITS.transactionBytes / 2
    const length = fits ? half - TRANSACTION_ROOM : half + TRANSACTION_ROOM
    const bytes = new Uint8Array(length).fill(fill)
    const keys = draw.shuffled(Array.from({ length: KEYS }, (_, i) => `b${i}`)).slice(0, 2)
    const value = `${length} x ${fill}`
    const calls = fits
      ? keys.map((key) => this.#history.call(client.name, { kind: 'write', key, value }))
      : []
    const outcome = await client.operation(`pair of ${length} bytes`, node, async ({ db }) => {
      const written = db.transact(async (tx) => {
        for (const id of keys) await tx.table('blobs').put({ id, bytes })
      })
      if (fits) return written
      const code = await codeOf(written)
      const isRefused = code === 'TransactionTooLarge'
      this.#host.check('limit:transaction', isRefused, `a transaction too large gave ${code}`)
      this.#host.sometimes('a transaction was too large')
    })
    for (const call of calls) {
      if (outcome.kind === 'ok') call.ok(undefined)
      else if (outcome.kind === 'failed') call.failed()
      else call.unknown()
    }
  }

  async finish(): Promise<void> {
    for (const node of this.#host.nodes) {
      await this.#host.clients(1, async (client) => {
        for (let key = 0; key < KEYS; key++) await this.#read(client, node, `b${key}`)
      })
    }
    this.#host.examine({ by: 'registers', operations: this.#history.operations })
  }
}

function nearRowLimit(draw: Draw): number {
  return LIMITS.rowBytes - ROW_ROOM - draw.int(0, 16)
}

/** A refusal by name; what else goes wrong is thrown on. */
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'none'
  } catch (cause) {
    if (isHoldfastError(cause) && cause.kind === 'rejected') return cause.code
    throw cause
  }
}
