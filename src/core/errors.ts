/**
 * Every public error: a code, a kind, whether anything was applied, what was wrong and what to do.
 * Each code has a heading in docs/ERRORS.md; a test holds this table and that page together.
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

interface ErrorEntry {
  readonly kind: ErrorKind
  readonly applied: Applied
  /** What to do about it, in a sentence. */
  readonly advice: string
}

export const ERRORS = {
  // What was asked
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
  InvalidSchema: entry('rejected', 'no', 'Correct the table definition that the message names.'),
  InvalidCursor: entry(
    'rejected',
    'no',
    'Pass a cursor or token exactly as this database gave it.',
  ),
  KeyTooLarge: entry('rejected', 'no', 'Shorten the key; store long text in a field.'),
  RowTooLarge: entry('rejected', 'no', 'Split the row, or keep large bytes outside the table.'),
  TransactionTooLarge: entry('rejected', 'no', 'Split the work into several transactions.'),
  UnknownTable: entry(
    'rejected',
    'no',
    'Declare the table in `tables` when opening, or check its name.',
  ),
  UnknownIndex: entry(
    'rejected',
    'no',
    'Use an index that the table declares, or add it to the table.',
  ),
  IndexNotReady: entry(
    'retryable',
    'no',
    'Wait: the index is being built; `db.ready()` resolves when it is.',
  ),
  NotIndexable: entry(
    'rejected',
    'no',
    'An indexed field holds a key type, or is missing or null.',
  ),
  IndexedField: entry('rejected', 'no', 'Use `update` for fields that an index or the key covers.'),
  TransactionClosed: entry(
    'rejected',
    'no',
    'Await every call inside the transaction before it returns.',
  ),
  IdempotencyMismatch: entry('rejected', 'no', 'Use a new idempotency key for a new request.'),
  SchemaConflict: entry(
    'rejected',
    'no',
    'Correct the rows that the error lists, then change the table again.',
  ),
  // What the data says
  AlreadyExists: entry('conflict', 'no', 'Use `put` to overwrite, or `update` to change the row.'),
  NotFound: entry('conflict', 'no', 'Check the key, or insert the row first.'),
  UniqueViolation: entry(
    'conflict',
    'no',
    'Choose another value, or change the row that holds it.',
  ),
  NotNumeric: entry(
    'conflict',
    'no',
    'Correct the field: it must hold a number, or a bigint for a bigint.',
  ),
  NotAppendable: entry('conflict', 'no', 'Correct the field: it must hold an array.'),
  Conflict: entry('conflict', 'no', 'Retry: other writers kept changing what this call had read.'),
  // What time and size did
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
  FeedTrimmed: entry(
    'rejected',
    'no',
    "Watch again with `from: 'snapshot'`: these changes are no longer kept.",
  ),
  TokenMismatch: entry(
    'rejected',
    'no',
    'The token belongs to another database or another history; start anew.',
  ),
  Overloaded: entry(
    'retryable',
    'no',
    'Await some of the calls that are under way before starting more.',
  ),
  NoResponder: entry('retryable', 'no', 'Retry: no node that can answer this is reachable now.'),
  LogUnavailable: entry(
    'retryable',
    'no',
    'Retry: the log has no leader, or cannot be reached from here.',
  ),
  LogFull: entry('retryable', 'no', 'Give the log more room, or let it be trimmed; then retry.'),
  // What the database can do
  LogTrimmed: entry(
    'unavailable',
    'no',
    'Start this node from a snapshot: the entries that it needs are no longer in the log.',
  ),
  Closed: entry('unavailable', 'no', 'Open the database again.'),
  Halted: entry('unavailable', 'no', 'Read the cause, mend it, and open the database again.'),
  FolderInUse: entry(
    'unavailable',
    'no',
    'Close the process that holds the folder, or talk to it through its socket.',
  ),
  FolderReadOnly: entry(
    'unavailable',
    'no',
    'Give this user write access to the folder, or choose another.',
  ),
  FolderNotFound: entry('unavailable', 'no', 'Check the path, or create the database first.'),
  StorageFull: entry('unavailable', 'no', 'Free space on the disk; then open the database again.'),
  StorageFailed: entry(
    'unavailable',
    'unknown',
    'Check the disk and the cause; then open the database again.',
  ),
  NewerFormat: entry(
    'unavailable',
    'no',
    'Open this folder with the version of Holdfast that wrote it, or a newer one.',
  ),
  StoreTruncated: entry(
    'corrupt',
    'no',
    'Restore the folder from a backup; part of its data file is missing.',
  ),
  StoreCorrupt: entry(
    'corrupt',
    'no',
    'Run `holdfast check`, then restore what it names from a backup.',
  ),
  EntryCorrupt: entry(
    'corrupt',
    'no',
    'Run `holdfast check`, then restore the folder from a backup.',
  ),
  Unsupported: entry('rejected', 'no', 'See the limits in the README.'),
  // The doors
  FileFormat: entry(
    'rejected',
    'no',
    'Check the file, and name its format with `--format` if needed.',
  ),
  NotRepresentable: entry(
    'rejected',
    'no',
    'Choose a format that can hold these values, such as NDJSON.',
  ),
  EsmOnly: entry('rejected', 'no', "Use `import` or `await import('holdfast')`."),
  InvalidRequest: entry('rejected', 'no', 'Correct the request; GET /docs shows every route.'),
  UnknownRoute: entry('rejected', 'no', 'Check method and path; GET /docs shows every route.'),
  BodyTooLarge: entry('rejected', 'no', 'Send less at once; the message names the limit.'),
  Unauthenticated: entry(
    'rejected',
    'no',
    'Send `Authorization: Bearer TOKEN`; `holdfast token create` makes one.',
  ),
  Forbidden: entry('rejected', 'no', 'Use what the message names: another token, host or origin.'),
  ShuttingDown: entry('retryable', 'no', 'Retry on another node, or when this one is back.'),
  Unreachable: entry('retryable', 'no', 'Check the address, and that the server there runs.'),
  BackupCorrupt: entry('corrupt', 'no', 'Use another backup; `holdfast backup verify` tests one.'),
  RestoreUnfinished: entry(
    'unavailable',
    'no',
    'Run the same restore again; it begins anew where it must.',
  ),
  // The simulator
  AppNotBundled: entry('rejected', 'no', 'Correct the file that the message names.'),
  Bug: entry('bug', 'unknown', 'Please report it, with the message and what led to it.'),
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorDetails {
  readonly cause?: unknown
  /** Overrides the table's entry where one call knows more. */
  readonly applied?: Applied
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
    const known: ErrorEntry = ERRORS[code]
    this.code = code
    this.kind = known.kind
    this.applied = options.applied ?? known.applied
    this.advice = known.advice
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

function entry(kind: ErrorKind, applied: Applied, advice: string): ErrorEntry {
  return { kind, applied, advice }
}
