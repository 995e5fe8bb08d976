/** The steps of a transaction as they come from outside, read and checked before any of them runs. */
import type { Key } from '../core/key-codec.ts'
import type { Value } from '../core/value-codec.ts'
import type { AnyRow, ShellQuery } from './any-rows.ts'
import { fieldsOf, invalid, isObject, listOf, membersOf, textOf, type Members } from './members.ts'

/** Ops of a transaction, with the members that each takes beside `table`, `op` and `expect`. */
const OPS = {
  get: ['key', 'ifMatch'],
  getMany: ['keys'],
  has: ['key'],
  query: ['query'],
  count: ['query'],
  insert: ['row'],
  put: ['row'],
  delete: ['key', 'ifMatch'],
  increment: ['key', 'fields', 'create', 'ifMatch'],
  decrement: ['key', 'fields', 'create', 'ifMatch'],
  min: ['key', 'fields', 'create', 'ifMatch'],
  max: ['key', 'fields', 'create', 'ifMatch'],
  append: ['key', 'fields', 'create', 'ifMatch'],
  patch: ['key', 'fields', 'remove', 'create', 'ifMatch'],
} as const

const READS: ReadonlySet<string> = new Set(['get', 'getMany', 'has', 'query', 'count'])

const QUERY = ['index', 'eq', 'gt', 'gte', 'lt', 'lte', 'prefix', 'reverse', 'limit'] as const
const TRANSACTION = ['steps', 'mode', 'request', 'value'] as const

export type StepOp = keyof typeof OPS

export const STEP_OPS: readonly string[] = Object.keys(OPS)

export interface Step {
  readonly table: string
  readonly op: StepOp
  /** The digest of the outcome that the caller goes by; with another one nothing is committed. */
  readonly expect?: string | undefined
  /** The row's ETag, or null for no row; anything else refuses the step. */
  readonly ifMatch?: string | null | undefined
  /** With `put`: the key that the row must have; else it is not the row that was updated. */
  readonly key?: Key | undefined
  readonly keys?: readonly Key[] | undefined
  readonly query?: ShellQuery | undefined
  readonly row?: AnyRow | undefined
  readonly fields?: AnyRow | undefined
  readonly remove?: readonly string[] | undefined
  readonly create?: AnyRow | undefined
}

export interface TransactionRequest {
  readonly steps: readonly Step[]
  /** `commit` (default); `try` gives the outcomes and applies nothing. */
  readonly mode?: 'commit' | 'try' | undefined
  /** What the call is about, when it has an idempotency key. Default null. */
  readonly request?: Value | undefined
  /** What a later call with the same idempotency key is answered. */
  readonly value?: Value | undefined
}

/** Throws `InvalidRequest`, with the step's place, for what is no transaction. */
export function readTransaction(value: unknown): TransactionRequest {
  const given = membersOf('a transaction', value, TRANSACTION)
  const { mode } = given
  if (mode !== undefined && mode !== 'commit' && mode !== 'try') {
    throw invalid("mode is 'commit' or 'try'")
  }
  listOf('steps', given['steps']).forEach(checkStep)
  return given as unknown as TransactionRequest
}

/** Whether it would change rows. */
export function hasWrites({ steps }: TransactionRequest): boolean {
  return steps.some(({ op }) => !READS.has(op))
}

function checkStep(value: unknown, place: number): void {
  const what = `step ${place}`
  if (!isObject(value)) throw invalid(`${what} is an object with table and op`)
  const op = textOf(`${what}: op`, value['op'])
  if (!Object.hasOwn(OPS, op)) {
    throw invalid(`${what}: there is no op ${op}; there are: ${Object.keys(OPS).join(', ')}`)
  }
  const own: readonly string[] = OPS[op as StepOp]
  const more = op === 'put' ? ['ifMatch', 'key'] : op === 'insert' ? ['ifMatch'] : []
  const step = membersOf(what, value, ['table', 'op', 'expect', ...own, ...more])
  textOf(`${what}: table`, step['table'])
  if (step['expect'] !== undefined) textOf(`${what}: expect`, step['expect'])
  if (step['ifMatch'] !== undefined && step['ifMatch'] !== null) {
    textOf(`${what}: ifMatch`, step['ifMatch'])
  }
  for (const member of ['key', 'keys', 'row', 'fields']) {
    if (own.includes(member) && step[member] === undefined) throw invalid(`${what} needs ${member}`)
  }
  checkArguments(what, step)
}

function checkArguments(what: string, step: Members): void {
  if (step['keys'] !== undefined) listOf(`${what}: keys`, step['keys'])
  if (step['fields'] !== undefined) fieldsOf(`${what}: fields`, step['fields'])
  if (step['create'] !== undefined) fieldsOf(`${what}: create`, step['create'])
  if (step['remove'] !== undefined) {
    listOf(`${what}: remove`, step['remove']).forEach((name) => textOf(`${what}: remove`, name))
  }
  if (step['query'] !== undefined) checkQuery(`${what}: query`, step['query'])
  // Else an amount that is none would be found at the commit alone.
  if (step['op'] === 'increment' || step['op'] === 'decrement') {
    for (const amount of Object.values(step['fields'] as Members)) {
      if (typeof amount !== 'number' && typeof amount !== 'bigint') {
        throw invalid(`${what}: an amount is a number`)
      }
    }
  }
}

/** Throws `InvalidRequest`; the bounds themselves are checked where they are used. */
function checkQuery(what: string, value: unknown): void {
  const { index, reverse, limit } = membersOf(what, value, QUERY)
  if (index !== undefined) textOf(`${what}: index`, index)
  if (reverse !== undefined && typeof reverse !== 'boolean') {
    throw invalid(`${what}: reverse is true or false`)
  }
  if (limit !== undefined && !(Number.isSafeInteger(limit) && Number(limit) >= 0)) {
    throw invalid(`${what}: limit is a whole number from 0`)
  }
}
