/** Values by byte strings in the order of unsigned bytes, on a tree whose copies share what is alike. */
import BTreeModule from 'sorted-btree'
import { assert } from '../core/assert.ts'
import { binaryString, type Bytes } from '../core/bytes.ts'
import type { RangeOptions } from './store.ts'

type TreeClass = typeof BTreeModule.default
// The package is CommonJS: Node's import gives its module, that of bundlers and vitest the class.
const BTree: TreeClass = 'default' in BTreeModule ? BTreeModule.default : BTreeModule

/** Keys are binary strings (core/bytes.ts): V8 compares those as fast as bytes, and hashes them. */
export type OrderedMap<V> = InstanceType<typeof BTree<string, V>>

/** With `pairs` in it, which come in order. */
export function orderedMap<V>(pairs?: Iterable<[string, V]>): OrderedMap<V> {
  const map = new BTree<string, V>(undefined, compareText)
  for (const [key, value] of pairs ?? []) map.set(key, value)
  return map
}

/** Pairs in a range, in its order. `limit` is the caller's affair. */
export function* pairsIn<V>(
  map: OrderedMap<V>,
  { gte, lt, reverse, limit }: RangeOptions,
): Generator<readonly [string, V], void> {
  assert(limit === undefined || limit >= 0, 'a scan has a limit of at least 0')
  const from = gte === undefined ? undefined : binaryString(gte)
  const to = lt === undefined ? undefined : binaryString(lt)
  if (reverse === true) {
    for (const pair of map.entriesReversed(to)) {
      if (from !== undefined && pair[0] < from) return
      if (to === undefined || pair[0] < to) yield pair
    }
    return
  }
  for (const pair of map.entries(from)) {
    if (to !== undefined && pair[0] >= to) return
    yield pair
  }
}

export function bytesOfText(key: string): Bytes {
  return Buffer.from(key, 'latin1')
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
