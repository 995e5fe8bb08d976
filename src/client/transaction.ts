/**
 * A transaction as the list of the calls that its function made so far (ADR 18). To answer a call the
 * list is tried on the server, which applies nothing; to commit, it is sent once more with what each
 * call was answered, and committed only if every answer is still the same.
 *
 *   tx.a.get(1), tx.a.get(2) ──▶ try    [get, get]
 *   tx.a.put(row)            ──▶ try    [get = x, get = y, put]
 *   the function returns     ──▶ commit [get = x, get = y, put = z]
 *
 * Calls of one turn of the event loop go together. Their order is the order they are made in.
 */
import { HoldfastError, isHoldfastError } from '../core/holdfast-error.ts'
import type { Value } from '../core/wire.ts'
import { CallPromise } from '../core/call-promise.ts'
import { problemError } from './problem.ts'
import type { Answer, Terms, Transport } from './transport.ts'

/** One call that the server has not answered yet. */
export interface Pending {
  /** Its step, as the text of a JSON object without the brace that ends it. */
  readonly text: string
  readonly writes: boolean
  /** Whether it takes more than a step where it is embedded: a query. */
  readonly runs: boolean
  /** For a read that a write follows at once: names the row. Nothing of it may come between. */
  readonly row?: string | undefined
  /** Told the outcome; returns what follows at once. Throws what the caller is told. */
  readonly done: (value: Value) => Made | undefined
  readonly fail: (cause: unknown) => void
  /** Undefined for a call that gives nothing, and so cannot be refused but by ending it all. */
  readonly promise: CallPromise<unknown> | undefined
}

interface StepResult {
  readonly ok?: Value
  readonly error?: Value
  readonly digest: string
}

interface TransactionAnswer {
  readonly results?: readonly StepResult[]
  readonly replayed?: Value
}

export interface Commit {
  readonly request: string
  readonly idempotencyKey: string | undefined
}

const TRANSACTIONS = '/v1/transactions'

export class RemoteTransaction {
  readonly #transport: Transport
  readonly #terms: Terms
  readonly #commit: Commit
  /** Steps with the digests of their outcomes. */
  readonly #settled: string[] = []
  #queue: Pending[] = []
  #running: Promise<void> | undefined
  readonly #calls = new Set<CallPromise<unknown>>()
  #closed = false
  #writes = false
  /** Why nothing of it counts any more: what it read has changed, or a request failed. */
  #failure: HoldfastError | undefined

  constructor(transport: Transport, terms: Terms, commit: Commit) {
    this.#transport = transport
    this.#terms = terms
    this.#commit = commit
  }

  /** Whether others changed what it had read: it is to be run again. */
  get lost(): boolean {
    return this.#failure?.code === 'Conflict'
  }

  get failure(): HoldfastError | undefined {
    return this.#failure
  }

  assertOpen(): void {
    if (this.#closed) throw overError()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** A call of the function; `pending` makes what is sent for it. */
  call<T>(
    pending: (resolve: (value: T) => void, reject: (cause: unknown) => void) => Made,
  ): Promise<T> {
    let queue = (): void => undefined
    const promise = new CallPromise<T>((resolve, reject) => {
      try {
        this.assertOpen()
        const made = pending(resolve, reject)
        queue = () => this.#add({ ...made, fail: reject, promise })
      } catch (cause) {
        // Behind this turn `promise` is there, and knows its refusal.
        queue = () => {
          promise.refusal = { cause }
        }
        reject(cause)
      }
    })
    if (!this.#closed) {
      this.#calls.add(promise)
      promise.whenSettled(
        () => this.#calls.delete(promise),
        (cause) => (promise.refusal = { cause }),
      )
    }
    queue()
    return promise
  }

  /** A call that gives nothing: it goes with the next one that does. */
  note(text: string): void {
    this.assertOpen()
    const fail = (cause: unknown): void => this.#fail(cause)
    const done = (): undefined => undefined
    this.#queue.push({ text, writes: true, runs: false, done, fail, promise: undefined })
  }

  #add(pending: Pending): void {
    this.#queue.push(pending)
    this.#runLater()
  }

  #runLater(): void {
    this.#running ??= this.#transport
      .turn()
      .then(() => (this.#closed ? undefined : this.#drain()))
      .finally(() => {
        this.#running = undefined
        if (!this.#closed && this.#queue.some(({ promise }) => promise !== undefined)) {
          this.#runLater()
        }
      })
  }

  /** Tries until every call of the queue has its outcome. Never rejects. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0 && this.#failure === undefined) {
      const batch = this.#nextBatch()
      try {
        const { results = [] } = await this.#send('try', batch)
        this.#settle(batch, results.slice(this.#settled.length))
      } catch (cause) {
        this.#fail(cause)
        for (const { fail } of batch) fail(cause)
      }
    }
    for (const { fail } of this.#queue.splice(0)) fail(this.#failure)
  }

  /** Calls in their order, up to where one needs the outcome of one before it. */
  #nextBatch(): Pending[] {
    const rows = new Set<string>()
    let count = 0
    for (const { row } of this.#queue) {
      if (rows.size > 0 && (row === undefined || rows.has(row))) break
      if (row !== undefined) rows.add(row)
      count++
    }
    return this.#queue.splice(0, count)
  }

  #settle(batch: readonly Pending[], results: readonly StepResult[]): void {
    const next: Pending[] = []
    let told = 0
    for (const [i, pending] of batch.entries()) {
      const result = results[i]
      if (result === undefined) break
      told++
      this.#settled.push(`${pending.text},"expect":${JSON.stringify(result.digest)}}`)
      this.#writes ||= pending.writes
      if (result.error !== undefined) {
        pending.fail(problemError(result.error)?.error)
        continue
      }
      try {
        const more = pending.done(result.ok ?? null)
        const { fail, promise } = pending
        if (more !== undefined) next.push({ ...more, fail, promise })
      } catch (cause) {
        pending.fail(cause)
      }
    }
    if (told === 0) throw new HoldfastError('Bug', 'the server ran none of the steps')
    // Behind a refusal the list ends; what follows is tried anew.
    this.#queue = [...next, ...batch.slice(told), ...this.#queue]
  }

