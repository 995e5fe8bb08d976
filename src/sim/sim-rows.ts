/**
 * The rows of a simulated disk, ordered: a tree whose copies share what has not changed, so that
 * snapshots, images and what a crash leaves cost next to nothing.
 */
import BTreeModule from 'sorted-btree'
import { assert } from '../core/assert.ts'
import { binaryString, type Bytes } from '../core/bytes.ts'
import type { RangeOptions, StoreBatch } from '../store/store.ts'

type TreeClass = typeof BTreeModule.default
// The package is CommonJS: Node's import gives its module, that of bundlers and vitest the class.
const BTree: TreeClass = 'default' in BTreeModule ? BTreeModule.default : BTreeModule
type Tree = InstanceType<typeof BTree<string, Bytes>>

/** Above every key, which has chars up to 0xff. */
const ABOVE_ALL = '\u0100'

/** One transaction: keys as text of one char a byte, and values that are its own. */
export interface Change {
  readonly keys: readonly string[]
  /** undefined removes the key. */
  readonly values: (Bytes | undefined)[]
}

/** A copy of what is in `batches`, in order. */
export function changeOf(batches: readonly StoreBatch[]): Change {
  const keys: string[] = []
  const values: (Bytes | undefined)[] = []
  for (const batch of batches) {
    for (const key of batch.keys) keys.push(binaryString(key))
    copyInto(values, batch.values)
  }
  return { keys, values }
}

/** All of them in one piece of memory: one of its own for each is what commits would cost most. */
function copyInto(copies: (Bytes | undefined)[], values: readonly (Bytes | undefined)[]): void {
  let length = 0
  for (const value of values) length += value?.length ?? 0
  const piece = new Uint8Array(length)
  let offset = 0
  for (const value of values) {
    if (value === undefined) copies.push(undefined)
    else {
      piece.set(value, offset)
      copies.push(new Uint8Array(piece.buffer, offset, value.length))
      offset += value.length
    }
  }
}

type VisitRow = (key: string, value: Bytes) => boolean | void

/** Values that go in must not change, and those that come out are shared by all copies. */
export class Rows {
  readonly #tree: Tree
  #bytes: number

  constructor(tree: Tree = new BTree<string, Bytes>(undefined, compareText), bytes = 0) {
    this.#tree = tree
    this.#bytes = bytes
  }

  get size(): number {
    return this.#tree.size
  }

  /** Of all keys and values. */
  get bytes(): number {
    return this.#bytes
  }

  get(key: string): Bytes | undefined {
    return this.#tree.get(key)
  }

  put(key: string, value: Bytes): void {
    const old = this.#tree.get(key)
    this.#bytes += value.length + (old === undefined ? key.length : -old.length)
    this.#tree.set(key, value)
  }

  remove(key: string): void {
    const old = this.#tree.get(key)
    if (old === undefined) return
    this.#bytes -= key.length + old.length
    this.#tree.delete(key)
  }

  apply({ keys, values }: Change): void {
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string
      const value = values[i]
      if (value === undefined) this.remove(key)
      else this.put(key, value)
    }
  }

  /** As `StoreReader.scan`. */
  scan(range: RangeOptions, visit: VisitRow): number {
    const limit = range.limit ?? Number.POSITIVE_INFINITY
    assert(limit >= 0, 'a scan has a limit of at least 0')
    const gte = range.gte === undefined ? '' : binaryString(range.gte)
    const lt = range.lt === undefined ? ABOVE_ALL : binaryString(range.lt)
    if (limit === 0 || gte >= lt) return 0
    return range.reverse === true
      ? this.#descend(gte, lt, limit, visit)
      : this.#ascend(gte, lt, limit, visit)
  }

  #ascend(gte: string, lt: string, limit: number, visit: VisitRow): number {
    let visited = 0
    this.#tree.forRange(gte, lt, false, (key, value) => {
      visited++
      return visit(key, value) === false || visited >= limit ? STOP : undefined
    })
    return visited
  }

  #descend(gte: string, lt: string, limit: number, visit: VisitRow): number {
    let visited = 0
    for (const [key, value] of this.#tree.entriesReversed(lt)) {
      if (key >= lt) continue
      if (key < gte) break
      visited++
      if (visit(key, value) === false || visited >= limit) break
    }
    return visited
  }

  clone(): Rows {
    return new Rows(this.#tree.clone(), this.#bytes)
  }
}

const STOP = { break: true }

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
