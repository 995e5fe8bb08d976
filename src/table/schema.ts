/**
 * How tables are declared. A definition is a value; row type, key type and index types are inferred
 * from it, and a key or index over a field that cannot be one does not compile.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { HoldfastError } from '../core/errors.ts'
import type { KeyPart } from '../core/key-codec.ts'
import { LIMITS } from '../core/limits.ts'
import { DURABILITIES, type Durability } from '../shard/durability.ts'

type FieldName<Row> = keyof Row & string

/** Fields that always hold a key type. */
export type KeyField<Row> = {
  [F in FieldName<Row>]-?: [Row[F]] extends [KeyPart] ? F : never
}[FieldName<Row>]

/** Fields that hold a key type, or are missing or null in some rows. */
export type IndexField<Row> = {
  [F in FieldName<Row>]-?: [NonNullable<Row[F]>] extends [KeyPart] ? F : never
}[FieldName<Row>]

/** Fields that hold a Date, or none: what a time to live can be kept in. */
export type DateField<Row> = {
  [F in FieldName<Row>]-?: [NonNullable<Row[F]>] extends [Date] ? F : never
}[FieldName<Row>]

/** One field, or several as a tuple; unique when no two rows may have the same value. */
export type IndexSpec<Row> =
  | IndexField<Row>
  | readonly [IndexField<Row>, ...IndexField<Row>[]]
  | { readonly unique: IndexField<Row> | readonly [IndexField<Row>, ...IndexField<Row>[]] }

export type IndexSpecs<Row> = { readonly [name: string]: IndexSpec<Row> }
export type KeySpec<Row> = KeyField<Row> | readonly [KeyField<Row>, ...KeyField<Row>[]]

/** A schema that types rows and checks nothing: it says so. */
export interface Unvalidated<Row> extends StandardSchemaV1<Row, Row> {
  readonly unvalidated: true
}

/** Types the rows of a table and leaves them unchecked at run time. */
export function unvalidated<Row extends object>(): Unvalidated<Row> {
  return {
    unvalidated: true,
    '~standard': { version: 1, vendor: 'holdfast', validate: (value) => ({ value: value as Row }) },
  }
}

/** An index in which no two rows have the same value. */
export function unique<const Fields>(fields: Fields): { readonly unique: Fields } {
  return { unique: fields }
}

interface StrongExtras<Row> {
  /** How many leading fields of the key decide a row's shard. Default 1. */
  readonly partition?: number
  /** The field with the time after which a row is removed. */
  readonly ttl?: DateField<Row>
  /**
   * The version of the rows' shape. Raise it together with `migrate` to rename or fill fields: rows
   * of older versions are changed when read, and rewritten in the background. Default 0.
   */
  readonly version?: number
  /** Makes a row of this version of one that has version `from`. Pure. */
  readonly migrate?: (row: Record<string, unknown>, from: number) => Row
  /**
   * What an ack of this table must mean at the least. A database whose acks mean less refuses to
   * open, and writes while they do (`DurabilityTooLow`): `fsynced` is satisfied by `fsynced` and
   * `quorum-fsynced`, `quorum` by `quorum` and `quorum-fsynced`. Of the program that declares it, not
   * of the data. Default: any.
   */
  readonly leastDurability?: Durability
}

export interface StrongOptions<
  In,
  Row,
  K extends KeySpec<Row>,
  I extends IndexSpecs<Row>,
> extends StrongExtras<Row> {
  /** A Standard Schema (zod, valibot, arktype, ...), or `unvalidated<Row>()`. */
  readonly row: StandardSchemaV1<In, Row>
  /** The field that is the key, or several for a tuple. */
  readonly key: K
  readonly indexes?: I
}

/** Options of a table whose row type is given by hand: rows are `unvalidated`. */
export interface PlainOptions<Row> extends StrongExtras<Row> {
  readonly key: KeyField<Row> | readonly [KeyField<Row>, ...KeyField<Row>[]]
  readonly indexes?: IndexSpecs<Row>
}

/** The type of a table's key. */
export type KeyOf<Row, K> = K extends readonly (keyof Row)[]
  ? { readonly [P in keyof K]: K[P] extends keyof Row ? Row[K[P]] : never }
  : K extends keyof Row
    ? Row[K]
    : never

declare const TYPES: unique symbol

/** A declared table whatever its types: what `open` takes. */
export interface AnyDefinition {
  readonly kind: 'strong'
  readonly schema: StandardSchemaV1 | undefined
  readonly key: readonly string[]
  readonly partition: number
  readonly indexes: readonly DeclaredIndex[]
  readonly ttl: string
  readonly version: number
  readonly migrate: ((row: Record<string, unknown>, from: number) => object) | undefined
  readonly leastDurability: Durability | undefined
}

