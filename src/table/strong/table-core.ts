/**
 * What every operation on one table shares: its definition as it is now, its schema, and rows to and
 * from bytes.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { EMPTY, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { decodeKey, encodeKey, type Key } from '../../core/key-codec.ts'
import { LIMITS } from '../../core/limits.ts'
import { decodeValue, encodeValue, type Value } from '../../core/value-codec.ts'
import type { Position } from '../../log/log.ts'
import { keyOfRow, type IndexDefinition, type TableDefinition } from '../../shard/definitions.ts'
import { presentName } from '../../shard/lineage.ts'
import { tableNamed } from '../../shard/log-state.ts'
import { borrowRowKey } from '../../shard/layout.ts'
import type { Node, RowRef } from '../../shard/node.ts'
import { decodeRow, rowVersionOf, type Row } from '../../shard/row-codec.ts'
import type { StoreReader } from '../../store/store.ts'
import type { Deleted, Durability, Written } from '../handles.ts'
import { formatToken } from '../token.ts'
import { assertAtLeast, unknownTable } from './refusals.ts'

export type Migrate = (row: Record<string, unknown>, from: number) => object

export interface TableCode {
  readonly schema: StandardSchemaV1 | undefined
  readonly migrate: Migrate | undefined
  /** What its acks must mean at the least. */
  readonly leastDurability?: Durability | undefined
}

export class TableCore {
  readonly node: Node
  readonly name: string
  /** What the newest declaration brought: one handle serves them all. */
  code: TableCode
  /** As of the state's `definitionsVersion` that was seen. */
  #definition: TableDefinition | undefined
  #seen = -1
  /** The code of a version that is being declared. */
  #announced: { readonly code: TableCode; readonly rowVersion: number } | undefined

  constructor(node: Node, name: string, code: TableCode) {
    this.node = node
    this.name = name
    this.code = code
  }

  /**
   * Has `code` taken as soon as rows are to be of `rowVersion`, in the step that decides so: no row
   * of the old shape is ever taken for one of the new.
   */
  announce(code: TableCode, rowVersion: number): void {
    this.#announced = { code, rowVersion }
  }

  /** The declaration is over: its code was taken, or it was refused. */
  withdraw(): void {
    this.#announced = undefined
  }

  /** The definition that ops are made under now. Throws `UnknownTable` once it was dropped. */
  get definition(): TableDefinition {
    this.node.assertOpen()
    const { state } = this.node.loop
    if (this.#definition !== undefined && this.#seen === state.definitionsVersion)
      return this.#definition
    const definition = tableNamed(state, this.name)
    this.#definition = definition
    this.#seen = state.definitionsVersion
    if (definition === undefined) {
      throw unknownTable(this.name)
    }
    const announced = this.#announced
    if (announced !== undefined && definition.rowVersion === announced.rowVersion) {
      this.#announced = undefined
      this.code = announced.code
    }
    return definition
  }

  /** Throws `DurabilityTooLow` while acks mean less than the table's declaration demands. */
  assertDurable(): void {
    const least = this.code.leastDurability
    if (least !== undefined) assertAtLeast(this.name, this.node.durability, least)
  }

  index(name: string): IndexDefinition {
    const index = this.definition.indexes.find((known) => known.name === name)
    if (index === undefined) {
      throw new HoldfastError('UnknownIndex', `table ${this.name} has no index ${name}`, {
        details: { table: this.name, index: name },
      })
    }
    if (index.state !== 'ready') {
      throw new HoldfastError('IndexNotReady', `index ${name} of ${this.name} is being built`, {
        details: { table: this.name, index: name },
      })
    }
    return index
  }

  /** The row as it is to be stored: checked by the schema, with its key, encoded. */
  prepare(input: unknown): Prepared {
    return this.#prepared(this.validate(input))
  }

  /**
   * What was prepared, for another attempt: as it is, or made anew of its own bytes when the table
   * changed meanwhile. The caller's object is not looked at again: it may have been changed.
   */
  prepareAgain(before: Prepared): Prepared {
    const definition = this.definition
    const row = decodeValue(before.value) as Row
    if (definition === before.definition && this.code.schema === before.schema) {
      return { ...before, row }
    }
    // As a stored row would be that was written in time.
    const { rowVersion } = before.definition
    const newer = definition.rowVersion > rowVersion
    if (!newer && this.code.schema === before.schema) return this.#prepared(row)
    return this.#prepared(this.validate(newer ? this.current(row, rowVersion) : row))
  }

  #prepared(row: Row): Prepared {
    const definition = this.definition
    const key = keyOfRow(definition, row)
    const ref = this.node.refOfKey(definition, key)
    return { definition, schema: this.code.schema, row, key, ref, value: this.encode(row) }
  }

