/**
 * Gives snapshots of this node's store to nodes that no entries lead to any more (S8): everything that
 * is live at one position, and the entries that later ones are judged by. Who asks for the pieces sets
 * the pace; who stops asking is forgotten, so that no snapshot of the store is held for long.
 */
import type { Bus, BusSubscription } from '../../bus/bus.ts'
import type { Bytes } from '../../core/bytes.ts'
import type { Cancel, Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { decodeValue } from '../../core/value-codec.ts'
import type { SnapshotSource, StoreSnapshot } from '../../store/store.ts'
import { copyLog, copyRows } from '../backup/copy-rows.ts'
import { Pace } from '../backup/progress.ts'
import { readState } from '../backup/table-digests.ts'
import { inDoubt, snapshotOf, type SnapshotRequest } from './peers.ts'
import { PieceQueue } from './snapshot-pieces.ts'

/** Snapshots given at a time. */
const AT_ONCE = 2
/** Without a request for so long, whoever asked is gone. */
const IDLE_MS = 30_000

interface Transfer {
  readonly queue: PieceQueue
  readonly snapshot: StoreSnapshot
  /** The piece asked for last, which may be asked for again. */
  number: number
  piece: Promise<Bytes>
  cancelIdle: Cancel
}

export class SnapshotServer {
  readonly #env: Env
  readonly #store: SnapshotSource
  readonly #isGiving: () => boolean
  readonly #transfers = new Map<string, Transfer>()

  /** `isGiving`: whether what is here is what the others have, as far as is known. */
  constructor(env: Env, store: SnapshotSource, isGiving: () => boolean) {
    this.#env = env
    this.#store = store
    this.#isGiving = isGiving
  }

  serve(bus: Bus, incarnation: string): BusSubscription {
    return bus.serve(snapshotOf(incarnation), ({ bytes }) => {
      return this.#answer(decodeValue(bytes) as SnapshotRequest)
    })
  }

  stop(): void {
    for (const asker of [...this.#transfers.keys()]) this.#end(asker)
  }

  #answer({ asker, number }: SnapshotRequest): Promise<Bytes> {
    if (!this.#isGiving()) {
      this.stop()
      throw inDoubt()
    }
    if (number === 0 && this.#transfers.get(asker)?.number !== 0) this.#begin(asker)
    const transfer = this.#transfers.get(asker)
    if (transfer === undefined || number < transfer.number || number > transfer.number + 1) {
      throw new HoldfastError('NotFound', 'that snapshot is no longer given: ask for another')
    }
    if (number > transfer.number) {
      transfer.number = number
      transfer.piece = transfer.queue.next()
      transfer.piece.catch(() => undefined)
    }
    transfer.cancelIdle()
    transfer.cancelIdle = this.#idle(asker)
    return transfer.piece
  }

  #begin(asker: string): void {
    this.#end(asker)
    if (this.#transfers.size >= AT_ONCE) {
      throw new HoldfastError('Overloaded', 'as many snapshots are given as may be: ask again')
    }
    const queue = new PieceQueue()
    const snapshot = this.#store.snapshot()
    const piece = queue.next()
    piece.catch(() => undefined)
    const cancelIdle = this.#idle(asker)
    this.#transfers.set(asker, { queue, snapshot, number: 0, piece, cancelIdle })
    this.#read(queue, snapshot).then(
      () => queue.end(),
      (cause: unknown) => queue.end(cause instanceof Error ? cause : new Error(String(cause))),
    )
  }

  async #read(writer: PieceQueue, reader: StoreSnapshot): Promise<void> {
    const state = readState(reader)
    const pace = new Pace(this.#env, {})
    const copy = { reader, state, writer, pace }
    await copyLog(copy, state.windowFloor + 1)
    await copyRows(copy)
  }

  #idle(asker: string): Cancel {
    return this.#env.timers.after(IDLE_MS, () => this.#end(asker), 'background')
  }

  #end(asker: string): void {
    const transfer = this.#transfers.get(asker)
    if (transfer === undefined) return
    this.#transfers.delete(asker)
    transfer.cancelIdle()
    transfer.queue.end(new HoldfastError('Cancelled', 'nobody asks for this snapshot any more'))
    transfer.snapshot.close()
  }
}
