/** Fills an empty store with the snapshot that a peer gives, and makes sure that it is whole. */
import type { Bus } from '../../bus/bus.ts'
import { copyBytes, hex, type Bytes } from '../../core/bytes.ts'
import { HoldfastError, isHoldfastError } from '../../core/errors.ts'
import { decodeEntry } from '../../log/entry-codec.ts'
import { readEntry } from '../../log/entry-store.ts'
import { StoreBatch, type Store } from '../../store/store.ts'
import { readState } from '../backup/table-digests.ts'
import { liveTables } from '../check.ts'
import { changeKey, ROW_SPACE, statsKey } from '../layout.ts'
import type { LogState } from '../log-state.ts'
import { rowCheck, rowIsIntact, rowShard } from '../row-codec.ts'
import { addRow, decodeStat, emptyStat, type ShardStat } from '../shard-stats.ts'
import { askForPiece, type Offer } from './peers.ts'
import { decodePiece } from './snapshot-pieces.ts'

/** Requests for one piece: messages get lost. */
const TRIES = 5

export interface SnapshotProgress {
  /** The node that gives it, by its incarnation. */
  readonly peer: string
  /** Bytes of records so far. */
  readonly bytes: number
}

export interface ReceiveOptions {
  readonly bus: Bus
  /** Names who asks, and no other. */
  readonly asker: string
  readonly offer: Offer
  /** Empty; nobody else writes it. */
  readonly store: Store
  readonly onProgress?: ((progress: SnapshotProgress) => void) | undefined
}

/**
 * Resolves with the state that the store has then. Throws `StoreCorrupt` for a snapshot that is not
 * whole, and what the bus throws; the store is then good for nothing.
 */
export async function receiveSnapshot(options: ReceiveOptions): Promise<LogState> {
  const { store, offer, onProgress } = options
  const sums = new RowSums()
  let bytes = 0
  let written: Promise<void> = Promise.resolve()
  for (let number = 0, isLast = false; !isLast; number++) {
    const piece = decodePiece(await pieceOf(options, number))
    const batch = new StoreBatch()
    for (const [key, value] of piece.records) {
      sums.add(key, value)
      batch.put(key, value)
      bytes += key.length + value.length
    }
    // One piece is written while the next is on its way.
    await written
    written = store.write(batch)
    written.catch(() => undefined)
    isLast = piece.isLast
    onProgress?.({ peer: offer.incarnation, bytes })
  }
  await written
  const state = readState(store)
  assertWhole(store, state, offer, sums)
  return state
}

async function pieceOf({ bus, asker, offer }: ReceiveOptions, number: number): Promise<Bytes> {
  for (let left = TRIES; ; left--) {
    try {
      return await askForPiece(bus, offer, { asker, number })
    } catch (cause) {
      if (!isHoldfastError(cause, 'DeadlineExceeded') || left === 1) throw cause
    }
  }
}

function assertWhole(store: Store, state: LogState, offer: Offer, sums: RowSums): void {
  if (hex(state.identity) !== offer.identity) throw notWhole('it is of another log')
  for (let position = state.windowFloor + 1; position <= state.position; position++) {
    const frame = readEntry(store, position)
    if (frame === undefined) throw notWhole(`entry ${position} is missing`)
    const entry = decodeEntry(frame, state.identity)
    const decides = entry?.kind === 'batch' && entry.transactions.length + entry.commands.length > 0
    if (decides && store.get(changeKey(position)) === undefined) {
      throw notWhole(`what was decided at ${position} is missing`)
    }
  }
  for (const table of liveTables(state).keys()) {
    for (let shard = 0; shard < state.shards; shard++) {
      const key = statsKey(shard, table)
      const record = store.get(key)
      const said = record === undefined ? emptyStat() : decodeStat(key, copyBytes(record))
      if (!sums.agree(table, shard, said)) throw notWhole(`rows of table ${table} are missing`)
    }
  }
}

/** What the rows that came add up to. */
class RowSums {
  readonly #stats = new Map<string, ShardStat>()

  /** Throws `StoreCorrupt` for a damaged row. */
  add(key: Bytes, value: Bytes): void {
    if (key[0] !== ROW_SPACE) return
    if (!rowIsIntact(key, value)) throw notWhole('a row is damaged')
    const table = Buffer.from(key.buffer, key.byteOffset, key.length).readUInt32BE(1)
    const where = `${table}.${rowShard(value)}`
    let stat = this.#stats.get(where)
    if (stat === undefined) this.#stats.set(where, (stat = emptyStat()))
    addRow(stat, rowCheck(value), value.length)
  }

  agree(table: number, shard: number, said: ShardStat): boolean {
    const came = this.#stats.get(`${table}.${shard}`) ?? emptyStat()
    return (
      came.rows === said.rows &&
      came.bytes === said.bytes &&
      came.sumA === said.sumA &&
      came.sumB === said.sumB
    )
  }
}

function notWhole(what: string): HoldfastError {
  return new HoldfastError('StoreCorrupt', `the snapshot of a peer cannot be used: ${what}`)
}
