/** The names that complete what a user types: of tables, their indexes and fields, and contexts. */
import { copied } from '../../core/bytes.ts'
import { DEFINITIONS_KEY, STATE_KEY } from '../../shard/apply-loop.ts'
import { tablePrefix, ROW_SPACE } from '../../shard/layout.ts'
import { decodeState } from '../../shard/log-state.ts'
import { decodeRow } from '../../shard/row-codec.ts'
import type { StoreReader } from '../../store/store.ts'
import type { Session } from '../session.ts'
import { readUserConfig, userConfigPath } from '../settings/user-config.ts'

export interface TableNames {
  readonly name: string
  readonly key: readonly string[]
  readonly indexes: readonly { readonly name: string; readonly fields: readonly string[] }[]
}

/** Where names come from. Everything may throw; who completes is then silent. */
export interface NameSource {
  tables(): Promise<readonly TableNames[]>
  /** Of some row of the table; empty when it has none. */
  rowFields(table: string): Promise<readonly string[]>
  contexts(): readonly string[]
}

/** Through a session, whoever has the folder open. */
export function sessionNames(session: Session): NameSource {
  return {
    tables: async () => visible((await session.call('stats', {})).tables),
    rowFields: async (table) => {
      const { rows } = await session.call('page', { table, query: {}, limit: 1 })
      return Object.keys(rows[0] ?? {})
    },
    contexts: contextNames,
  }
}

/** From the stored bytes, read beside whoever has the folder open. */
export function storedNames(reader: StoreReader): NameSource {
  const tables = (): ReturnType<typeof storedTables> => storedTables(reader)
  return {
    tables: () => Promise.resolve(visible(tables())),
    rowFields: (table) => {
      const definition = tables().find(({ name }) => name === table)
      return Promise.resolve(definition === undefined ? [] : firstFields(reader, definition.id))
    },
    contexts: contextNames,
  }
}

export function contextNames(): readonly string[] {
  return Object.keys(readUserConfig(userConfigPath(process.env)).contexts)
}

function visible<T extends { readonly name: string }>(tables: readonly T[]): readonly T[] {
  return tables.filter(({ name }) => !name.startsWith('_'))
}

function storedTables(reader: StoreReader): readonly (TableNames & { readonly id: number })[] {
  const record = copied(reader.get(STATE_KEY))
  const definitions = copied(reader.get(DEFINITIONS_KEY))
  if (record === undefined || definitions === undefined) return []
  return [...decodeState(record, definitions).definitions.values()]
}

function firstFields(reader: StoreReader, table: number): readonly string[] {
  let fields: readonly string[] = []
  const gte = tablePrefix(ROW_SPACE, table)
  reader.scan({ gte, limit: 1 }, (key, stored) => {
    const isOurs = gte.every((byte, i) => byte === key[i])
    if (isOurs) fields = Object.keys(decodeRow(key, stored))
  })
  return fields
}
