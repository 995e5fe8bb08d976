/**
 * The proposer: takes transactions from callers, seals many into one entry (group commit, S1), hands
 * entries to the log under its session (S3), and settles each caller once the fate of its
 * transaction was read back and flushed.
 *
 * A full entry is sealed as soon as it is full. What is not full is sealed at the end of the turn,
 * together with the full ones of that turn, or, when entries of an earlier turn are on their way,
 * once those are flushed: so a lone caller waits for nobody, and under load a flush is shared by all
 * who came during the one before, and by those who are about to come back (crowd.ts).
 *
 * What is sealed is on its way until it is read in the log (carrier.ts), under the session that this
 * incarnation has (tenure.ts). When that session ends without us, what was not applied in it never
 * will be: it is sealed anew in the next one.
 */
import { equalBytes, hex, type Bytes } from '../core/bytes.ts'
import type { Cancel, Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { DIGEST_BYTES } from '../core/hash.ts'
import { LIMITS } from '../core/limits.ts'
import { encodeBatch } from '../log/entry-codec.ts'
import { opBytes, readBytes, type Transaction } from '../log/entry.ts'
import type { Log, Position } from '../log/log.ts'
import { AckGate } from './ack-gate.ts'
import type { Applied, ApplyListener, ApplyLoop } from './apply-loop.ts'
import { Barriers, type Reader } from './barriers.ts'
import {
  failAll,
  failCaller,
  failLate,
  makeAbortable,
  settleAll,
  type BatchDecision,
  type CommandFate,
  type Fate,
  type Waiting,
} from './callers.ts'
import { Carrier } from './carrier.ts'
import type { OpResult } from './change-record.ts'
import { commandValue, type Command } from './command.ts'
import { Crowd, GATHER_MS } from './crowd.ts'
import { encodeGenesis } from './genesis.ts'
import type { Parcel } from './parcel.ts'
import { Staging } from './staging.ts'
import { Tenure, type NodeName } from './tenure.ts'

interface Sealed {
  readonly number: number
  readonly digest: Bytes
  readonly waiting: readonly Waiting[]
  /** Linearizable reads that wait to see this entry (S6). */
  readonly readers: readonly Reader[]
  readonly parcel: Parcel
}

/** Entries that may be on their way. */
const INFLIGHT_MAX = 16
const SWEEP_MS = 250
/** Without an answer of the log for this long, new calls fail at once (S9). */
const SILENT_MS = 10_000

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
  readonly #carrier: Carrier
  readonly #tenure: Tenure
  readonly #barriers: Barriers
  /** Acks wait behind it while histories are in doubt (S7). */
  readonly #gate = new AckGate()
  readonly #staging: Staging
  /** From now on all that is sent has the identity of the log as it is. */
  #hasOpened = false
  #number = 0
  #settledBelow = 1
  #sealed: Sealed[] = []
  readonly #crowd = new Crowd()
  /** While what is staged waits for the rest of the crowd: ends that. */
  #gathering: Cancel | undefined
  /** What is staged has waited already. */
  #hasGathered = false
  #scheduled = false
  /** Entries sealed since the last turn ended: they are flushed together. */
  #sealedThisTurn = 0
  #cancelSweep: Cancel = () => undefined
  /** The monotonic clock at the last sweep: deadlines are kept to within one. */
  #nowMs: number
  #stopped: HoldfastError | undefined
  /** What the callers of sealed batches are told once it stopped. */
  #told: HoldfastError | undefined
  #closing: HoldfastError | undefined
  /** What `found` and `open` wait for. */
  #starting: { resolve: () => void; reject: (cause: unknown) => void } | undefined
  /** Told when nobody waits any more: see `close`. */
  #quiet: (() => void) | undefined

  constructor(env: Env, log: Log, loop: ApplyLoop, node: NodeName) {
    this.#env = env
    this.#log = log
    // With many callers a shared log, and every node that reads it, has less to do for fewer entries.
    const { entryTargetBytes, sharedEntryTargetBytes } = LIMITS
    const isShared = log.durability === 'self'
    this.#staging = new Staging(isShared ? sharedEntryTargetBytes : entryTargetBytes)
    this.#loop = loop
    this.#nowMs = env.clock.monotonicMs()
    this.#carrier = new Carrier(env, log, loop, (cause) => this.#logClosed(cause))
    this.#tenure = new Tenure(env, loop, this.#carrier, node)
    this.#barriers = new Barriers(env, loop, this.#carrier, this.#gate)
    loop.listen(this)
  }

  /** As `Barriers.freshMs`. */
  get freshMs(): number {
    return this.#barriers.freshMs
  }

  get session(): Position {
    return this.#tenure.session
  }

  /**
   * Founds the log, unless somebody else did: the first genesis in it counts, and whose it was does
   * not matter (S15). Resolves once one was read.
   */
  async found(shards: number): Promise<void> {
    const identity = this.#env.random.bytes(DIGEST_BYTES)
    const alone = this.#log.durability === 'with-apply'
    const frame = encodeGenesis(identity, { shards, timeMs: this.#env.clock.wallMs(), alone })
    const name = `${hex(identity)}.genesis`
    const parcel = this.#carrier.take({ frame, name, ordered: false, use: 'upkeep' })
    await this.#started()
    this.#carrier.arrived(parcel)
  }

  /** Opens this incarnation's session, and closes those that earlier ones of this node left. */
  async open(): Promise<void> {
    this.#hasOpened = true
    this.#sweep()
    this.#tenure.open()
    await this.#started()
    // Now the log was read up to our session: what was opened before it is known.
    const closed = Promise.all(this.#tenure.left().map((session) => this.#tenure.close(session)))
    const stopped = this.#started()
    await Promise.race([closed, stopped])
    this.#starting = undefined
  }

  /** Resolves when `#starting` does, rejects when the node stops before. */
  #started(): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped)
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject }
    })
  }

  /**
   * Resolves with a position reached here that no write acked before this call is above (S6). Rejects
   * with `LogUnavailable`, `DeadlineExceeded`, `Cancelled`, or as every call does.
   */
  barrier(options: CallOptions = NO_OPTIONS): Promise<Position> {
    const nowMs = this.#env.clock.monotonicMs()
    const refusal = this.#stopped ?? this.#closing ?? this.#silence(nowMs)
    if (refusal !== undefined) return Promise.reject(refusal)
    const joined = this.#barriers.join(options, nowMs)
    this.#schedule()
    return joined
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
    switch (decision.kind) {
      case 'genesis':
        if (this.#hasOpened) this.#loop.halt(wentOn())
        else this.#starting?.resolve()
        return
      case 'opened':
        if (!this.#tenure.opened(decision.session, decision.nonce)) return
        this.#starting?.resolve()
        this.#schedule()
        return
      case 'closed':
        if (this.#tenure.closed(decision.session)) this.#sealAnew()
        return
      case 'barrier':
        if (this.#barriers.read(decision.nonce, position)) this.#schedule()
        return
      case 'batch':
        if (decision.batch.session === this.#tenure.session)
          this.#readBatch(position, decision, results)
        return
      case 'foreign':
      case 'released':
        return
    }
  }

  /** A batch of our session was read: of ours, or of one who has our session's name too. */
  #readBatch(
    position: Position,
    decision: BatchDecision,
    results: ReadonlyMap<number, OpResult>,
  ): void {
    const { admission, batch } = decision
    if (admission === 'forked') {
      // That closed the session.
      if (this.#tenure.closed(batch.session)) this.#sealAnew()
      return
    }
    const sealed = this.#sealed[batch.number - (this.#sealed[0]?.number ?? 0)]
    // A fate is matched by digest, never by number alone (S3).
    if (sealed === undefined || !equalBytes(sealed.digest, batch.digest)) {
      if (admission !== 'repeated' && this.#tenure.usable) void this.#tenure.close(batch.session)
      return
    }
    this.#barriers.settle(sealed.readers, position)
    if (admission === 'gap') this.#carrier.refused(sealed.parcel)
    if (admission !== 'apply') return
    this.#sealed.shift()
    this.#settledBelow = sealed.number + 1
    this.#crowd.seen(sealed.waiting.length, this.#staging.callers.length)
    this.#gate.pass(sealed.waiting, () => settleAll(sealed.waiting, position, decision, results))
    this.#carrier.arrived(sealed.parcel)
    this.#schedule()
    this.#checkQuiet()
  }

  /**
   * Our session is over, by the log's word: what was applied in it was read before that, and the rest
   * never will be (S3). It goes before what is staged, into the session that is opened now.
   */
  #sealAnew(): void {
    const sealed = this.#sealed
    this.#sealed = []
    const moved: Waiting[] = []
    for (const { waiting: list, readers, parcel } of sealed) {
      this.#carrier.arrived(parcel)
      this.#barriers.waitAgain(readers)
      for (const waiting of list) if (!waiting.done) moved.push(waiting)
    }
    this.#staging.putBack(moved)
    this.#number = 0
    this.#settledBelow = 1
    this.#sealedThisTurn = 0
    if (this.#stopped === undefined) this.#tenure.open()
    this.#checkQuiet()
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
    this.#barriers.stop(closed)
    if (this.#carrier.resends) await this.#letSettle()
    else await this.#letFlush()
    this.#stop(closed, closed)
  }

  async #letFlush(): Promise<void> {
    while (this.#stopped === undefined && !(this.#staging.isEmpty && this.#sealed.length === 0)) {
      this.#flush(true)
      if (this.#sealed.length > 0) await this.#loop.reached(this.#log.last()).catch(ignore)
    }
  }

  /** Callers settle, at the latest by their deadlines; then the session is closed, if the log hears it. */
  async #letSettle(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#env.timers.after(LIMITS.deadlineMs, resolve)
      this.#quiet = () => {
        cancel()
        resolve()
      }
      this.#schedule()
      this.#checkQuiet()
    })
    if (this.#stopped === undefined && this.#tenure.usable) {
      void this.#tenure.close(this.#tenure.session)
    }
  }

  /** Tells `close` once nobody waits. */
  #checkQuiet(): void {
    if (this.#quiet === undefined) return
    const waits = ({ done }: Waiting): boolean => !done
    if (this.#stopped === undefined) {
      if (this.#staging.callers.some(waits)) return
      if (this.#sealed.some(({ waiting }) => waiting.some(waits))) return
      if (this.#gate.callers().some(waits)) return
    }
    this.#quiet()
  }

  /** While it is in doubt whether this node's history is the others': nothing is acked (S7). */
  withhold(isInDoubt: boolean): void {
    if (isInDoubt) {
      this.#gate.close()
      return
    }
    this.#gate.open()
    this.#schedule()
    this.#checkQuiet()
  }

  /** For how long the log has owed an answer; 0 when it owes none. */
  get silentMs(): number {
    return this.#carrier.silentMs(this.#env.clock.monotonicMs())
  }

  /** Why nothing new is taken while the log does not answer. */
  #silence(nowMs: number): HoldfastError | undefined {
    const silentMs = this.#carrier.silentMs(nowMs)
    const cause = this.#carrier.refusal
    if (silentMs > 0 && isOfThisNode(cause)) return cause
    if (silentMs < SILENT_MS) return undefined
    const code = isHoldfastError(cause, 'LogFull') ? 'LogFull' : 'LogUnavailable'
    const seconds = Math.floor(silentMs / 1_000)
    return new HoldfastError(code, `the log has taken nothing for ${seconds} s`, {
      cause,
      details: { seconds },
    })
  }

  #logClosed(cause: unknown): void {
    // A local log refuses only when it is closed; the fate is then never read.
    this.#stop(
      new HoldfastError('OutcomeUnknown', 'the log refused an entry', { cause }),
      new HoldfastError('Closed', 'the log refused an entry', { cause }),
    )
  }

  #stage(
    transaction: Transaction | undefined,
    command: Command | undefined,
    bytes: number,
    options: CallOptions,
    settle: Waiting['settle'],
    fail: Waiting['fail'],
  ): void {
    // Once a group: a clock that stood still while the process was busy would cut the deadline short.
    if (this.#staging.isEmpty) this.#nowMs = this.#env.clock.monotonicMs()
    const refusal =
      this.#stopped ?? this.#closing ?? this.#silence(this.#nowMs) ?? this.#staging.refusal()
    if (refusal !== undefined) {
      fail(refusal)
      return
    }
    const deadlineMs = this.#nowMs + (options.deadlineMs ?? LIMITS.deadlineMs)
    const waiting: Waiting = { transaction, command, bytes, deadlineMs, settle, fail, done: false }
    if (options.signal !== undefined) {
      makeAbortable(waiting, options.signal, () => this.#wasSent(waiting))
      if (waiting.done) return
    }
    this.#staging.add(waiting)
    if (this.#staging.isFull) this.#flush(false)
    this.#schedule()
  }

  /** S9: what is staged was not sent. */
  #wasSent(waiting: Waiting): boolean {
    return !this.#staging.callers.includes(waiting)
  }

  /** Has what is staged sealed at the end of this turn, if it may be. */
  #schedule(): void {
    if (this.#scheduled) return
    if (this.#staging.isEmpty && this.#sealedThisTurn === 0 && !this.#barriers.wanted) return
    if (this.#gathering !== undefined) {
      if (this.#lacks()) return
      this.#gathering()
      this.#gathering = undefined
    }
    this.#scheduled = true
    this.#env.timers.soon(() => {
      this.#scheduled = false
      if (this.#gather()) return
      this.#hasGathered = false
      this.#flush(true)
      this.#sealedThisTurn = 0
      // Whom no write took along (S6).
      if (this.#barriers.wanted && this.#stopped === undefined) this.#barriers.send()
    })
  }

  /** Lets what could be sealed now wait for the rest of the crowd, once. */
  #gather(): boolean {
    const isIdle = this.#sealed.length === 0 && this.#stopped === undefined
    if (this.#hasGathered || !isIdle || !this.#lacks()) return false
    this.#hasGathered = true
    this.#gathering = this.#env.timers.after(GATHER_MS, () => {
      this.#gathering = undefined
      this.#schedule()
    })
    return true
  }

  /** Linearizable reads wait for nobody's writes. */
  #lacks(): boolean {
    return !this.#barriers.wanted && this.#crowd.lacks(this.#staging.callers.length)
  }

  /** Seals what is staged: full entries, and the rest when `partial` and nothing else is on its way. */
  #flush(partial: boolean): void {
    while (!this.#staging.isEmpty && this.#stopped === undefined && this.#tenure.usable) {
      // A batch of another history would stop whoever reads it.
      if (this.#gate.isClosed) return
      if (this.#sealed.length >= INFLIGHT_MAX) return
      const alone = this.#sealed.length <= this.#sealedThisTurn
      if (!this.#staging.isFull && !(partial && alone)) return
      this.#seal()
    }
  }

  #seal(): void {
    const waiting = this.#staging.take()
    if (waiting.length === 0) return
    const { state } = this.#loop
    const number = ++this.#number
    const transactions: Transaction[] = []
    for (const { transaction } of waiting)
      if (transaction !== undefined) transactions.push(transaction)
    const command = waiting[0]?.command
    const { frame, digest } = encodeBatch(state.identity, {
      session: this.#tenure.session,
      number,
      settledBelow: this.#settledBelow,
      carried: state,
      nonce: this.#env.random.bytes(DIGEST_BYTES),
      timeMs: this.#env.clock.wallMs(),
      commands: command === undefined ? [] : [commandValue(command)],
      transactions,
    })
    const readers = this.#barriers.board()
    const name = `${hex(state.identity)}.${this.#tenure.session}.${number}.${hex(digest)}`
    const parcel = this.#carrier.take({ frame, name, ordered: true, use: 'data' })
    // A log that delivers at once may have stopped the node by it.
    if (this.#told !== undefined) for (const one of waiting) failCaller(one, this.#told)
    else this.#sealed.push({ number, digest, waiting, readers, parcel })
    this.#sealedThisTurn++
  }

  /** Fails callers whose deadline has passed: those not sent were not applied. */
  #sweep(): void {
    const now = this.#env.clock.monotonicMs()
    this.#nowMs = now
    failLate(
      this.#staging.callers,
      now,
      () => new HoldfastError('DeadlineExceeded', 'the deadline passed before the call was sent'),
    )
    for (const waiting of [...this.#sealed.map((sealed) => sealed.waiting), this.#gate.callers()]) {
      failLate(
        waiting,
        now,
        () =>
          new HoldfastError('OutcomeUnknown', 'the deadline passed before the outcome was known'),
      )
    }
    this.#barriers.sweep(now)
    this.#checkQuiet()
    if (this.#stopped !== undefined) return
    this.#cancelSweep = this.#env.timers.after(SWEEP_MS, () => this.#sweep(), 'background')
  }

  /** Fails every caller: `sent` those on their way, `unsent` the others and all to come. */
  #stop(sent: HoldfastError, unsent: HoldfastError): void {
    if (this.#stopped !== undefined) return
    this.#stopped = unsent
    this.#cancelSweep()
    this.#carrier.stop()
    this.#barriers.stop(unsent)
    this.#starting?.reject(unsent)
    // What a log that others read was given may be applied yet, whatever happened here (S9).
    const told = this.#carrier.resends
      ? new HoldfastError('OutcomeUnknown', 'the node stopped before the outcome was known', {
          cause: sent,
        })
      : sent
    this.#told = told
    failAll(this.#gate.end(), told)
    for (const { waiting } of this.#sealed.splice(0)) failAll(waiting, told)
    failAll(this.#staging.clear(), unsent)
    this.#quiet?.()
  }
}

/** What is on its way has the identity before, and counts for nobody (S15). */
function wentOn(): HoldfastError {
  const message = 'the log goes on under another identity: open the node again'
  return new HoldfastError('LogMismatch', message)
}

const NO_OPTIONS: CallOptions = {}

/** Whether a refusal is of who this node is, or may do: no waiting helps. */
function isOfThisNode(cause: unknown): cause is HoldfastError {
  return (
    isHoldfastError(cause, 'EngineUnauthenticated') || isHoldfastError(cause, 'EngineForbidden')
  )
}

/** A halt is told to every caller by `halted`. */
const ignore = (): void => undefined