  #fail(cause: unknown): void {
    this.#failure ??= isHoldfastError(cause)
      ? cause
      : new HoldfastError('Bug', 'a transaction failed by itself', { cause })
  }

  /** After its function returned, a transaction's handles do nothing any more. */
  close(): void {
    this.#closed = true
    this.#failure ??= overError()
    for (const { fail } of this.#queue.splice(0)) fail(overError())
  }

  /**
   * Settles what was called and not awaited, then commits. What was thrown to nobody is thrown here.
   * Returns what an earlier call with the same idempotency key gave, if there was one.
   */
  async finish(
    value: string | undefined,
  ): Promise<{ answer: Answer | undefined; replayed?: Value }> {
    this.#closed = true
    await this.#running
    if (this.#queue.some(({ runs }) => runs)) throw this.#unfinished()
    const isLooked = this.#queue.some(({ promise, row }) => promise?.taken || row !== undefined)
    const isKept = this.#commit.idempotencyKey !== undefined
    const isWriting = this.#writes || this.#queue.some(({ writes }) => writes)
    if (isLooked || !(isWriting || isKept)) await this.#drain()
    this.#assertCalls()
    // What only reads was of one moment at the last try.
    if (!isWriting && !this.#writes && !isKept) return { answer: undefined }
    const last = this.#queue.splice(0)
    try {
      const sent = await this.#post('commit', last, value)
      const { results = [], replayed } = sent.value as unknown as TransactionAnswer
      if (replayed !== undefined) {
        for (const { fail } of last) fail(overError())
        return { answer: sent, replayed }
      }
      for (const [i, { done }] of last.entries())
        done(results[this.#settled.length + i]?.ok ?? null)
      return { answer: sent }
    } catch (cause) {
      for (const { fail } of last) fail(cause)
      this.#fail(cause)
      throw cause
    }
  }

  /** What was called counts, awaited or not. */
  #assertCalls(): void {
    if (this.#failure !== undefined) throw this.#failure
    for (const { refusal, taken } of this.#calls) {
      if (refusal !== undefined && !taken) throw refusal.cause
    }
  }

  #unfinished(): HoldfastError {
    const error = new HoldfastError(
      'TransactionClosed',
      'a query was still running when the function of its transaction returned; await it',
    )
    for (const { fail } of this.#queue.splice(0)) fail(error)
    return error
  }

  /** What an earlier call with the same idempotency key gave, as a list of none or one. */
  async replayed(): Promise<Value | undefined> {
    return (await this.#send('try', [])).replayed
  }

  async #send(mode: 'try', batch: readonly Pending[]): Promise<TransactionAnswer> {
    const { value } = await this.#post(mode, batch, undefined)
    return value as unknown as TransactionAnswer
  }

  #post(
    mode: 'try' | 'commit',
    batch: readonly Pending[],
    value: string | undefined,
  ): Promise<Answer> {
    const { idempotencyKey, request } = this.#commit
    const steps = [...this.#settled, ...batch.map(({ text }) => `${text}}`)].join(',')
    const kept = value === undefined ? '' : `,"value":${value}`
    // A try that has steps is no use of the key.
    const isUse = mode === 'commit' || steps === ''
    return this.#transport.call(
      {
        method: 'POST',
        path: TRANSACTIONS,
        body: `{"steps":[${steps}],"mode":"${mode}","request":${request}${kept}}`,
        writes: mode === 'commit',
        idempotencyKey: isUse ? idempotencyKey : undefined,
      },
      this.#terms,
    )
  }
}

/** What a call sends, and does with its outcome. */
export type Made = Omit<Pending, 'fail' | 'promise'>

function overError(): HoldfastError {
  return new HoldfastError(
    'TransactionClosed',
    'this transaction is over; its handles cannot be used',
  )
}
