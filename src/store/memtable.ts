/**
 * Writes that are not in the tree yet, in memory, over the tree that they will go into: O'Neil and
 * others, The Log-Structured Merge-Tree, Acta Informatica 33 (1996), with one level below.
 */
import { binaryString, compareBytes, type Bytes } from '../core/bytes.ts'
import { bytesOfText, orderedMap, pairsIn, type OrderedMap } from './ordered-map.ts'
import {
  OWN_SPACE,
  type RangeOptions,
  type StoreReader,
  type StoreSnapshot,
  type Visit,
  storeClosed,
} from './store.ts'

/** null: removed. */
export type Written = Bytes | null

/** Where in a memtable's memory a value lies; REMOVED for none. */
type Ref = number

/** Anything that knows what was written of a key last, and all that was written in order. */
export interface Layer {
  /** undefined: nothing was. */
  get(key: string): Written | undefined
  /** How many keys were written. */
  readonly size: number
  readonly ordered: OrderedMap<Ref>
  read(ref: Ref): Written
}

/**
 * Values lie one after another in chunks of memory, each behind its length: an object for each would
 * outlive the youngest generation, and fill the heap between two of the large collections.
 */
export class Memtable implements Layer {
  readonly #refs = new Map<string, Ref>()
  readonly #chunks: Buffer[] = []
  /** Bytes of the last chunk. */
  #used = 0
  /** Made when somebody asks for the order: until then a write costs a hash. */
  #tree: OrderedMap<Ref> = orderedMap()
  /** What was written since then. */
  #unordered: string[] = []
  #bytes = 0

  get size(): number {
    return this.#refs.size
  }

  /** Bytes of keys and values that are not overwritten. */
  get bytes(): number {
    return this.#bytes
  }

  get(key: string): Written | undefined {
    const ref = this.#refs.get(key)
    return ref === undefined ? undefined : this.read(ref)
  }

  read(ref: Ref): Written {
    if (ref === REMOVED) return null
    const chunk = this.#chunks[ref >>> CHUNK_BITS] as Buffer
    const start = (ref & (CHUNK_BYTES - 1)) + LENGTH_BYTES
    return chunk.subarray(start, start + chunk.readUInt32LE(start - LENGTH_BYTES))
  }

  /** Copies both. */
  put(key: string, value: Written): void {
    const old = this.#refs.get(key)
    if (old === undefined) this.#bytes += key.length
    else this.#bytes -= this.read(old)?.length ?? 0
    this.#bytes += value?.length ?? 0
    this.#refs.set(key, value === null ? REMOVED : this.#keep(value))
    this.#unordered.push(key)
  }

