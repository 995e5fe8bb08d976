/**
 * `check`: whether what is stored is what was written. Every live key is looked at: rows by their
 * checksum, their shard, and the count and digest of each shard of each table; index entries against
 * rows, both ways; raw entries by checksum and, where the log still has its beginning, by chain.
 */
import {
  afterPrefix,
  binaryString,
  compareBytes,
  copied,
  copyBytes,
  EMPTY,
  equalBytes,
  hex,
  type Bytes,
} from '../core/bytes.ts'
import { isHoldfastError } from '../core/errors.ts'
import { digest, DIGEST_BYTES } from '../core/hash.ts'
import { keyEnd } from '../core/key-codec.ts'
import { decodeEntry } from '../log/entry-codec.ts'
import { edgeEntry, ENTRY_SPACE, entryKey, readEntry } from '../log/entry-store.ts'
import type { StoreReader } from '../store/store.ts'
import { DEFINITIONS_KEY, STATE_KEY } from './apply-loop.ts'
import { decodeChangeRecord } from './change-record.ts'
import {
  hiddenDefinition,
  IDEMPOTENCY_DEFINITION,
  indexEntries,
  indexValue,
  shardOfBytes,
  shardOfKey,
  type TableDefinition,
} from './definitions.ts'
import {
  CHANGE_SPACE,
  changePosition,
  INDEX_SPACE,
  INDEX_VALUE_AT,
  indexKey,
  META_SPACE,
  ROW_KEY_AT,
  ROW_SPACE,
  rowKey,
  STATS_SPACE,
  statsKey,
  tablePrefix,
} from './layout.ts'
import { identityAt } from './lineage.ts'
import { decodeState, type LogState } from './log-state.ts'
import { BEGINNING_KEY, readBeginning } from './beginning.ts'
import { NODE_KEY, readNodeId } from './node-id.ts'
import { decodeRow, rowCheck, rowIsIntact, rowShard, type Row } from './row-codec.ts'
import { readSeal, SEAL_KEY } from './seal.ts'
import { addRow, decodeStat, emptyStat, type ShardStat } from './shard-stats.ts'

/** What the meta space has, by the keys. */
const RECORDS = [STATE_KEY, DEFINITIONS_KEY, NODE_KEY, BEGINNING_KEY, SEAL_KEY]

export interface Problem {
  readonly where: string
  readonly what: string
}

export interface CheckReport {
  readonly ok: boolean
  readonly position: number
  readonly rows: number
  readonly indexEntries: number
  readonly entries: number
  /** The first hundred. */
  readonly problems: readonly Problem[]
  readonly problemCount: number
}

const PROBLEMS_LISTED = 100
const SLICE = 1_000
const CHANGE_KEY_BYTES = 7

export interface CheckOptions {
  /** Called between slices: may wait, to let others have a turn. */
  readonly pause?: (() => Promise<void>) | undefined
  readonly progress?: ((done: number) => void) | undefined
}

/** Checks one state of a store: a snapshot, or a store that nobody writes. */
export async function checkStore(
  reader: StoreReader,
  options: CheckOptions = {},
): Promise<CheckReport> {
  const check = new Check(reader, options)
  return check.run()
}

class Check {
  readonly #reader: StoreReader
  readonly #options: CheckOptions
  readonly #problems: Problem[] = []
  #count = 0
  #done = 0
  #rows = 0
  #indexEntries = 0
  #entries = 0

  constructor(reader: StoreReader, options: CheckOptions) {
    this.#reader = reader
    this.#options = options
  }

  async run(): Promise<CheckReport> {
    const state = this.#state()
    if (state !== undefined) {
      const tables = liveTables(state)
      const stats = await this.#checkRows(state, tables)
      this.#checkStats(tables, stats)
      for (const { definition } of tables.values()) await this.#checkIndexes(definition)
      await this.#checkIndexSpace(state)
      await this.#checkLog(state)
    }
    this.#checkNodeId(state)
    this.#checkStrays()
    await this.#checkKeys()
    return {
      ok: this.#count === 0,
      position: state?.position ?? 0,
      rows: this.#rows,
      indexEntries: this.#indexEntries,
      entries: this.#entries,
      problems: this.#problems,
      problemCount: this.#count,
    }
  }

