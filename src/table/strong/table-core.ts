/**
 * What every operation on one table shares: its definition as it is now, its schema, and rows to and
 * from bytes.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { EMPTY, hex, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { Key } from '../../core/key-codec.ts'
import { LIMITS } from '../../core/limits.ts'
import { decodeValue, encodeValue, type Value } from '../../core/value-codec.ts'
import type { Position } from '../../log/log.ts'
import { keyOfRow, type IndexDefinition, type TableDefinition } from '../../shard/definitions.ts'
import { tableNamed } from '../../shard/log-state.ts'
import { borrowRowKey } from '../../shard/layout.ts'
import type { Node, RowRef } from '../../shard/node.ts'
import { decodeRow, rowVersionOf, type Row } from '../../shard/row-codec.ts'
import type { StoreReader } from '../../store/store.ts'
import type { Deleted, Durability, Written } from '../handles.ts'
import { formatToken } from '../token.ts'
import { unknownTable } from './refusals.ts'

export type Migrate = (row: Record<string, unknown>, from: number) => object

export interface TableCode {
  readonly schema: StandardSchemaV1 | undefined
  readonly migrate: Migrate | undefined
}

export class TableCore {
  readonly node: Node
  readonly name: string
  /** What the newest declaration brought: one handle serves them all. */
  code: TableCode
  /** As of the state's `definitionsVersion` that was seen. */
  #definition: TableDefinition | undefined
  #seen = -1

  constructor(node: Node, name: string, code: TableCode) {
    this.node = node
    this.name = name
    this.code = code
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
    return definition
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

  /** The row as it is to be stored: checked by the schema, with its key. */
  prepare(input: unknown): Prepared {
    const row = this.validate(input)
    const definition = this.definition
    const key = keyOfRow(definition, row)
    return { definition, row, key, ref: this.node.refOfKey(definition, key) }
  }

  /** Throws `InvalidRow` with the schema's issues. */
  validate(input: unknown): Row {
    const { schema } = this.code
    let row = input
    if (schema !== undefined) {
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
  readonly row: Row
  readonly key: Key
  readonly ref: RowRef
}

/** Token and row are made only when they are asked for. */
class Receipt implements Written<Row> {
  readonly position: Position
  readonly #node: Node
  readonly #value: Bytes
  #row: Row | undefined

  constructor(node: Node, position: Position, value: Bytes) {
    this.#node = node
    this.position = position
    this.#value = value
  }

  get row(): Row {
    return (this.#row ??= decodeValue(this.#value) as Row)
  }

  get durability(): Durability {
    return durabilityOf(this.#node)
  }

  get token(): string {
    return formatToken(hex(this.#node.loop.state.identity), this.position)
  }
}

export function durabilityOf(node: Node): Durability {
  return node.store.durability === 'flushed' ? 'fsynced' : 'memory'
}