  #keep(value: Bytes): Ref {
    const neededBytes = LENGTH_BYTES + value.length
    let chunk = this.#chunks.at(-1)
    if (chunk === undefined || this.#used + neededBytes > chunk.length) {
      chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, neededBytes))
      this.#chunks.push(chunk)
      this.#used = 0
    }
    const at = this.#used
    chunk.writeUInt32LE(value.length, at)
    chunk.set(value, at + LENGTH_BYTES)
    // What is longer has its chunk to itself: a place must fit in its bits.
    this.#used = chunk.length > CHUNK_BYTES ? chunk.length : at + neededBytes
    return ((this.#chunks.length - 1) << CHUNK_BITS) | at
  }

  get ordered(): OrderedMap<Ref> {
    const keys = this.#unordered
    if (keys.length === 0) return this.#tree
    this.#unordered = []
    if (keys.length * MANY > this.#tree.size) this.#tree = orderedMap(this.#sorted())
    else for (const key of keys) this.#tree.set(key, this.#refs.get(key) ?? REMOVED)
    return this.#tree
  }

  *#sorted(): Generator<[string, Ref], void> {
    // By UTF-16 units, which are bytes here.
    for (const key of [...this.#refs.keys()].toSorted()) {
      yield [key, this.#refs.get(key) ?? REMOVED]
    }
  }

  /** All pairs in order. */
  *sorted(): Generator<[string, Written], void> {
    for (const [key, ref] of this.#sorted()) yield [key, this.read(ref)]
  }

  /** What is written now, for ever. */
  frozen(): Layer {
    const ordered = this.ordered.clone()
    const read = (ref: Ref): Written => this.read(ref)
    return {
      get: (key) => {
        const ref = ordered.get(key)
        return ref === undefined ? undefined : read(ref)
      },
      size: ordered.size,
      ordered,
      read,
    }
  }
}

const REMOVED: Ref = -1
const LENGTH_BYTES = 4
/** A place is a chunk's number and an offset in it. */
const CHUNK_BITS = 17
const CHUNK_BYTES = 1 << CHUNK_BITS
/** From a share of one in so many on, sorting all is cheaper than putting each in its place. */
const MANY = 8

/** Reads `below` as if the layers, the newest first, had been written into it. */
export function getThrough(
  layers: readonly Layer[],
  below: StoreReader,
  key: Bytes,
): Bytes | undefined {
  let text: string | undefined
  for (const layer of layers) {
    if (layer.size === 0) continue
    text ??= binaryString(key)
    const written = layer.get(text)
    if (written !== undefined) return written ?? undefined
  }
  return key[0] === OWN_SPACE ? undefined : below.get(key)
}

/** As `getThrough`, of a range. Returns how many keys were visited. */
export function scanThrough(
  layers: readonly Layer[],
  below: StoreReader,
  range: RangeOptions,
  visit: Visit,
): number {
  const limit = range.limit ?? Number.POSITIVE_INFINITY
  if (layers.every(({ size }) => size === 0)) return below.scan(range, visit)
  const written = new WrittenPairs(layers, range)
  if (written.key === undefined) return below.scan(range, visit)
  const sign = range.reverse === true ? -1 : 1
  let visited = 0
  const goesOn = (key: Bytes, value: Written): boolean => {
    if (value === null) return true
    visited++
    return visit(key, value) !== false && visited < limit
  }
  if (limit === 0) return 0
  let stopped = false
  below.scan({ ...range, limit: undefined }, (key, value) => {
    let order = 1
    while (written.key !== undefined) {
      order = sign * compareBytes(written.key, key)
      if (order > 0) break
      stopped = !goesOn(written.key, written.value)
      written.next()
      if (stopped) return false
      if (order === 0) return true
    }
    stopped = !goesOn(key, value)
    return !stopped
  })
  for (; !stopped && written.key !== undefined; written.next()) {
    stopped = !goesOn(written.key, written.value)
  }
  return visited
}

/** What was written in a range, each key once, as the newest layer has it. */
class WrittenPairs {
  /** The next one's key; undefined at the end. */
  key: Bytes | undefined
  value: Written = null
  readonly #heads: { layer: Layer; pairs: Iterator<Head, void>; head: Head | undefined }[]
  readonly #sign: number

  constructor(layers: readonly Layer[], range: RangeOptions) {
    this.#sign = range.reverse === true ? -1 : 1
    this.#heads = layers.map((layer) => {
      const pairs = pairsIn(layer.ordered, range)
      return { layer, pairs, head: headOf(pairs) }
    })
    this.next()
  }

  next(): void {
    let first: Head | undefined
    for (const { layer, head } of this.#heads) {
      if (head === undefined) continue
      if (first !== undefined && !this.#isBefore(head[0], first[0])) continue
      first = head
      this.value = layer.read(head[1])
    }
    this.key = first === undefined ? undefined : bytesOfText(first[0])
    for (const one of this.#heads) {
      if (first !== undefined && one.head?.[0] === first[0]) one.head = headOf(one.pairs)
    }
  }

  #isBefore(a: string, b: string): boolean {
    return this.#sign > 0 ? a < b : a > b
  }
}

type Head = readonly [string, Ref]

function headOf(pairs: Iterator<Head, void>): Head | undefined {
  const step = pairs.next()
  return step.done === true ? undefined : step.value
}

/** One state of both. */
export class LayeredSnapshot implements StoreSnapshot {
  readonly #layers: readonly Layer[]
  readonly #below: StoreSnapshot
  readonly #onClose: () => void
  #isClosed = false

  constructor(layers: readonly Layer[], below: StoreSnapshot, onClose: () => void) {
    this.#layers = layers
    this.#below = below
    this.#onClose = onClose
  }

  get(key: Bytes): Bytes | undefined {
    if (this.#isClosed) throw storeClosed()
    return getThrough(this.#layers, this.#below, key)
  }

  scan(range: RangeOptions, visit: Visit): number {
    if (this.#isClosed) throw storeClosed()
    return scanThrough(this.#layers, this.#below, range, visit)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#onClose()
    this.#below.close()
  }
}
