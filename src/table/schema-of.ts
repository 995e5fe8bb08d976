/** The schema that checks a table's rows, for what describes tables to others. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyTable } from './handles.ts'
import { StrongTableHandle } from './strong/strong-table.ts'

/** Undefined when the rows are not checked, or not by this process. */
export function schemaOf(table: AnyTable): StandardSchemaV1 | undefined {
  return table instanceof StrongTableHandle ? table.core.code.schema : undefined
}
