/** A store in this process's memory: an ordered tree whose snapshots share what has not changed. */
import { binaryString, type Bytes } from '../core/bytes.ts'
import { turn, type Env } from '../core/env.ts'
import { bytesOfText, orderedMap, pairsIn, type OrderedMap } from './ordered-map.ts'
import {
  storeClosed,
  type RangeOptions,
  type Store,
  type StoreBatch,
  type StoreReader,
  type StoreSnapshot,
  type StoreStats,
  type Visit,
} from './store.ts'

type Tree = OrderedMap<Bytes>

export function openMemoryStore(env: Env): Store {
  return new MemoryStore(env)
}

class MemoryStore implements Store {
  readonly durability = 'memory'
  readonly #env: Env
  #tree: Tree = orderedMap()
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
    if (this.#closed) return Promise.reject(storeClosed())
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

  flush(): Promise<void> {
    return this.#closed ? Promise.reject(storeClosed()) : Promise.resolve()
  }

  snapshot(): StoreSnapshot {
    return new MemorySnapshot(this.#open().clone(), () => this.#closed)
  }

  stats(): StoreStats {
    this.#open()
    return { bytes: this.#bytes, freeBytes: 0 }
  }

  close(): Promise<void> {
    this.#closed = true
    this.#tree = orderedMap()
    return Promise.resolve()
  }

  #open(): Tree {
    if (this.#closed) throw storeClosed()
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
    if (this.#tree === undefined || this.#storeClosed()) throw storeClosed()
    return this.#tree
  }
}

function readKey(tree: Tree, key: Bytes): ReturnType<StoreReader['get']> {
  return tree.get(binaryString(key))
}

function scanTree(tree: Tree, range: RangeOptions, visit: Visit): number {
  const limit = range.limit ?? Number.POSITIVE_INFINITY
  let visited = 0
  for (const [key, value] of pairsIn(tree, range)) {
    if (visited >= limit) break
    visited++
    if (visit(bytesOfText(key), value) === false) break
  }
  return visited
}
