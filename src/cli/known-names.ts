/** An error about a name that is not there, with the name that was probably meant. */
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { nearest } from './nearest.ts'
import type { Session } from './session.ts'

/** The error itself, or one like it that has the next command in its details. */
export async function withNames(session: Session, error: unknown): Promise<unknown> {
  if (!isHoldfastError(error, 'UnknownTable', 'UnknownIndex')) return error
  const { table, index } = error.details
  if (error.details['next'] !== undefined || typeof table !== 'string') return error
  const next = await suggestion(session, table, index)
  if (next === undefined) return error
  const { code, message, cause, applied, details } = error
  return new HoldfastError(code, message, { cause, applied, details: { ...details, next } })
}

async function suggestion(
  session: Session,
  table: string,
  index: unknown,
): Promise<string | undefined> {
  const tables = await tablesOf(session)
  if (tables === undefined) return undefined
  const names = tables.map(({ name }) => name).filter((name) => !name.startsWith('_'))
  if (typeof index === 'string') {
    const indexes = tables.find(({ name }) => name === table)?.indexes.map(({ name }) => name) ?? []
    const make = `holdfast tables alter ${table} --add-index ${index}=FIELD`
    return meant(index, indexes, `holdfast tables show ${table}`, make)
  }
  return meant(table, names, 'holdfast tables', `holdfast tables create ${table} --key FIELD`)
}

function meant(name: string, known: readonly string[], list: string, none: string): string {
  const best = nearest(name, known)
  if (best !== undefined) return `did you mean ${best}?   (${list} shows all)`
  return known.length === 0 ? none : `${list}   (there are ${known.slice(0, 5).join(', ')})`
}

/** Undefined when they cannot be had: the error that is being told is the one that matters. */
async function tablesOf(
  session: Session,
): Promise<Awaited<ReturnType<typeof session.call<'stats'>>>['tables'] | undefined> {
  try {
    return (await session.call('stats', {})).tables
  } catch {
    return undefined
  }
}
