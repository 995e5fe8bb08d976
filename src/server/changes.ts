/**
 * Changes of one row's fields, all at once: what PATCH takes, and `modify` of a folder's socket.
 * A field is in one of them, so that their order does not matter.
 */
import { HoldfastError } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import type { Value } from '../core/value-codec.ts'
import { modify, type Modification } from '../shard/modification.ts'
import type { Ack, AnyTable, ModifyOptions, WriteOptions, Written } from '../table/handles.ts'
import type { AnyDatabase, AnyRow } from './any-rows.ts'
import { fieldsOf, invalid, listOf, membersOf, textOf, type Members } from './members.ts'

type Fields = Readonly<Record<string, Value>>

export interface Changes {
  readonly set?: Fields | undefined
  readonly remove?: readonly string[] | undefined
  readonly increment?: Readonly<Record<string, number | bigint>> | undefined
  readonly decrement?: Readonly<Record<string, number | bigint>> | undefined
  readonly min?: Fields | undefined
  readonly max?: Fields | undefined
  readonly append?: Readonly<Record<string, readonly Value[]>> | undefined
  /** The row to start from when there is none; without it a missing row is `NotFound`. */
  readonly create?: AnyRow | undefined
}

export type TransactionTable = ReturnType<
  Parameters<Parameters<AnyDatabase['transact']>[0]>[0]['table']
>

const FIELDS = ['set', 'increment', 'decrement', 'min', 'max', 'append'] as const
const MEMBERS: readonly string[] = [...FIELDS, 'remove', 'create']

/** Throws `InvalidRequest` for what are no changes, and for a field that is in two of them. */
export function readChanges(value: unknown): Changes {
  const given = membersOf('a change', value, MEMBERS)
  const seen = new Set<string>()
  const take = (field: string): void => {
    if (seen.has(field)) throw invalid(`field ${JSON.stringify(field)} is changed twice`)
    seen.add(field)
  }
  for (const kind of FIELDS) {
    if (given[kind] !== undefined) Object.keys(fieldsOf(kind, given[kind])).forEach(take)
  }
  for (const [field, amount] of amountsOf(given)) {
    const isNumber = typeof amount === 'number' || typeof amount === 'bigint'
    if (!isNumber) throw invalid(`the amount for ${field} is a number`)
  }
  for (const [field, elements] of Object.entries((given['append'] ?? {}) as Members)) {
    listOf(`append: ${field}`, elements)
  }
  const remove = given['remove'] === undefined ? [] : listOf('remove', given['remove'])
  remove.forEach((name) => take(textOf('a field to remove', name)))
  if (given['create'] !== undefined) fieldsOf('create', given['create'])
  if (seen.size === 0) throw invalid(`a change has at least one of ${MEMBERS.join(', ')}`)
  return given
}

/**
 * Changes the row: by the handle's own method where one kind of change is asked for, else by one
 * transaction. It refuses what the handle's methods refuse.
 */
export function changeRow(
  db: AnyDatabase,
  name: string,
  key: Key,
  changes: Changes,
  options: WriteOptions,
): Promise<Written<AnyRow>> {
  const table = db.table(name)
  const kinds = kindsOf(changes)
  const [kind] = kinds
  // Of a patch of an indexed field the handle keeps no request to compare a key's next use with.
  const isOwn = kind !== 'set' || options.idempotencyKey === undefined
  if (kinds.length === 1 && kind !== undefined && isOwn) {
    return changeAlone(table, key, kind, changes, options)
  }
  return changeTogether(db, table.name, key, changes, options)
}

async function changeTogether(
  db: AnyDatabase,
  name: string,
  key: Key,
  changes: Changes,
  options: WriteOptions,
): Promise<Written<AnyRow>> {
  const request = ['change', name, key as Value, changes as Value]
  const row = await db.transact((tx) => changeIn(tx.table(name), name, key, changes), {
    ...options,
    request,
  })
  return { ...ackOf(db), row }
}

