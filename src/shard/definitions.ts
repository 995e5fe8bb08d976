/**
 * Table definitions: data in the log, never code (S10). And what follows from them purely: a row's
 * key, its shard, its index entries.
 */
import type { Bytes } from '../core/bytes.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { digest64, type Digest64 } from '../core/hash.ts'
import { encodeKey, keyEnd, type Key } from '../core/key-codec.ts'
import { LIMITS } from '../core/limits.ts'
import { ownField } from '../core/own-field.ts'
import type { Row } from './row-codec.ts'

/**
 * - `pending`: kept up by every write, being filled for the rows there were
 * - `ready`: complete
 */
export type IndexState = 'pending' | 'ready'

export interface IndexDefinition {
  /** Unique within its table, never used again; from 1. */
  readonly id: number
  readonly name: string
  /** One field, or several as a tuple. */
  readonly fields: readonly string[]
  readonly unique: boolean
  /** The hidden table whose rows are a unique index's entries (S11); 0 when not unique. */
  readonly hidden: number
  readonly state: IndexState
}

export interface TableDefinition {
  /** Random at creation: a table made anew under an old name is another one (E15). */
  readonly id: number
  readonly name: string
  /** Rises by one with every change; ops carry it. */
  readonly version: number
  readonly kind: 'strong'
  /** The fields of the key; several make a tuple. */
  readonly key: readonly string[]
  /** How many leading fields of the key decide the shard. */
  readonly partition: number
  readonly indexes: readonly IndexDefinition[]
  /** The next index's id. */
  readonly nextIndex: number
  /** The field that holds when a row expires, or ''. */
  readonly ttl: string
  /** The version of the row transform that rows are to be of; writes stamp it. */
  readonly rowVersion: number
  /** No row is of an older version than this: below `rowVersion` while rows are being rewritten. */
  readonly oldestRowVersion: number
  /** Whether a schema checks rows at the callers. */
  readonly validated: boolean
}

/** Hidden tables have ids from here on, visible ones below. */
export const HIDDEN_TABLES = 0x80000000
/** The hidden table of idempotency keys (S3). */
export const IDEMPOTENCY_TABLE = 0x80000000

/** The key of `row`, as its table's definition says. Throws `InvalidKey` when a field is missing. */
export function keyOfRow(definition: TableDefinition, row: Row): Key {
  const { key } = definition
  if (key.length === 1) return keyField(definition, row, key[0] as string)
  return key.map((field) => keyField(definition, row, field))
}

function keyField(definition: TableDefinition, row: Row, field: string): Key {
  const value = ownField(row, field)
  if (value === undefined || value === null) {
    throw new HoldfastError('InvalidKey', `${definition.name}: the key field ${field} is missing`, {
      details: { table: definition.name, field },
    })
  }
  return value as Key
}

const scratch: Digest64 = { hi: 0, lo: 0 }
const PARTITION_SALT = 0x9e3779b1

/** The shard of a row, by the leading parts of its encoded key. */
export function shardOfKey(definition: TableDefinition, key: Bytes, shards: number): number {
  let start = 0
  let end = key.length
  if (definition.key.length > 1) {
    start = 1
    end = 1
    for (let part = 0; part < definition.partition; part++) end = keyEnd(key, end)
  }
  return shardOfBytes(key, start, end, shards)
}

export function shardOfBytes(key: Bytes, start: number, end: number, shards: number): number {
  digest64(key, start, end, PARTITION_SALT, scratch)
  return scratch.hi % shards
}

/** The encoded value of `index` in `row`; undefined when a field is missing or null: not indexed. */
export function indexValue(
  definition: TableDefinition,
  index: IndexDefinition,
  row: Row,
): Bytes | undefined {
  const { fields } = index
  const parts: Key[] = []
  for (const field of fields) {
    const value = ownField(row, field)
    if (value === undefined || value === null) return undefined
    parts.push(value as Key)
  }
  try {
    return encodeKey(parts.length === 1 ? (parts[0] as Key) : parts, LIMITS.indexValueBytes)
  } catch (cause) {
    if (!(cause instanceof HoldfastError)) throw cause
    const code = cause.code === 'KeyTooLarge' ? 'KeyTooLarge' : 'NotIndexable'
    throw new HoldfastError(
      code,
      `${definition.name}: ${fields.join(', ')} cannot go into index ${index.name}: ${cause.message}`,
      { cause, details: { table: definition.name, index: index.name, fields } },
    )
  }
}

/** Index entries of a row in the indexes that are not unique. */
export interface IndexEntry {
  readonly index: IndexDefinition
  readonly value: Bytes
}

/**
 * `unfit`: what to do with a value that no index can hold. Callers refuse it; apply skips it, since
 * a row may be older than the index.
 */
export function indexEntries(
  definition: TableDefinition,
  row: Row,
  unfit: 'refuse' | 'skip',
): IndexEntry[] {
  const entries: IndexEntry[] = []
  for (const index of definition.indexes) {
    if (index.unique) continue
    const value =
      unfit === 'refuse' ? indexValue(definition, index, row) : fitValue(definition, index, row)
    if (value !== undefined) entries.push({ index, value })
  }
  return entries
}

/** As `indexValue`, but undefined for a value that no index can hold. */
export function fitValue(
  definition: TableDefinition,
  index: IndexDefinition,
  row: Row,
): Bytes | undefined {
  try {
    return indexValue(definition, index, row)
  } catch (cause) {
    if (isHoldfastError(cause, 'NotIndexable', 'KeyTooLarge')) return undefined
    throw cause
  }
}

/** The definition that a unique index's hidden table has: its key is one value, its shard its own. */
export function hiddenDefinition(owner: TableDefinition, index: IndexDefinition): TableDefinition {
  return {
    ...IDEMPOTENCY_DEFINITION,
    id: index.hidden,
    name: `${owner.name}.${index.name}`,
  }
}

export const IDEMPOTENCY_DEFINITION: TableDefinition = {
  id: IDEMPOTENCY_TABLE,
  name: 'idempotency keys',
  version: 1,
  kind: 'strong',
  key: ['key'],
  partition: 1,
  indexes: [],
  nextIndex: 1,
  ttl: '',
  rowVersion: 0,
  oldestRowVersion: 0,
  validated: false,
}

/** Fields that the key or an index covers: stateful ops may not change them (S4). */
export function coveredFields(definition: TableDefinition): Set<string> {
  const covered = new Set(definition.key)
  for (const index of definition.indexes) for (const field of index.fields) covered.add(field)
  if (definition.ttl !== '') covered.add(definition.ttl)
  return covered
}
