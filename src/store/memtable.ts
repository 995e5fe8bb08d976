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

/** Anything that knows what was written of a key last, and all that was written in order. */
export interface Layer {
  /** undefined: nothing was. */
  get(key: string): Written | undefined
  /** How many keys were written. */
  readonly size: number
  readonly ordered: OrderedMap<Written>
}

export class Memtable implements Layer {
  /** Most look-ups find nothing here: a hash says so at a tenth of what the tree would take. */
  readonly #values = new Map<string, Written>()
  readonly ordered: OrderedMap<Written> = orderedMap()
  #bytes = 0

  get size(): number {
    return this.#values.size
  }

  /** Bytes of keys and values that are not overwritten. */
  get bytes(): number {
    return this.#bytes
  }

  get(key: string): Written | undefined {
    return this.#values.get(key)
  }

  put(key: string, value: Written): void {
    const old = this.#values.get(key)
    if (old === undefined) this.#bytes += key.length
    this.#bytes += (value?.length ?? 0) - (old?.length ?? 0)
    this.#values.set(key, value)
    this.ordered.set(key, value)
  }

  /** What is written now, for ever. */
  frozen(): Layer {
    const ordered = this.ordered.clone()
    return { get: (key) => ordered.get(key), size: ordered.size, ordered }
  }
}

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
  readonly #heads: { pairs: Iterator<readonly [string, Written], void>; head: Head | undefined }[]
  readonly #sign: number

  constructor(layers: readonly Layer[], range: RangeOptions) {
    this.#sign = range.reverse === true ? -1 : 1
    this.#heads = layers.map(({ ordered }) => {
      const pairs = pairsIn(ordered, range)
      return { pairs, head: headOf(pairs) }
    })
    this.next()
  }

  next(): void {
    let first: Head | undefined
    for (const { head } of this.#heads) {
      if (head === undefined) continue
      if (first === undefined || this.#isBefore(head[0], first[0])) first = head
    }
    if (first === undefined) {
      this.key = undefined
      return
    }
    this.key = bytesOfText(first[0])
    this.value = first[1]
    for (const layer of this.#heads) {
      if (layer.head?.[0] === first[0]) layer.head = headOf(layer.pairs)
    }
  }

  #isBefore(a: string, b: string): boolean {
    return this.#sign > 0 ? a < b : a > b
  }
}

type Head = readonly [string, Written]

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