/** A declared strong table, not yet opened. */
export interface StrongDefinition<In, Row, KeyType, Indexes> extends AnyDefinition {
  readonly [TYPES]?: { in: In; row: Row; key: KeyType; indexes: Indexes }
}

export interface DeclaredIndex {
  readonly name: string
  readonly fields: readonly string[]
  readonly unique: boolean
}

export type TableDefinitions = { readonly [name: string]: AnyDefinition }

/**
 * Declares a table that goes through the log: strictly serializable.
 *
 * @throws HoldfastError `InvalidSchema` when options contradict each other
 */
export function strong<
  In extends object,
  Row extends object,
  const K extends KeySpec<Row>,
  const I extends IndexSpecs<Row> = Record<never, never>,
>(options: StrongOptions<In, Row, K, I>): StrongDefinition<In, Row, KeyOf<Row, K>, I>
export function strong<Row extends object>(
  options: PlainOptions<Row>,
): StrongDefinition<Row, Row, PlainKey<Row>, Record<string, IndexField<Row>>>
export function strong(options: LooseOptions): AnyDefinition {
  const { key: given } = (options ?? {}) as Partial<LooseOptions>
  if (typeof given !== 'string' && !Array.isArray(given)) {
    throw invalid('a table is declared with a key: a field, or a list of them')
  }
  const key = typeof given === 'string' ? [given] : [...(given as readonly string[])]
  const indexes = Object.entries(options.indexes ?? {}).map(([name, spec]) => declare(name, spec))
  const definition: AnyDefinition = {
    kind: 'strong',
    schema: options.row,
    key,
    partition: options.partition ?? 1,
    indexes,
    ttl: options.ttl ?? '',
    version: options.version ?? 0,
    migrate: options.migrate,
    leastDurability: options.leastDurability,
  }
  checkDefinition(definition)
  return definition
}

/** Without literal types the key may be any of the fields that can be one, or a tuple of them. */
type PlainKey<Row> = Row[KeyField<Row>] | readonly Row[KeyField<Row>][]

interface LooseOptions {
  readonly row?: StandardSchemaV1
  readonly key: string | readonly string[]
  readonly indexes?: { readonly [name: string]: unknown }
  readonly partition?: number
  readonly ttl?: string
  readonly version?: number
  readonly migrate?: (row: Record<string, unknown>, from: number) => object
  readonly leastDurability?: Durability
}

function declare(name: string, spec: unknown): DeclaredIndex {
  const unique = typeof spec === 'object' && spec !== null && 'unique' in spec
  const fields = unique ? spec.unique : spec
  if (typeof fields === 'string') return { name, fields: [fields], unique }
  if (Array.isArray(fields) && fields.every((field) => typeof field === 'string')) {
    return { name, fields: [...fields], unique }
  }
  throw invalid(`index ${name} is no field, list of fields, or unique(...) of either`)
}

/** The index that a table with a time to live has over its field. */
export const TTL_INDEX = '_ttl'

const NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/

/** Throws `InvalidSchema` for a name that is no name of a table or index. */
export function checkName(what: string, name: string): void {
  if (name.length > LIMITS.nameChars || !NAME.test(name) || name === '__proto__') {
    throw invalid(
      `${what} ${JSON.stringify(name)}: names are letters, digits, _ and -, at most ${LIMITS.nameChars}`,
    )
  }
}

/** Throws `InvalidSchema` for what `strong` did not make. */
export function checkDeclared(name: string, definition: unknown): void {
  if ((definition as AnyDefinition | undefined)?.kind === 'strong') return
  throw invalid(`table ${name} is not declared by strong(...)`)
}

function checkDefinition(definition: AnyDefinition): void {
  const { key, partition, indexes, version, leastDurability } = definition
  if (key.length === 0) throw invalid('a key has at least one field')
  if (new Set(key).size !== key.length) throw invalid('a key names each field once')
  if (!Number.isInteger(partition) || partition < 1 || partition > key.length) {
    throw invalid(`partition is from 1 to ${key.length}, the number of key fields`)
  }
  if (indexes.length > LIMITS.tableIndexes) {
    throw invalid(`a table has at most ${LIMITS.tableIndexes} indexes`)
  }
  for (const index of indexes) {
    checkName('index', index.name)
    if (index.name === TTL_INDEX) throw invalid(`index ${index.name} has a name of Holdfast's own`)
    if (index.fields.length === 0) throw invalid(`index ${index.name} names no field`)
  }
  if (!Number.isInteger(version) || version < 0 || version > 0xffff) {
    throw invalid('a row version is a whole number from 0 to 65535')
  }
  if (leastDurability !== undefined && !DURABILITIES.includes(leastDurability)) {
    throw invalid(`leastDurability is one of ${DURABILITIES.join(', ')}`)
  }
}

function invalid(reason: string): HoldfastError {
  return new HoldfastError('InvalidSchema', `a table definition is wrong: ${reason}`)
}
