/**
 * The proposer: takes transactions from callers, seals many into one entry (group commit, S1), hands
 * entries to the log under its session (S3), and settles each caller once the fate of its
 * transaction was read back and flushed.
 *
 * A full entry is sealed as soon as it is full. What is not full is sealed at the end of the turn,
 * together with the full ones of that turn, or, when entries of an earlier turn are on their way,
 * once those are flushed: so a lone caller waits for nobody, and under load a flush is shared by all
 * who came during the one before.
 */
import { assert } from '../core/assert.ts'
import { equalBytes, hex, type Bytes } from '../core/bytes.ts'
import type { Cancel, Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { DIGEST_BYTES } from '../core/hash.ts'
import { LIMITS } from '../core/limits.ts'
import {
  encodeBatch,
  encodeControl,
  opBytes,
  readBytes,
  type Transaction,
} from '../log/entry-codec.ts'
import type { Log, Position } from '../log/log.ts'
import type { Applied, ApplyListener, ApplyLoop } from './apply-loop.ts'
import type { OpResult } from './change-record.ts'
import { commandValue, type Command, type CommandResult } from './command.ts'
import type { Verdict } from './resolver.ts'

/** What became of a transaction, as read in the log and flushed. */
export interface Fate {
  readonly position: Position
  readonly verdict: Verdict
  /** The ordinal in the entry of the transaction's first op. */
  readonly ordinal: number
  readonly results: ReadonlyMap<number, OpResult>
}

interface Waiting {
  readonly transaction: Transaction | undefined
  readonly command: Command | undefined
  readonly bytes: number
  /** By the monotonic clock: when the caller stops waiting. */
  readonly deadlineMs: number
  settle: (fate: Fate | CommandFate) => void
  fail: (cause: HoldfastError) => void
  /** The caller has its answer: when it is not sealed yet, it never will be. */
  done: boolean
}

export interface CommandFate {
  readonly position: Position
  readonly result: CommandResult
}

interface Sealed {
  readonly number: number
  readonly digest: Bytes
  readonly waiting: readonly Waiting[]
}

/** Entries that may be on their way. */
const INFLIGHT_MAX = 16
const SWEEP_MS = 250

export interface CallOptions {
  /** Milliseconds until the call gives up. Default 15,000. */
  readonly deadlineMs?: number | undefined
  /** Aborts the call. What was not sent yet is then not applied. */
  readonly signal?: AbortSignal | undefined
}

export class Proposer implements ApplyListener {
  readonly #env: Env
  readonly #log: Log
  readonly #loop: ApplyLoop
  readonly #node: string
  #session: Position = 0
  #number = 0
  #settledBelow = 1
  #staged: Waiting[] = []
  #stagedBytes = 0
  readonly #sealed: Sealed[] = []
  #scheduled = false
  /** Entries sealed since the last turn ended: they are flushed together. */
  #sealedThisTurn = 0
  #cancelSweep: Cancel = () => undefined
  /** The monotonic clock at the last sweep: deadlines are kept to within one. */
  #nowMs: number
  #stopped: HoldfastError | undefined
  #closing: HoldfastError | undefined
  #opened:
    | { readonly nonce: Bytes; resolve: () => void; reject: (cause: unknown) => void }
    | undefined

  /** `node` names this node in its session's entry. */
  constructor(env: Env, log: Log, loop: ApplyLoop, node: string) {
    this.#env = env
    this.#log = log
    this.#loop = loop
    this.#node = node
    this.#nowMs = env.clock.monotonicMs()
    loop.listen(this)
  }

  get session(): Position {
    return this.#session
  }

  /** Opens this incarnation's session, and closes those that earlier ones of this node left. */
  async open(): Promise<void> {
    const left = [...this.#loop.state.sessions.values()].filter((session) => session.open)
    const nonce = this.#env.random.bytes(DIGEST_BYTES)
    const opened = new Promise<void>((resolve, reject) => {
      this.#opened = { nonce, resolve, reject }
    })
    const value = { nonce, node: this.#node, timeMs: this.#env.clock.wallMs() }
    const { identity } = this.#loop.state
    const frame = encodeControl(identity, { kind: 'open', value })
    await Promise.all([this.#log.append(frame, hex(nonce)), opened])
    for (const session of left) {
      const close = encodeControl(identity, { kind: 'close', session: session.id })
      await this.#log.append(close, `close-${session.id}`)
    }
    this.#sweep()
  }

  /** Proposes a transaction. Rejects with a coded error that says whether it was applied (S9). */
  propose(transaction: Transaction, options: CallOptions = NO_OPTIONS): Promise<Fate> {
    return new Promise((resolve, reject) => {
      this.submit(transaction, options, resolve, reject)
    })
  }

  /** As `propose`, for callers that make a promise of their own. */
  submit(
    transaction: Transaction,
    options: CallOptions,
    settle: (fate: Fate) => void,
    fail: (cause: HoldfastError) => void,
  ): void {
    let bytes = 8
    for (const read of transaction.reads) bytes += readBytes(read)
    for (const op of transaction.ops) bytes += opBytes(op)
    if (bytes > LIMITS.transactionBytes) {
      fail(
        new HoldfastError(
          'TransactionTooLarge',
          `a transaction has ${bytes} bytes with its read set; the limit is ${LIMITS.transactionBytes}`,
          { details: { bytes, limitBytes: LIMITS.transactionBytes } },
        ),
      )
      return
    }
    this.#stage(transaction, undefined, bytes, options, settle as Waiting['settle'], fail)
  }

  command(command: Command, options: CallOptions = NO_OPTIONS): Promise<CommandFate> {
    return new Promise((resolve, reject) => {
      const settle = resolve as Waiting['settle']
      this.#stage(undefined, command, LIMITS.entryTargetBytes, options, settle, reject)
    })
  }

  applied({ position, decision, results }: Applied): void {
    if (decision.kind === 'opened') {
      const opened = this.#opened
      if (opened === undefined || !equalBytes(opened.nonce, decision.nonce)) return
      this.#opened = undefined
      this.#session = decision.session
      opened.resolve()
      return
    }
    if (decision.kind !== 'batch' || decision.batch.session !== this.#session) return
    const sealed = this.#sealed[0]
    if (sealed === undefined || sealed.number !== decision.batch.number) return
    // A fate is matched by digest, never by number alone (S3).
    assert(equalBytes(sealed.digest, decision.batch.digest), 'a number of ours has another digest')
    assert(
      decision.admission === 'apply',
      `batch ${sealed.number} was refused: ${decision.admission}`,
    )
    this.#sealed.shift()
    this.#settledBelow = sealed.number + 1
    this.#settle(sealed, position, decision, results)
    this.#schedule()
  }

  halted(cause: HoldfastError): void {
    const { code, message } = cause
    const halted = new HoldfastError('Halted', `the database stopped: ${message}`, {
      cause,
      details: { code },
    })
    this.#stop(cause, halted)
  }

  /** Refuses new calls, and settles those there are. */
  async close(): Promise<void> {
    const closed = new HoldfastError('Closed', 'the database was closed')
    this.#closing = closed
    while (this.#stopped === undefined && this.#staged.length + this.#sealed.length > 0) {
      this.#flush(true)
      if (this.#sealed.length > 0) await this.#loop.reached(this.#log.last()).catch(ignore)
    }
    this.#stop(closed, closed)
  }

  #stage(
    transaction: Transaction | undefined,
    command: Command | undefined,
    bytes: number,
    options: CallOptions,
    settle: Waiting['settle'],
    fail: Waiting['fail'],
  ): void {
    const refusal = this.#stopped ?? this.#closing
    if (refusal !== undefined) {
      fail(refusal)
      return
    }
    // Once a group: a clock that stood still while the process was busy would cut the deadline short.
    if (this.#staged.length === 0) this.#nowMs = this.#env.clock.monotonicMs()
    if (this.#stagedBytes > LIMITS.stagedBytes) {
      fail(
        new HoldfastError(
          'Overloaded',
          `${this.#staged.length} writes are waiting already; await some of them`,
        ),
      )
      return
    }
    const deadlineMs = this.#nowMs + (options.deadlineMs ?? LIMITS.deadlineMs)
    const waiting: Waiting = { transaction, command, bytes, deadlineMs, settle, fail, done: false }
    if (options.signal !== undefined) this.#abortable(waiting, options.signal)
    if (waiting.done) return
    this.#staged.push(waiting)
    this.#stagedBytes += bytes
    if (this.#stagedBytes >= LIMITS.entryTargetBytes) this.#flush(false)
    this.#schedule()
  }

  #abortable(waiting: Waiting, signal: AbortSignal): void {
    const abort = (): void => {
      if (waiting.done) return
      const sent = !this.#staged.includes(waiting) && this.#number > 0
      this.#fail(
        waiting,
        sent
          ? new HoldfastError('Aborted', 'the call was aborted after it was sent', {
              cause: signal.reason,
            })
          : new HoldfastError('Cancelled', 'the call was aborted before it was sent', {
              cause: signal.reason,
            }),
      )
    }
    if (signal.aborted) {
      waiting.done = true
      waiting.fail(
        new HoldfastError('Cancelled', 'the call was aborted before it began', {
          cause: signal.reason,
        }),
      )
      return
    }
    signal.addEventListener('abort', abort, { once: true })
    const { settle, fail } = waiting
    waiting.settle = (fate) => {
      signal.removeEventListener('abort', abort)
      settle(fate)
    }
    waiting.fail = (cause) => {
      signal.removeEventListener('abort', abort)
      fail(cause)
    }
  }

  /** Has what is staged sealed at the end of this turn, if it may be. */
  #schedule(): void {
    if (this.#scheduled) return
    if (this.#staged.length === 0 && this.#sealedThisTurn === 0) return
    this.#scheduled = true
    this.#env.timers.soon(() => {
      this.#scheduled = false
      this.#flush(true)
      this.#sealedThisTurn = 0
    })
  }

  /** Seals what is staged: full entries, and the rest when `partial` and nothing else is on its way. */
  #flush(partial: boolean): void {
    while (this.#staged.length > 0 && this.#stopped === undefined) {
      if (this.#sealed.length >= INFLIGHT_MAX) return
      const full = this.#stagedBytes >= LIMITS.entryTargetBytes
      const alone = this.#sealed.length <= this.#sealedThisTurn
      if (!full && !(partial && alone)) return
      this.#seal()
    }
  }

  #seal(): void {
    const waiting = this.#take()
    if (waiting.length === 0) return
    const { state } = this.#loop
    const number = ++this.#number
    const transactions: Transaction[] = []
    for (const { transaction } of waiting)
      if (transaction !== undefined) transactions.push(transaction)
    const command = waiting[0]?.command
    const { frame, digest } = encodeBatch(state.identity, {
      session: this.#session,
      number,
      settledBelow: this.#settledBelow,
      carried: state,
      nonce: this.#env.random.bytes(DIGEST_BYTES),
      timeMs: this.#env.clock.wallMs(),
      commands: command === undefined ? [] : [commandValue(command)],
      transactions,
    })
    this.#sealed.push({ number, digest, waiting })
    this.#sealedThisTurn++
    this.#log
      .append(frame, `${this.#session}.${number}.${hex(digest)}.1`)
      .catch((cause: unknown) => {
        // The local log refuses only when it is closed; the fate is then never read.
        this.#stop(
          new HoldfastError('OutcomeUnknown', 'the log refused an entry', { cause }),
          new HoldfastError('Closed', 'the log refused an entry', { cause }),
        )
      })
  }

  /** The next entry's callers: transactions up to the target, or one command alone. */
  #take(): Waiting[] {
    const taken: Waiting[] = []
    let bytes = 0
    let next = 0
    for (; next < this.#staged.length; next++) {
      const waiting = this.#staged[next] as Waiting
      if (waiting.done) {
        this.#stagedBytes -= waiting.bytes
        continue
      }
      const alone = waiting.command !== undefined
      if (taken.length > 0) {
        if (alone || bytes + waiting.bytes > LIMITS.entryTargetBytes) break
        if (taken.length >= LIMITS.entryTransactions) break
      }
      taken.push(waiting)
      bytes += waiting.bytes
      this.#stagedBytes -= waiting.bytes
      if (alone) {
        next++
        break
      }
    }
    this.#staged = this.#staged.slice(next)
    return taken
  }

  #settle(
    sealed: Sealed,
    position: Position,
    decision: Extract<Applied['decision'], { kind: 'batch' }>,
    results: ReadonlyMap<number, OpResult>,
  ): void {
    let ordinal = 0
    let transactions = 0
    for (const waiting of sealed.waiting) {
      const { transaction } = waiting
      if (transaction === undefined) {
        const result = decision.commands[0]
        if (result !== undefined && !waiting.done) waiting.settle({ position, result })
        waiting.done = true
        continue
      }
      const verdict = decision.verdicts[transactions++] as Verdict
      if (!waiting.done) {
        waiting.done = true
        waiting.settle({ position, verdict, ordinal, results })
      }
      ordinal += transaction.ops.length
    }
  }

  /** Fails callers whose deadline has passed: those not sent were not applied. */
  #sweep(): void {
    const now = this.#env.clock.monotonicMs()
    this.#nowMs = now
    for (const waiting of this.#staged) {
      if (!waiting.done && waiting.deadlineMs <= now) {
        this.#fail(
          waiting,
          new HoldfastError('DeadlineExceeded', 'the deadline passed before the call was sent'),
        )
      }
    }
    for (const { waiting: list } of this.#sealed) {
      for (const waiting of list) {
        if (!waiting.done && waiting.deadlineMs <= now) {
          this.#fail(
            waiting,
            new HoldfastError('OutcomeUnknown', 'the deadline passed before the outcome was known'),
          )
        }
      }
    }
    if (this.#stopped !== undefined) return
    this.#cancelSweep = this.#env.timers.after(SWEEP_MS, () => this.#sweep(), 'background')
  }

  #fail(waiting: Waiting, cause: HoldfastError): void {
    waiting.done = true
    waiting.fail(cause)
  }

  /** Fails every caller: `sent` those on their way, `unsent` the others and all to come. */
  #stop(sent: HoldfastError, unsent: HoldfastError): void {
    if (this.#stopped !== undefined) return
    this.#stopped = unsent
    this.#cancelSweep()
    this.#opened?.reject(unsent)
    for (const { waiting: list } of this.#sealed.splice(0)) {
      for (const waiting of list) if (!waiting.done) this.#fail(waiting, sent)
    }
    for (const waiting of this.#staged.splice(0)) if (!waiting.done) this.#fail(waiting, unsent)
  }
}

const NO_OPTIONS: CallOptions = {}

/** A halt is told to every caller by `halted`. */
const ignore = (): void => undefined