  #state(): LogState | undefined {
    const record = copied(this.#reader.get(STATE_KEY))
    const definitions = copied(this.#reader.get(DEFINITIONS_KEY))
    if (record === undefined || definitions === undefined) {
      this.#report('meta', 'the record of log-wide state, or of definitions, is missing')
      return undefined
    }
    return this.#attempt('meta', () => decodeState(record, definitions))
  }

  /** It is stored before the first entry is. */
  #checkNodeId(state: LogState | undefined): void {
    this.#attempt('meta', () => {
      if (readNodeId(this.#reader) === undefined && (state?.position ?? 0) > 0) {
        this.#report('meta', 'the record that says which node this is is missing')
      }
      if (state !== undefined) readSeal(this.#reader, state.identity)
    })
  }

  /** Every row: intact, in its own shard; summed up by table and shard. */
  async #checkRows(state: LogState, tables: Map<number, Live>): Promise<Map<string, ShardStat>> {
    const stats = new Map<string, ShardStat>()
    await this.#walk(ROW_SPACE, (key, value) => {
      const where = `row ${hex(key)}`
      const table = Buffer.from(key).readUInt32BE(1)
      const live = tables.get(table)
      if (live === undefined) return // left by a dropped table; the janitor removes it
      this.#rows++
      if (!rowIsIntact(key, value)) {
        this.#report(where, 'does not have the checksum it was written with')
        return
      }
      const shard = this.#attempt(where, () =>
        live.hidden
          ? shardOfBytes(key, ROW_KEY_AT, key.length, state.shards)
          : shardOfKey(live.definition, key.subarray(ROW_KEY_AT), state.shards),
      )
      if (shard !== rowShard(value)) this.#report(where, `says it is of shard ${rowShard(value)}`)
      const name = `${table}.${rowShard(value)}`
      let stat = stats.get(name)
      if (stat === undefined) stats.set(name, (stat = emptyStat()))
      addRow(stat, rowCheck(value), value.length)
    })
    return stats
  }

  #checkStats(tables: Map<number, Live>, found: Map<string, ShardStat>): void {
    const seen = new Set<string>()
    const range = { gte: Uint8Array.of(STATS_SPACE), lt: Uint8Array.of(STATS_SPACE + 1) }
    this.#reader.scan(range, (key, value) => {
      const table = Buffer.from(key).readUInt32BE(2)
      const shard = key[1] as number
      const where = `shard ${shard} of table ${tables.get(table)?.definition.name ?? table}`
      const name = `${table}.${shard}`
      seen.add(name)
      if (!equalBytes(key, statsKey(shard, table)))
        this.#report(where, 'its statistics have a damaged key')
      const stat = this.#attempt(where, () => decodeStat(copyBytes(key), value))
      if (stat === undefined || !tables.has(table)) return
      const real = found.get(name) ?? emptyStat()
      if (real.rows !== stat.rows)
        this.#report(where, `has ${real.rows} rows; ${stat.rows} were written`)
      else if (real.sumA !== stat.sumA || real.sumB !== stat.sumB || real.bytes !== stat.bytes) {
        this.#report(where, 'its rows do not have the digest they were written with')
      }
    })
    for (const name of found.keys()) {
      if (!seen.has(name)) this.#report(`table.shard ${name}`, 'its statistics are missing')
    }
  }

  /** Every row has its entries in each ready index, and each index has no others. */
  async #checkIndexes(definition: TableDefinition): Promise<void> {
    const ready = definition.indexes.filter((index) => index.state === 'ready')
    if (ready.length === 0) return
    const expected = new Map<number, number>()
    const head = tablePrefix(ROW_SPACE, definition.id)
    await this.#slices({ gte: head, lt: afterPrefix(head) }, (slice) => {
      for (const { key, value } of slice) {
        const row = this.#attempt(`row ${hex(key)}`, () => decodeRow(key, value))
        if (row === undefined) continue
        const pk = key.subarray(ROW_KEY_AT)
        for (const { index, value: indexed } of indexEntries(definition, row, 'skip')) {
          if (index.state !== 'ready') continue
          expected.set(index.id, (expected.get(index.id) ?? 0) + 1)
          if (this.#reader.get(indexKey(definition.id, index.id, indexed, pk)) === undefined) {
            this.#report(`row ${hex(key)}`, `is not in index ${definition.name}.${index.name}`)
          }
        }
        this.#checkUnique(definition, ready, row, pk, expected)
      }
    })
    for (const index of ready) {
      const prefix = index.unique
        ? tablePrefix(ROW_SPACE, index.hidden)
        : tablePrefix(INDEX_SPACE, definition.id, index.id)
      const entries = this.#reader.scan({ gte: prefix, lt: afterPrefix(prefix) }, () => undefined)
      this.#indexEntries += entries
      if (entries !== (expected.get(index.id) ?? 0)) {
        this.#report(
          `index ${definition.name}.${index.name}`,
          `has ${entries} entries; its rows have ${expected.get(index.id) ?? 0}`,
        )
      }
    }
  }

  #checkUnique(
    definition: TableDefinition,
    ready: TableDefinition['indexes'],
    row: Row,
    pk: Bytes,
    expected: Map<number, number>,
  ): void {
    for (const index of ready) {
      if (!index.unique) continue
      const value = this.#attempt(`index ${index.name}`, () => indexValue(definition, index, row))
      if (value === undefined) continue
      expected.set(index.id, (expected.get(index.id) ?? 0) + 1)
      const hidden = rowKey(index.hidden, value)
      const stored = this.#reader.get(hidden)
      const owner =
        stored === undefined
          ? undefined
          : this.#attempt(`index ${index.name}`, () => decodeRow(hidden, stored)['k'])
      if (!(owner instanceof Uint8Array) || !equalBytes(owner, pk)) {
        this.#report(`index ${definition.name}.${index.name}`, `does not lead to row ${hex(pk)}`)
      }
    }
  }

  /** Keys in the index space that are of live indexes are whole; others are left by dropped ones. */
  async #checkIndexSpace(state: LogState): Promise<void> {
    const known = new Set<string>()
    for (const definition of state.definitions.values()) {
      for (const index of definition.indexes) {
        known.add(binaryString(tablePrefix(INDEX_SPACE, definition.id, index.id)))
      }
    }
    await this.#walk(INDEX_SPACE, (key, value) => {
      if (!known.has(binaryString(key.subarray(0, INDEX_VALUE_AT)))) return
      this.#attempt(`index entry ${hex(key)}`, () => keyEnd(key, keyEnd(key, INDEX_VALUE_AT)))
      if (value.length > 0) this.#report(`index entry ${hex(key)}`, 'has a value')
    })
  }

  /** Raw entries and the records of their decisions, from the oldest kept on. */
  async #checkLog(state: LogState): Promise<void> {
    const oldest = edgeEntry(this.#reader, 'oldest')
    const start = Math.max(1, state.trimmed, readBeginning(this.#reader))
    if (oldest > start || (oldest === 0 && state.position >= start)) {
      this.#report(`entry ${start}`, 'is missing')
    }
    let chain: Bytes = new Uint8Array(DIGEST_BYTES)
    const whole = start === 1
    let chunks = 0
    const decided = new Set<number>()
    for (let position = start; position <= state.position; position++) {
      const frame = readEntry(this.#reader, position)
      if (frame === undefined) {
        this.#report(`entry ${position}`, 'is missing')
        continue
      }
      this.#entries++
      chunks += this.#checkChunks(position)
      if (whole) chain = digest(chain, frame)
      const entry = this.#attempt(`entry ${position}`, () =>
        decodeEntry(frame, identityAt(state, position)),
      )
      if (entry?.kind === 'batch' && entry.transactions.length + entry.commands.length > 0) {
        decided.add(position)
      }
      if (position % SLICE === 0) await this.#options.pause?.()
    }
    if (whole && !equalBytes(chain, state.entryChain)) {
      this.#report('log', 'its entries do not have the chain hash that its state has')
    }
    const from = entryKey(start, 0)
    const stray = this.#reader.scan(
      { gte: from, lt: Uint8Array.of(ENTRY_SPACE + 1) },
      () => undefined,
    )
    if (stray !== chunks) this.#report('log', `has ${stray} chunks; its entries have ${chunks}`)
    await this.#checkRecords(start, decided)
  }

  /** The chunks of an entry are numbered without a gap. */
  #checkChunks(position: number): number {
    let chunk = 0
    const range = { gte: entryKey(position, 0), lt: entryKey(position + 1, 0) }
    return this.#reader.scan(range, (key) => {
      if (!equalBytes(key, entryKey(position, chunk++)))
        this.#report(`entry ${position}`, `has a chunk under a damaged key ${hex(key)}`)
    })
  }

  /** Each entry that decided something has a record of it, and there are no others. */
  async #checkRecords(start: number, decided: Set<number>): Promise<void> {
    await this.#walk(CHANGE_SPACE, (key, value) => {
      const where = `record ${hex(key)}`
      if (key.length !== CHANGE_KEY_BYTES) {
        this.#report(where, 'has a damaged key')
        return
      }
      const position = changePosition(key)
      this.#attempt(where, () => decodeChangeRecord(position, value))
      // Those of trimmed entries go when the janitor comes by.
      if (!decided.delete(position) && position >= start)
        this.#report(where, 'has no entry that decided anything')
    })
    const [first] = decided
    if (first !== undefined)
      this.#report(`record ${first}`, `the records of ${decided.size} decisions are missing`)
  }

  /** Keys in no space of ours. */
  #checkStrays(): void {
    const spaces = [META_SPACE, ENTRY_SPACE, CHANGE_SPACE, STATS_SPACE, ROW_SPACE, INDEX_SPACE]
    let gte: Bytes = Uint8Array.of(0)
    for (const space of [...spaces, 0x100]) {
      const range = space === 0x100 ? { gte } : { gte, lt: Uint8Array.of(space) }
      this.#reader.scan(range, (key) =>
        this.#report(`key ${hex(key)}`, 'is in no space of Holdfast'),
      )
      gte = Uint8Array.of(space + 1)
    }
    this.#reader.scan(
      { gte: Uint8Array.of(META_SPACE), lt: Uint8Array.of(META_SPACE + 1) },
      (key) => {
        if (!RECORDS.some((known) => equalBytes(key, known))) {
          this.#report(`key ${hex(key)}`, 'is no record of Holdfast')
        }
      },
    )
  }

  /** Keys are in order, and each that is walked over is found: inner pages are sound too. */
  async #checkKeys(): Promise<void> {
    let last: Bytes | undefined
    await this.#slices({ gte: EMPTY, lt: undefined }, (slice) => {
      for (const { key, value } of slice) {
        const found = this.#reader.get(key)
        if (found === undefined || !equalBytes(found, value))
          this.#report(`key ${hex(key)}`, 'is walked over but not found')
        if (last !== undefined && compareBytes(last, key) >= 0)
          this.#report(`key ${hex(key)}`, 'is not in its place')
        last = key
      }
    })
  }

  /** Visits every key of a space, with borrowed bytes that the visitor may look up others by. */
  async #walk(space: number, visit: (key: Bytes, value: Bytes) => void): Promise<void> {
    await this.#slices({ gte: Uint8Array.of(space), lt: Uint8Array.of(space + 1) }, (slice) => {
      for (const { key, value } of slice) visit(key, value)
    })
  }

  async #slices(
    range: { gte: Bytes; lt: Bytes | undefined },
    run: (slice: readonly { key: Bytes; value: Bytes }[]) => void,
  ): Promise<void> {
    for (let gte = range.gte; ;) {
      const slice: { key: Bytes; value: Bytes }[] = []
      this.#reader.scan({ gte, lt: range.lt, limit: SLICE }, (key, value) => {
        slice.push({ key: copyBytes(key), value: copyBytes(value) })
      })
      run(slice)
      this.#done += slice.length
      this.#options.progress?.(this.#done)
      const last = slice.at(-1)
      if (last === undefined || slice.length < SLICE) return
      gte = Buffer.concat([last.key, Uint8Array.of(0)])
      await this.#options.pause?.()
    }
  }

  #attempt<T>(where: string, run: () => T): T | undefined {
    try {
      return run()
    } catch (cause) {
      if (isHoldfastError(cause, 'Closed', 'NewerFormat')) throw cause
      this.#report(where, cause instanceof Error ? cause.message : String(cause))
      return undefined
    }
  }

  #report(where: string, what: string): void {
    this.#count++
    if (this.#problems.length < PROBLEMS_LISTED) this.#problems.push({ where, what })
  }
}

interface Live {
  readonly definition: TableDefinition
  readonly hidden: boolean
}

/** Every table that a definition names, by id, hidden ones among them. */
export function liveTables(state: LogState): Map<number, Live> {
  const tables = new Map<number, Live>()
  tables.set(IDEMPOTENCY_DEFINITION.id, { definition: IDEMPOTENCY_DEFINITION, hidden: true })
  for (const definition of state.definitions.values()) {
    tables.set(definition.id, { definition, hidden: false })
    for (const index of definition.indexes) {
      if (index.unique)
        tables.set(index.hidden, { definition: hiddenDefinition(definition, index), hidden: true })
    }
  }
  return tables
}