/** The same inside a transaction; the row as it is then. */
export async function changeIn(
  table: TransactionTable,
  name: string,
  key: Key,
  changes: Changes,
): Promise<AnyRow> {
  // Made before it is looked at: a schema may fill in fields that the changes do not fit.
  if (!(await table.has(key))) {
    if (changes.create === undefined) throw noSuchRow(name, key)
    await table.insert(changes.create)
  }
  const start = await table.get(key)
  if (start === undefined) {
    throw new HoldfastError('InvalidArgument', `${name}: the row to create has another key`)
  }
  const outcome = modify(start, statefulPart(changes))
  // By the transaction's own calls: they refuse fields that only `update` may change, and nothing else.
  if (changes.increment !== undefined) table.increment(key, changes.increment)
  if (changes.decrement !== undefined) table.decrement(key, changes.decrement)
  if (changes.min !== undefined) table.min(key, changes.min)
  if (changes.max !== undefined) table.max(key, changes.max)
  if (changes.append !== undefined) table.append(key, changes.append)
  if (!outcome.ok) {
    throw new HoldfastError(
      outcome.code,
      `${name}, field ${outcome.field}: the change does not fit what is there`,
      { details: { table: name, key, field: outcome.field } },
    )
  }
  const { set, remove } = changes
  if (set !== undefined || remove !== undefined) {
    await table.update(key, (row) => ({ ...row, ...patchOf(set, remove) }))
  }
  return (await table.get(key)) as AnyRow
}

/** An ack of what a transaction has just committed: of all that is in the database by now. */
export function ackOf(db: AnyDatabase): Ack {
  const { token, durability } = db
  const position = Number(token.split('.')[2])
  return { position, durability, token }
}

function noSuchRow(table: string, key: Key): HoldfastError {
  return new HoldfastError('NotFound', `${table} has no row with this key`, {
    details: { table, key },
  })
}

type Kind = (typeof FIELDS)[number]

/** `remove` and `set` are one kind: both patch. */
function kindsOf(changes: Changes): Kind[] {
  const kinds = FIELDS.filter((kind) => changes[kind] !== undefined)
  return changes.remove === undefined || kinds.includes('set') ? kinds : ['set', ...kinds]
}

function changeAlone(
  table: AnyTable,
  key: Key,
  kind: Kind,
  { create, remove, ...changes }: Changes,
  options: WriteOptions,
): Promise<Written<AnyRow>> {
  const given: ModifyOptions<AnyRow> = create === undefined ? options : { ...options, create }
  switch (kind) {
    case 'set':
      return table.patch(key, patchOf(changes.set, remove), given)
    case 'increment':
      return table.increment(key, changes.increment ?? {}, given)
    case 'decrement':
      return table.decrement(key, changes.decrement ?? {}, given)
    case 'min':
      return table.min(key, changes.min ?? {}, given)
    case 'max':
      return table.max(key, changes.max ?? {}, given)
    case 'append':
      return table.append(key, changes.append ?? {}, given)
    default:
      throw invalid(`there is no change ${String(kind)}`)
  }
}

/** Undefined removes a field. */
function patchOf(set: Fields = {}, remove: readonly string[] = []): AnyRow {
  return { ...set, ...Object.fromEntries(remove.map((field) => [field, undefined])) }
}

function amountsOf(given: Members): [string, unknown][] {
  return [given['increment'], given['decrement']].flatMap((amounts) =>
    Object.entries((amounts ?? {}) as Members),
  )
}

function statefulPart({ increment, decrement = {}, min, max, append }: Changes): Modification {
  const negative = Object.entries(decrement).map(([field, amount]) => [field, -amount] as const)
  return {
    increment: { ...increment, ...Object.fromEntries(negative) },
    min: min ?? {},
    max: max ?? {},
    append: append ?? {},
  }
}
