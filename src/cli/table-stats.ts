/** Tables as people see them. */
import { HoldfastError } from '../core/errors.ts'
import type { TableStats } from '../table/handles.ts'
import type { Session } from './session.ts'

/** Tables whose names begin so are the database's own. */
const OWN = '_'

export async function tablesOf(session: Session): Promise<readonly TableStats[]> {
  const { tables } = await session.call('stats', {})
  return tables.filter(({ name }) => !name.startsWith(OWN))
}

/** Throws `UnknownTable`. */
export async function tableOf(session: Session, table: string): Promise<TableStats> {
  const found = (await tablesOf(session)).find(({ name }) => name === table)
  if (found !== undefined) return found
  throw new HoldfastError('UnknownTable', `there is no table ${table}`, { details: { table } })
}

export function tableCells({ name, rows, bytes, key, indexes, validated }: TableStats): {
  readonly [column: string]: string | number
} {
  return {
    table: name,
    rows,
    bytes,
    key: key.join(', '),
    indexes: indexes.map(indexText).join(' '),
    schema: validated ? 'checked' : 'unvalidated',
  }
}

function indexText({ name, fields, unique, state }: TableStats['indexes'][number]): string {
  const notes = [unique ? 'unique' : '', state === 'ready' ? '' : state].filter(Boolean)
  return `${name}(${fields.join(',')})${notes.length === 0 ? '' : `[${notes.join(' ')}]`}`
}
