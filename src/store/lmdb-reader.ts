/** The store in a folder for one who only reads, beside whoever has it open. */
import { EMPTY, equalBytes, type Bytes } from '../core/bytes.ts'
import { isHoldfastError } from '../core/errors.ts'
import { storageError } from './lmdb-errors.ts'
import { decodeMark, replay } from './lmdb-journal.ts'
import { openLmdbTree, type LmdbTree } from './lmdb-tree.ts'
import { LayeredSnapshot, Memtable } from './memtable.ts'
import { storeClosed, type SnapshotSource, type StoreSnapshot } from './store.ts'

/** Opens the store in `dir`, which is there. Throws as `openLmdbStore` does. */
export function openLmdbReader(dir: string): SnapshotSource {
  return new LmdbReader(dir)
}

class LmdbReader implements SnapshotSource {
  readonly #dir: string
  readonly #tree: LmdbTree
  readonly #snapshots = new Set<LayeredSnapshot>()
  #isClosed = false

  constructor(dir: string) {
    this.#dir = dir
    this.#tree = openLmdbTree({ dir, readOnly: true })
  }

  snapshot(): StoreSnapshot {
    if (this.#isClosed) throw storeClosed()
    for (let before: Bytes = EMPTY; ;) {
      const tree = this.#tree.snapshot()
      const mark = tree.mark() ?? EMPTY
      try {
        const snapshot = new LayeredSnapshot(
          [this.#journal(mark, equalBytes(mark, before))],
          tree,
          () => {
            this.#snapshots.delete(snapshot)
          },
        )
        this.#snapshots.add(snapshot)
        return snapshot
      } catch (cause) {
        tree.close()
        // The writer may have folded a segment since, and removed it: then the mark has moved.
        const isMissing = isHoldfastError(cause, 'StoreTruncated')
        if (!isMissing || equalBytes(mark, before)) {
          throw storageError(cause, 'the journal cannot be read')
        }
        before = mark
      }
    }
  }

  /** What is in the journal that goes with this mark of the tree. */
  #journal(bytes: Bytes, isOld: boolean): Memtable {
    const table = new Memtable()
    const mark = bytes.length === 0 ? undefined : decodeMark(bytes)
    if (mark === undefined || mark.isClean) return table
    const put = (key: string, value: Bytes | null): void => table.put(key, value)
    // The writer has not moved it since the segment was missing: nobody removed that one.
    replay(this.#dir, mark, isOld, put)
    return table
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const snapshot of this.#snapshots) snapshot.close()
    await this.#tree.close()
  }
}
