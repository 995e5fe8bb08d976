/**
 * The one error class, and of the table of errors (errors.ts) what the client raises by itself: it
 * is all that web pages load. Everything but the client takes both from errors.ts.
 */

/**
 * - `retryable`: nothing was applied, and the same call may succeed later
 * - `rejected`: the call itself is at fault; the same call fails again
 * - `conflict`: the data says no
 * - `unknown-outcome`: it may or may not have been applied
 * - `unavailable`: this database cannot serve now
 * - `corrupt`: stored bytes are not what was written
 * - `bug`: an invariant of Holdfast does not hold
 */
export type ErrorKind =
  | 'retryable'
  | 'rejected'
  | 'conflict'
  | 'unknown-outcome'
  | 'unavailable'
  | 'corrupt'
  | 'bug'

/** Whether the effects of the failed call are in the database. */
export type Applied = 'no' | 'yes' | 'unknown'

export interface ErrorEntry {
  readonly kind: ErrorKind
  readonly applied: Applied
  /** What to do about it, in a sentence. */
  readonly advice: string
}

export type ErrorCode =
  | 'InvalidArgument'
  | 'InvalidKey'
  | 'InvalidValue'
  | 'InvalidRow'
  | 'InvalidSchema'
  | 'InvalidCursor'
  | 'KeyTooLarge'
  | 'RowTooLarge'
  | 'TransactionTooLarge'
  | 'UnknownTable'
  | 'UnknownIndex'
  | 'IndexNotReady'
  | 'NotIndexable'
  | 'IndexedField'
  | 'TransactionClosed'
  | 'IdempotencyMismatch'
  | 'SchemaConflict'
  | 'AlreadyExists'
  | 'NotFound'
  | 'UniqueViolation'
  | 'NotNumeric'
  | 'NotAppendable'
  | 'Conflict'
  | 'Aborted'
  | 'Cancelled'
  | 'DeadlineExceeded'
  | 'OutcomeUnknown'
  | 'SnapshotExpired'
  | 'FeedTrimmed'
  | 'TokenMismatch'
  | 'Overloaded'
  | 'NoResponder'
  | 'LogUnavailable'
  | 'LogFull'
  | 'LogTrimmed'
  | 'LogMismatch'
  | 'LogReset'
  | 'HistoryDiverged'
  | 'LogSealed'
  | 'LossNotAccepted'
  | 'EngineUnsupported'
  | 'EngineUnauthenticated'
  | 'EngineForbidden'
  | 'DurabilityTooLow'
  | 'Closed'
  | 'Halted'
  | 'FolderInUse'
  | 'FolderReadOnly'
  | 'FolderNotFound'
  | 'StorageFull'
  | 'StorageFailed'
  | 'NewerFormat'
  | 'StoreTruncated'
  | 'StoreCorrupt'
  | 'EntryCorrupt'
  | 'Unsupported'
  | 'FileFormat'
  | 'NotRepresentable'
  | 'InvalidConfig'
  | 'EsmOnly'
  | 'InvalidRequest'
  | 'UnknownRoute'
  | 'BodyTooLarge'
  | 'Unauthenticated'
  | 'Forbidden'
  | 'ShuttingDown'
  | 'Unreachable'
  | 'BackupCorrupt'
  | 'RestoreUnfinished'
  | 'AppNotBundled'
  | 'Bug'

/** What a client raises without its server. */
export const CLIENT_ERRORS = {
  InvalidArgument: entry('rejected', 'no', 'Correct the argument that the message names.'),
  InvalidKey: entry(
    'rejected',
    'no',
    'Use a string, a finite number, a bigint, a valid Date, bytes, or a tuple of them.',
  ),
  InvalidValue: entry(
    'rejected',
    'no',
    'Use JSON types, bigint, Date and Uint8Array; numbers are finite.',
  ),
  InvalidRow: entry('rejected', 'no', 'Correct the fields that the schema names in `issues`.'),
  InvalidCursor: entry(
    'rejected',
    'no',
    'Pass a cursor or token exactly as this database gave it.',
  ),
  TransactionClosed: entry(
    'rejected',
    'no',
    'Await every call inside the transaction before it returns.',
  ),
  NotFound: entry('conflict', 'no', 'Check the key, or insert the row first.'),
  Conflict: entry('conflict', 'no', 'Retry: other writers kept changing what this call had read.'),
  Aborted: entry(
    'unknown-outcome',
    'unknown',
    'The call was cancelled after it was sent; read to learn its outcome.',
  ),
  Cancelled: entry('retryable', 'no', 'The call was cancelled before it was sent; call again.'),
  DeadlineExceeded: entry('retryable', 'no', 'Retry, or give the call a longer deadline.'),
  OutcomeUnknown: entry(
    'unknown-outcome',
    'unknown',
    'Read to learn the outcome, or retry with the same idempotency key.',
  ),
  SnapshotExpired: entry(
    'retryable',
    'no',
    'Start the scan again; its snapshot was kept as long as the limit allows.',
  ),
  Closed: entry('unavailable', 'no', 'Open the database again.'),
  Unsupported: entry('rejected', 'no', 'See the limits in the README.'),
  Unreachable: entry('retryable', 'no', 'Check the address, and that the server there runs.'),
  Bug: entry('bug', 'unknown', 'Please report it, with the message and what led to it.'),
} as const satisfies Partial<Record<ErrorCode, ErrorEntry>>

// Of every code, once errors.ts is loaded; what else a client is told brings its own entry.
const known = { ...CLIENT_ERRORS } as Record<ErrorCode, ErrorEntry>

/** Makes the rest of the table known, for errors that are made here. */
export function addErrors(errors: Readonly<Record<ErrorCode, ErrorEntry>>): void {
  Object.assign(known, errors)
}

export interface ErrorDetails {
  readonly cause?: unknown
  /** Overrides the table's entry where one call knows more. */
  readonly applied?: Applied
  /** In place of the table's entry: what a server says of a code that is not known here. */
  readonly entry?: ErrorEntry
  /** Whatever helps to act: the table, the key, the limit, the schema's issues. */
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * The one error class. `message` says what was wrong; `advice` what to do; `applied` whether
 * anything of the call is in the database.
 */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError'
  readonly code: ErrorCode
  readonly kind: ErrorKind
  readonly applied: Applied
  readonly advice: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: ErrorDetails = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    const { kind, applied, advice } = options.entry ?? known[code]
    this.code = code
    this.kind = kind
    this.applied = options.applied ?? applied
    this.advice = advice
    this.details = options.details ?? {}
  }

  toJSON(): Record<string, unknown> {
    const { name, code, kind, applied, message, advice, details } = this
    return { name, code, kind, applied, message, advice, details }
  }
}

/** Whether `error` is Holdfast's, and of one of `codes` when any are given. */
export function isHoldfastError(error: unknown, ...codes: ErrorCode[]): error is HoldfastError {
  if (!(error instanceof HoldfastError)) return false
  return codes.length === 0 || codes.includes(error.code)
}

export function entry(kind: ErrorKind, applied: Applied, advice: string): ErrorEntry {
  return { kind, applied, advice }
}
