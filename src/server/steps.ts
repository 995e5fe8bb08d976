/**
 * A transaction as a list of steps: whoever asks keeps no state here between requests (ADR 18). The
 * steps run in one transaction, in their order. Each has an outcome, a value or the code of a
 * refusal, and the outcome a digest.
 *
 *   try      outcomes of all steps; nothing is applied
 *   commit   each step says by `expect` which outcome it was decided by: with another one nothing
 *            is committed. So what was read before is read again, in the transaction that writes.
 */
import { turn, type Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import type { Key } from '../core/key-codec.ts'
import { stringifyWire, type Value } from '../core/wire.ts'
import type { Query, TransactOptions, WriteOptions } from '../table/handles.ts'
import {
  isHidden,
  isSameKey,
  keyOf,
  unknownTable,
  type AnyDatabase,
  type AnyRow,
  type ShellQuery,
} from './any-rows.ts'
import type { TransactionTable } from './changes.ts'
import { checkCondition, isFailedCondition } from './conditions.ts'
import { textDigest } from './digest.ts'
import { problemOf } from './http/problem.ts'
import type { Step, TransactionRequest } from './step-forms.ts'

export interface StepLimits {
  /** Rows that one step may give. Default 10,000. */
  readonly rows: number
  /** Characters of all outcomes in wire form. Default 16 Mi. */
  readonly chars: number
}

const STEP_LIMITS: StepLimits = { rows: 10_000, chars: 16 * 1024 * 1024 }

export type StepResult =
  | { readonly ok: Value; readonly digest: string }
  | { readonly error: { readonly [member: string]: Value }; readonly digest: string }

export type TransactionAnswer =
  | { readonly results: readonly StepResult[]; readonly token: string }
  /** The idempotency key was used before: the value that was kept then. */
  | { readonly replayed: Value; readonly token: string }

/** Milliseconds that steps take before others have a turn. */
const TURN_MS = 5
/** Rows of a count after which it is seen whether the call was given up. */
const COUNTED_A_LOOK = 256
/** So many times the rows of a step may be counted by index: each is part of the read set. */
const COUNTED_STEPS = 10

/** Ends a transaction that was tried only. */
class Tried extends Error {
  override readonly name = 'Tried'
}

/** Throws `Conflict` for an outcome that is not the expected one, and the error of a step that has none. */
export async function runSteps(
  db: AnyDatabase,
  env: Env,
  { steps, mode = 'commit', request = null, value }: TransactionRequest,
  options: WriteOptions,
  limits: StepLimits = STEP_LIMITS,
): Promise<TransactionAnswer> {
  const isTry = mode === 'try'
  // Nothing to run, and nothing to look up.
  if (isTry && steps.length === 0 && options.idempotencyKey === undefined) {
    return { results: [], token: db.token }
  }
  let results: readonly StepResult[] = []
  // Its own object: what comes back as it is was not kept by an earlier call.
  const kept = value === undefined ? {} : { value }
  const calls: TransactOptions = { ...options, request }
  try {
    const outcome = await db.transact(async (tx) => {
      const table = (name: string): TransactionTable => tx.table(name)
      results = await new Run(db, table, env, limits, options.signal).all(steps, isTry)
      if (isTry) throw new Tried()
      return kept
    }, calls)
    if (outcome !== kept) return { replayed: outcome.value ?? null, token: db.token }
  } catch (cause) {
    if (!(cause instanceof Tried)) throw cause
  }
  return { results, token: db.token }
}

type Outcome = { readonly ok: Value } | { readonly error: HoldfastError }

/** One attempt at all steps. */
class Run {
  readonly #db: AnyDatabase
  readonly #table: (name: string) => TransactionTable
  readonly #env: Env
  readonly #limits: StepLimits
  readonly #signal: AbortSignal | undefined
  #chars = 0
  #counted = 0

  constructor(
    db: AnyDatabase,
    table: (name: string) => TransactionTable,
    env: Env,
    limits: StepLimits,
    signal: AbortSignal | undefined,
  ) {
    this.#db = db
    this.#table = table
    this.#env = env
    this.#limits = limits
    this.#signal = signal
  }

  /** In a try, the list ends with the first refusal that was not expected. */
  async all(steps: readonly Step[], isTry: boolean): Promise<StepResult[]> {
    const results: StepResult[] = []
    const { clock } = this.#env
    let turnMs = clock.monotonicMs()
    for (const [place, step] of steps.entries()) {
      if (clock.monotonicMs() - turnMs >= TURN_MS) {
        await turn(this.#env)
        turnMs = clock.monotonicMs()
      }
      throwIfGivenUp(this.#signal)
      const outcome = await this.#outcomeOf(step)
      const result = this.#resultOf(outcome)
      results.push(result)
      if (step.expect !== undefined) {
        if (step.expect !== result.digest) throw changed(place)
      } else if ('error' in outcome) {
        if (isTry) return results
        throw refusedAt(outcome.error, place)
      }
    }
    return results
  }

  #resultOf(outcome: Outcome): StepResult {
    // Of a refusal its details count too: who caught it may have gone by them.
    const told =
      'error' in outcome
        ? { error: { ...problemOf(outcome.error), message: outcome.error.message } }
        : outcome
    const text = stringifyWire(told)
    this.#chars += text.length
    if (this.#chars > this.#limits.chars) {
      throw tooLarge(`the outcomes have more than ${this.#limits.chars} characters`)
    }
    return { ...told, digest: textDigest(text) }
  }

  async #outcomeOf(step: Step): Promise<Outcome> {
    try {
      return { ok: await this.#do(step) }
    } catch (cause) {
      if (isOutcome(cause)) return { error: cause }
      throw cause
    }
  }

  async #do(step: Step): Promise<Value> {
    const { op, key } = step
    const table = this.#tableOf(step.table)
    if (op === 'put' && key !== undefined) this.#checkKey(step, key)
    if (step.ifMatch !== undefined) await this.#checkMatch(table, step, step.ifMatch)
    switch (op) {
      case 'get':
        return (await table.get(key as Key)) ?? null
      case 'has':
        return table.has(key as Key)
      case 'getMany':
        return this.#getMany(table, step.keys as readonly Key[])
      case 'query':
        return this.#query(table, step.query ?? {})
      case 'count':
        return this.#count(table, step.query ?? {})
      case 'insert':
        return shown(await table.insert(step.row as AnyRow))
      case 'put':
        return shown(await table.put(step.row as AnyRow))
      case 'delete':
        return table.delete(key as Key)
      default:
        modify(table, step)
        return null
    }
  }

  #tableOf(name: string): TransactionTable {
    if (isHidden(name)) throw unknownTable(this.#db, name)
    try {
      return this.#table(name)
    } catch (cause) {
      throw isHoldfastError(cause, 'UnknownTable') ? unknownTable(this.#db, name) : cause
    }
  }

  #checkKey({ table, row }: Step, key: Key): void {
    if (isSameKey(keyOf(this.#db, table, row as AnyRow), key)) return
    const message = `an update of ${table} cannot change the key; delete and insert instead`
    throw new HoldfastError('InvalidArgument', message)
  }

  async #checkMatch(table: TransactionTable, step: Step, etag: string | null): Promise<void> {
    const key = step.key ?? keyOf(this.#db, step.table, step.row as AnyRow)
    const row = await table.get(key)
    const condition = etag === null ? { noneMatch: '*' as const } : { match: [etag] }
    checkCondition(step.table, key, row, condition)
  }

  async #getMany(table: TransactionTable, keys: readonly Key[]): Promise<Value> {
    if (keys.length > this.#limits.rows) {
      throw tooLarge(`a step has ${keys.length} keys; the limit is ${this.#limits.rows}`)
    }
    return (await table.getMany(keys)).map((row) => row ?? null)
  }

  async #query(table: TransactionTable, query: ShellQuery): Promise<Value> {
    const { rows: most } = this.#limits
    const limit = Math.min(query.limit ?? most + 1, most + 1)
    const rows = await table.query({ ...query, limit } as unknown as NoQuery).toArray()
    if (rows.length > most) throw tooLarge(`a step gives more than ${most} rows`)
    return rows
  }

  /** One by one: as a list they would all be held at once. */
  async #count(table: TransactionTable, query: ShellQuery): Promise<number> {
    const most = this.#limits.rows * COUNTED_STEPS
    const rows = table.query(query as unknown as NoQuery)[Symbol.asyncIterator]()
    let count = 0
    while ((await rows.next()).done !== true) {
      count++
      if (count % COUNTED_A_LOOK === 0) throwIfGivenUp(this.#signal)
      if (query.index !== undefined && ++this.#counted > most) {
        throw tooLarge(`the counts by index are of more than ${most} rows`)
      }
    }
    return count
  }
}

type NoQuery = Query<never, never, never>

/** Stateful ops cannot refuse in a transaction, but for fields that an index or the key covers. */
function modify(table: TransactionTable, { op, key, fields = {}, remove, create }: Step): void {
  const options = create === undefined ? undefined : { create }
  const given = fields as never
  switch (op) {
    case 'increment':
      return table.increment(key as Key, given, options)
    case 'decrement':
      return table.decrement(key as Key, given, options)
    case 'min':
      return table.min(key as Key, given, options)
    case 'max':
      return table.max(key as Key, given, options)
    case 'append':
      return table.append(key as Key, given, options)
    default: {
      const gone = Object.fromEntries((remove ?? []).map((field) => [field, undefined]))
      return table.patch(key as Key, { ...fields, ...gone }, options)
    }
  }
}

/** What the caller may have caught: it is so for the same steps over the same rows again. */
function isOutcome(cause: unknown): cause is HoldfastError {
  if (!isHoldfastError(cause)) return false
  if (cause.code === 'Conflict') return isFailedCondition(cause)
  return cause.kind === 'rejected' || cause.kind === 'conflict'
}

/** A signal's own reason says more: a deadline, or a client that went away. */
function throwIfGivenUp(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return
  const { reason } = signal as { reason: unknown }
  if (isHoldfastError(reason)) throw reason
  throw new HoldfastError('Cancelled', 'the call was aborted', { cause: reason })
}

/** As it is stored: a member without a value is none. */
function shown(row: AnyRow): Value {
  return row
}

function changed(place: number): HoldfastError {
  return new HoldfastError(
    'Conflict',
    `step ${place} has another outcome now than the one it was decided by`,
    { details: { step: place } },
  )
}

function refusedAt(error: HoldfastError, place: number): HoldfastError {
  return new HoldfastError(error.code, `step ${place}: ${error.message}`, {
    cause: error,
    applied: 'no',
    details: { ...error.details, step: place },
  })
}

function tooLarge(message: string): HoldfastError {
  return new HoldfastError('TransactionTooLarge', message)
}