  /** Throws `InvalidRow` with the schema's issues. */
  validate(input: unknown): Row {
    const { schema } = this.code
    let row = input
    // Schemas are made for objects: what is none may make them throw.
    if (schema !== undefined && typeof input === 'object' && input !== null) {
      const result = schema['~standard'].validate(input)
      if (result instanceof Promise) {
        throw new HoldfastError(
          'InvalidSchema',
          `the schema of ${this.name} is asynchronous; rows are checked at once`,
        )
      }
      if (result.issues !== undefined) throw this.#invalidRow(result.issues)
      row = result.value
    }
    if (typeof row !== 'object' || row === null || Array.isArray(row) || row instanceof Date) {
      throw new HoldfastError('InvalidRow', `${this.name}: a row is an object with fields`, {
        details: { table: this.name },
      })
    }
    return row as Row
  }

  #invalidRow(issues: readonly StandardSchemaV1.Issue[]): HoldfastError {
    const listed = issues.map((issue) => ({
      path: (issue.path ?? [])
        .map((part) => String(typeof part === 'object' ? part.key : part))
        .join('.'),
      message: issue.message,
    }))
    const text = listed
      .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
      .join('; ')
    return new HoldfastError('InvalidRow', `${this.name}: ${text}`, {
      details: { table: this.name, issues: listed },
    })
  }

  /** Encodes a row. Throws `InvalidValue`, `RowTooLarge`. */
  encode(row: Row): Bytes {
    const value = encodeValue(row as Value)
    if (value.length > LIMITS.rowBytes) {
      throw new HoldfastError(
        'RowTooLarge',
        `a row of ${this.name} has ${value.length} bytes; the limit is ${LIMITS.rowBytes}`,
        {
          details: { table: this.name, bytes: value.length, limitBytes: LIMITS.rowBytes },
        },
      )
    }
    return value
  }

  ref(key: Key): RowRef {
    const definition = this.definition
    return this.node.refOfKey(definition, key)
  }

  /** The stored row as this version's code sees it. */
  decode(definition: TableDefinition, storeKey: Bytes, stored: Bytes): Row {
    const row = decodeRow(storeKey, stored)
    const version = rowVersionOf(stored)
    return version >= definition.rowVersion ? row : this.current(row, version)
  }

  /** A row that was written with `version`, in the shape of this code's version. */
  current(row: Row, version: number): Row {
    const { migrate } = this.code
    const newest = this.node.loop.state.definitions.get(this.#definition?.id ?? 0)?.rowVersion ?? 0
    if (version >= newest || migrate === undefined) return row
    return migrate(row, version) as Row
  }

  /** Reads one row of flushed state; the hot path of `get`. */
  read(key: Key, reader: StoreReader): Row | undefined {
    const definition = this.definition
    const storeKey = borrowRowKey(definition.id, key)
    const stored = reader.get(storeKey)
    return stored === undefined ? undefined : this.decode(definition, storeKey, stored)
  }

  /** `value`: the row as it was encoded, which no caller can change any more. */
  written(position: Position, value: Bytes): Written<Row> {
    return new Receipt(this.node, position, value)
  }

  deleted(position: Position, existed: boolean): Deleted {
    const { durability, token } = new Receipt(this.node, position, EMPTY)
    return { position, durability, token, existed }
  }
}

export interface Prepared {
  readonly definition: TableDefinition
  readonly schema: StandardSchemaV1 | undefined
  /** Of a first attempt it may be the caller's own object: good in the step of the call alone. */
  readonly row: Row
  readonly key: Key
  readonly ref: RowRef
  /** The row, encoded. */
  readonly value: Bytes
}

/** The key as it is now, whatever its caller does to it later. */
export function ownKey(key: Key): Key {
  return typeof key === 'object' ? decodeKey(encodeKey(key)) : key
}

/** Token and row are made only when they are asked for. */
class Receipt implements Written<Row> {
  readonly position: Position
  readonly durability: Durability
  readonly #node: Node
  readonly #value: Bytes
  #row: Row | undefined

  constructor(node: Node, position: Position, value: Bytes) {
    this.#node = node
    this.position = position
    this.durability = node.durability
    this.#value = value
  }

  get row(): Row {
    return (this.#row ??= decodeValue(this.#value) as Row)
  }

  get token(): string {
    return formatToken(presentName(this.#node.loop.state), this.position)
  }
}
