/** A store in this process's memory: an ordered tree whose snapshots share what has not changed. */
import BTreeModule from 'sorted-btree'
import { binaryString, type Bytes } from '../core/bytes.ts'
import { turn, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { assert } from '../core/assert.ts'
import type {
  RangeOptions,
  Store,
  StoreBatch,
  StoreReader,
  StoreSnapshot,
  StoreStats,
  Visit,
} from './store.ts'

type TreeClass = typeof BTreeModule.default
// The package is CommonJS: Node's import gives its module, that of bundlers and vitest the class.
const BTree: TreeClass = 'default' in BTreeModule ? BTreeModule.default : BTreeModule
type Tree = InstanceType<typeof BTree<string, Bytes>>

export function openMemoryStore(env: Env): Store {
  return new MemoryStore(env)
}

class MemoryStore implements Store {
  readonly durability = 'memory'
  readonly #env: Env
  #tree: Tree = new BTree<string, Bytes>(undefined, compareText)
  #bytes = 0
  #closed = false

  constructor(env: Env) {
    this.#env = env
  }

  get(key: Bytes): Bytes | undefined {
    return readKey(this.#open(), key)
  }

  scan(range: RangeOptions, visit: Visit): number {
    return scanTree(this.#open(), range, visit)
  }

  write(batch: StoreBatch): Promise<void> {
    if (this.#closed) return Promise.reject(closed())
    const tree = this.#tree
    for (let i = 0; i < batch.size; i++) {
      const key = binaryString(batch.keys[i] as Bytes)
      const value = batch.values[i]
      const old = tree.get(key)
      if (old !== undefined) this.#bytes -= key.length + old.length
      if (value === undefined) {
        tree.delete(key)
        continue
      }
      tree.set(key, Uint8Array.prototype.slice.call(value) as Bytes)
      this.#bytes += key.length + value.length
    }
    // A turn later, as a real one: callers that write again at once leave room for others.
    return turn(this.#env)
  }

  snapshot(): StoreSnapshot {
    return new MemorySnapshot(this.#open().clone(), () => this.#closed)
  }

  stats(): StoreStats {
    return { bytes: this.#bytes, keys: this.#open().size, freeBytes: 0 }
  }

  close(): Promise<void> {
    this.#closed = true
    this.#tree = new BTree<string, Bytes>(undefined, compareText)
    return Promise.resolve()
  }

  #open(): Tree {
    if (this.#closed) throw closed()
    return this.#tree
  }
}

class MemorySnapshot implements StoreSnapshot {
  readonly #storeClosed: () => boolean
  #tree: Tree | undefined

  constructor(tree: Tree, storeClosed: () => boolean) {
    this.#tree = tree
    this.#storeClosed = storeClosed
  }

  get(key: Bytes): Bytes | undefined {
    return readKey(this.#open(), key)
  }

  scan(range: RangeOptions, visit: Visit): number {
    return scanTree(this.#open(), range, visit)
  }

  close(): void {
    this.#tree = undefined
  }

  #open(): Tree {
    if (this.#tree === undefined || this.#storeClosed()) throw closed()
    return this.#tree
  }
}

function readKey(tree: Tree, key: Bytes): ReturnType<StoreReader['get']> {
  return tree.get(binaryString(key))
}

function scanTree(tree: Tree, range: RangeOptions, visit: Visit): number {
  const gte = range.gte === undefined ? undefined : binaryString(range.gte)
  const lt = range.lt === undefined ? undefined : binaryString(range.lt)
  const limit = range.limit ?? Number.POSITIVE_INFINITY
  assert(limit >= 0, 'a scan has a limit of at least 0')
  const pairs = range.reverse === true ? descending(tree, lt) : tree.entries(gte)
  let visited = 0
  for (const [key, value] of pairs) {
    if (visited >= limit) break
    if (range.reverse === true ? gte !== undefined && key < gte : lt !== undefined && key >= lt)
      break
    visited++
    if (visit(Buffer.from(key, 'latin1'), value) === false) break
  }
  return visited
}

function* descending(tree: Tree, lt: string | undefined): Generator<[string, Bytes]> {
  for (const pair of tree.entriesReversed(lt)) {
    if (lt !== undefined && pair[0] >= lt) continue
    yield [pair[0], pair[1]]
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function closed(): HoldfastError {
  return new HoldfastError('Closed', 'the store is closed')
}
