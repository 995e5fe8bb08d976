/**
 * How many rows each shard of each table has, and a digest of them, kept in the same commit as the
 * rows. `check` adds them up anew: a row that went missing, came back or was swapped shows.
 */
import { ByteReader, ByteWriter, copyBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32, finalMix } from '../core/hash.ts'
import type { StoreBatch, StoreReader } from '../store/store.ts'
import { STATS_SPACE, statsKey } from './layout.ts'

export interface ShardStat {
  rows: number
  /** Bytes of stored rows, their keys not counted. */
  bytes: number
  /** Sums, modulo 2^32, of each row's check and of a mix of it: order does not matter. */
  sumA: number
  sumB: number
}

export function emptyStat(): ShardStat {
  return { rows: 0, bytes: 0, sumA: 0, sumB: 0 }
}

export function addRow(stat: ShardStat, check: number, bytes: number): void {
  stat.rows++
  stat.bytes += bytes
  stat.sumA = (stat.sumA + check) >>> 0
  stat.sumB = (stat.sumB + finalMix(check ^ 0x9e3779b9)) >>> 0
}

export function removeRow(stat: ShardStat, check: number, bytes: number): void {
  stat.rows--
  stat.bytes -= bytes
  stat.sumA = (stat.sumA - check) >>> 0
  stat.sumB = (stat.sumB - finalMix(check ^ 0x9e3779b9)) >>> 0
}

export class ShardStats {
  readonly #tables = new Map<number, (ShardStat | undefined)[]>()
  readonly #dirty = new Set<ShardStat>()
  readonly #keys = new Map<ShardStat, Bytes>()
  readonly #writer = new ByteWriter(64)

  static load(store: StoreReader): ShardStats {
    const stats = new ShardStats()
    const range = { gte: Uint8Array.of(STATS_SPACE), lt: Uint8Array.of(STATS_SPACE + 1) }
    store.scan(range, (key, value) => {
      const shard = key[1] as number
      const table = Buffer.from(key.subarray(2, 6)).readUInt32BE(0)
      Object.assign(stats.of(table, shard), decodeStat(key, value))
    })
    return stats
  }

  of(table: number, shard: number): ShardStat {
    let shards = this.#tables.get(table)
    if (shards === undefined) this.#tables.set(table, (shards = []))
    let stat = shards[shard]
    if (stat === undefined) {
      stat = emptyStat()
      shards[shard] = stat
      this.#keys.set(stat, statsKey(shard, table))
    }
    return stat
  }

  /** To be called when a stat was changed: the next `save` writes it. */
  touch(stat: ShardStat): void {
    this.#dirty.add(stat)
  }

  /** Adds what changed since the last call to `batch`. */
  save(batch: StoreBatch): void {
    for (const stat of this.#dirty) {
      const key = this.#keys.get(stat)
      if (key !== undefined) batch.put(key, encodeStat(this.#writer, key, stat))
    }
    this.#dirty.clear()
  }

  /** Forgets a dropped table. */
  drop(table: number): void {
    for (const stat of this.#tables.get(table) ?? []) {
      if (stat === undefined) continue
      this.#dirty.delete(stat)
      this.#keys.delete(stat)
    }
    this.#tables.delete(table)
  }

  /** Each shard of each table that ever had a row. */
  *all(): Generator<{ table: number; shard: number; stat: ShardStat }> {
    for (const [table, shards] of this.#tables) {
      for (const [shard, stat] of shards.entries()) {
        if (stat !== undefined) yield { table, shard, stat }
      }
    }
  }
}

/** Rows and bytes of a table in flushed state, over all shards. */
export function storedTotal(
  store: StoreReader,
  table: number,
  shards: number,
): { rows: number; bytes: number } {
  let [rows, bytes] = [0, 0]
  for (let shard = 0; shard < shards; shard++) {
    const key = statsKey(shard, table)
    const value = store.get(key)
    if (value === undefined) continue
    const stat = decodeStat(key, value)
    rows += stat.rows
    bytes += stat.bytes
  }
  return { rows, bytes }
}

function encodeStat(writer: ByteWriter, key: Bytes, stat: ShardStat): Bytes {
  writer.reset()
  writer.u32(0)
  writer.varint(stat.rows)
  writer.varint(stat.bytes)
  writer.u32(stat.sumA)
  writer.u32(stat.sumB)
  writer.buffer.writeUInt32LE(crc32(writer.buffer, 4, writer.length, crc32(key)), 0)
  return writer.finish()
}

export function decodeStat(key: Bytes, value: Bytes): ShardStat {
  const owned = copyBytes(value)
  const reader = new ByteReader(owned)
  if (owned.length < 4 || reader.u32() !== crc32(owned, 4, owned.length, crc32(key))) {
    throw new HoldfastError('StoreCorrupt', `the statistics of shard ${key[1]} are damaged`)
  }
  return { rows: reader.varint(), bytes: reader.varint(), sumA: reader.u32(), sumB: reader.u32() }
}
