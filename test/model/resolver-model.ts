/**
 * The resolver's reference: it keeps every write for ever, with whole keys and values, and looks
 * through all of them. No window, no digests, no prefixes.
 */
import { compareBytes, equalBytes, type Bytes } from '../../src/core/bytes.ts'

export interface ModelWrite {
  readonly table: number
  readonly key: Bytes
  /** Index entries added. */
  readonly adds: readonly { readonly index: number; readonly value: Bytes }[]
  /** When its own row was read, or -1. */
  readonly readAt: number
}

export type ModelRead =
  | { readonly kind: 'point'; readonly table: number; readonly key: Bytes; readonly at: number }
  | {
      readonly kind: 'range'
      readonly table: number
      /** 0: the key. */
      readonly index: number
      /** Both inclusive. */
      readonly low: Bytes
      readonly high: Bytes
      readonly at: number
    }
  | { readonly kind: 'table'; readonly table: number; readonly at: number }

export interface ModelTransaction {
  readonly reads: readonly ModelRead[]
  readonly writes: readonly ModelWrite[]
}

export class ResolverModel {
  readonly #writes: (ModelWrite & { readonly position: number })[] = []

  /** Judges a transaction at its place, and keeps its writes when it commits. */
  decide(position: number, { reads, writes }: ModelTransaction): boolean {
    const conditions: ModelRead[] = writes.flatMap(({ table, key, readAt }) =>
      readAt < 0 ? [] : [{ kind: 'point' as const, table, key, at: readAt }],
    )
    const commits = [...reads, ...conditions].every((read) => !this.#written(read))
    if (commits) for (const write of writes) this.#writes.push({ ...write, position })
    return commits
  }

  #written(read: ModelRead): boolean {
    return this.#writes.some((write) => {
      if (write.position <= read.at || write.table !== read.table) return false
      if (read.kind === 'table') return true
      if (read.kind === 'point') return equalBytes(write.key, read.key)
      if (read.index === 0) return inside(write.key, read)
      return write.adds.some(({ index, value }) => index === read.index && inside(value, read))
    })
  }
}

function inside(bytes: Bytes, { low, high }: { low: Bytes; high: Bytes }): boolean {
  return compareBytes(bytes, low) >= 0 && compareBytes(bytes, high) <= 0
}
