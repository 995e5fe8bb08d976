/**
 * The port to messages between nodes. It loses messages, and says nothing when it does: what must
 * not be lost goes through a log. `bus.contract.ts` is its test.
 *
 * Obligations
 * 1. At most once: a message reaches each subscription that matches it once, or never.
 * 2. Order: messages of one bus on one subject reach a subscription in the order of `publish`.
 *    Nothing is said of several buses, or of several subjects.
 * 3. A handler is never called inside `publish`, `request`, `subscribe` or `serve`.
 * 4. A handler that throws or rejects harms nobody: the error goes to its own bus's `onError`, and
 *    the next message is delivered.
 * 5. A request reaches one of the handlers that serve its subject, or none. If nobody serves it,
 *    it fails with `NoResponder` at once. A `HoldfastError` of the handler comes back with its code,
 *    message and `applied`; any other error comes back as `Bug`.
 * 6. A request that gets no answer by its deadline fails with `DeadlineExceeded`; its signal fails
 *    it with `Cancelled` when aborted before the call, else with `Aborted`. The handler may have
 *    run: `applied` is 'unknown'. An answer that comes later is dropped.
 * 7. Each subscription keeps a bounded queue. What comes when it is full is dropped, and counted.
 * 8. Given bytes are the caller's again once the call returns. Bytes handed out may be kept, and
 *    must not be changed: others may hold the same.
 * 9. `subscribe` and `serve` take effect everywhere once `flush` of this bus resolved; whether they
 *    see what is sent before that is open.
 * 10. After `close` of a subscription or a bus no handler of it is called. A closed bus throws
 *    `Closed`; its requests under way fail with `Closed`, `applied` 'unknown'.
 */
import { assert } from '../core/assert.ts'
import type { Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'

/** The largest message: NATS takes 1 MiB as it comes, headers included. */
export const MESSAGE_BYTES_MAX = 1_000_000

export interface BusMessage {
  readonly subject: string
  readonly bytes: Bytes
}

export interface RequestOptions {
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
}

export interface BusSubscription {
  /** Messages dropped because the queue was full. */
  readonly dropped: number
  close(): void
}

/** A promise it gives is not waited for: the next message comes meanwhile. */
export type MessageHandler = (message: BusMessage) => void | Promise<void>
export type RequestHandler = (message: BusMessage) => Bytes | Promise<Bytes>

export interface Bus {
  publish(subject: string, bytes: Bytes): void
  subscribe(pattern: string, handler: MessageHandler): BusSubscription
  request(subject: string, bytes: Bytes, options: RequestOptions): Promise<Bytes>
  serve(pattern: string, handler: RequestHandler): BusSubscription
  /** Resolves once what this bus did before has reached the others. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** Told of what handlers throw. */
export type OnBusError = (error: unknown, subject: string) => void

const TOKEN = /^[A-Za-z0-9_-]+$/

/** Throws `InvalidArgument` unless `subject` is tokens of A-Z, a-z, 0-9, _ and -, joined by dots. */
export function checkSubject(subject: string): void {
  if (!subject.split('.').every((token) => TOKEN.test(token))) throw badSubject(subject)
}

/** As `checkSubject`; a token may be `*`, any one token, and the last may be `>`, one or more. */
export function checkPattern(pattern: string): void {
  const tokens = pattern.split('.')
  const sound = tokens.every(
    (token, i) => token === '*' || (token === '>' && i === tokens.length - 1) || TOKEN.test(token),
  )
  if (!sound) throw badSubject(pattern)
}

export function checkMessage(bytes: Bytes): void {
  assert(bytes.length <= MESSAGE_BYTES_MAX, 'a message has at most 1,000,000 bytes')
}

/** Whether `pattern` matches `subject`; both are sound. */
export function matchesSubject(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.')
  const given = subject.split('.')
  for (const [i, token] of wanted.entries()) {
    if (token === '>') return given.length > i
    if (i >= given.length || (token !== '*' && token !== given[i])) return false
  }
  return wanted.length === given.length
}

function badSubject(subject: string): HoldfastError {
  return new HoldfastError('InvalidArgument', `'${subject}' is no subject of the bus`)
}
