/** `holdfast update`: changes of one row's fields, all at once. */
import { printAck } from '../acks.ts'
import { parseAssignments } from '../assignments.ts'
import { compareKeys, type Key } from '../../core/key-codec.ts'
import type { Value } from '../../core/wire.ts'
import type { Changes } from '../../server/changes.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { findKey, sayNoRow } from '../found-key.ts'
import { withSession } from '../open-session.ts'
import { rowOf } from '../row-text.ts'
import type { Session } from '../session.ts'
import type { Shell } from '../shell.ts'
import { keyReadings } from '../typed-text.ts'
import type { WriteOptions } from './put.ts'

export interface UpdateOptions extends WriteOptions {
  readonly set?: readonly string[] | undefined
  readonly unset?: readonly string[] | undefined
  readonly increment?: readonly string[] | undefined
  readonly decrement?: readonly string[] | undefined
  readonly min?: readonly string[] | undefined
  readonly max?: readonly string[] | undefined
  readonly append?: readonly string[] | undefined
  readonly create?: string | undefined
}

export async function updateCommand(
  shell: Shell,
  table: string,
  parts: readonly string[],
  options: UpdateOptions,
): Promise<number> {
  const changes = await changesOf(options)
  const { idempotencyKey } = options
  const written = await withSession(shell, async (session) => {
    const key =
      (await findKey(session, table, parts)) ?? (await newKey(session, table, parts, changes))
    if (key === undefined) return undefined
    return session.call('modify', { table, key, changes, idempotencyKey })
  })
  if (written === undefined) return sayNoRow(shell, table, parts)
  await printAck(shell, written, 'updated')
  return EXIT.ok
}

async function changesOf(options: UpdateOptions): Promise<Changes> {
  const { set, unset, increment, decrement, min, max, append, create } = options
  const changes = {
    ...(set && { set: parseAssignments(set) }),
    ...(unset && { remove: unset }),
    ...(increment && { increment: amounts('--increment', increment) }),
    ...(decrement && { decrement: amounts('--decrement', decrement) }),
    ...(min && { min: parseAssignments(min) }),
    ...(max && { max: parseAssignments(max) }),
    ...(append && { append: elements(append) }),
  }
  if (Object.keys(changes).length === 0) {
    throw new UsageError(
      'update takes --set, --unset, --increment, --decrement, --min, --max or --append',
    )
  }
  return create === undefined ? changes : { ...changes, create: await rowOf([create]) }
}

function amounts(option: string, texts: readonly string[]): Record<string, number | bigint> {
  const fields = parseAssignments(texts)
  for (const [field, amount] of Object.entries(fields)) {
    if (typeof amount !== 'number' && typeof amount !== 'bigint') {
      throw new UsageError(`${option} ${field} takes a number, or :='{"$bigint":"1"}'`)
    }
  }
  return fields as Record<string, number | bigint>
}

/** Of an array all elements are appended, of anything else itself. */
function elements(texts: readonly string[]): Record<string, readonly Value[]> {
  return Object.fromEntries(
    Object.entries(parseAssignments(texts)).map(([field, value]) => {
      const all: readonly Value[] = Array.isArray(value) ? value : [value]
      return [field, all]
    }),
  )
}

/** The reading of the key that the row to create has. */
async function newKey(
  session: Session,
  table: string,
  parts: readonly string[],
  { create }: Changes,
): Promise<Key | undefined> {
  if (create === undefined) return undefined
  const { tables } = await session.call('stats', {})
  const fields = tables.find(({ name }) => name === table)?.key ?? []
  const values = fields.map((field) => create[field])
  if (values.includes(undefined)) {
    throw new UsageError(`--create has no field ${fields.join(', ')}, the key of ${table}`)
  }
  const own = (values.length === 1 ? values[0] : values) as Key
  const key = keyReadings(parts).find((each) => compareKeys(each, own) === 0)
  if (key !== undefined) return key
  throw new UsageError(`the row of --create has another key than ${parts.join(' ')}`)
}
