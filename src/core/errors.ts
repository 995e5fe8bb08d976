/**
 * Every public error: a code, a kind, whether anything was applied, what was wrong and what to do.
 * Each code has a heading in docs/ERRORS.md; a test holds this table and that page together.
 */
import {
  addErrors,
  CLIENT_ERRORS,
  entry,
  type ErrorCode,
  type ErrorEntry,
} from './holdfast-error.ts'

export { HoldfastError, isHoldfastError } from './holdfast-error.ts'
export type { Applied, ErrorCode, ErrorKind } from './holdfast-error.ts'

export const ERRORS = {
  ...CLIENT_ERRORS,
  // What was asked
  InvalidSchema: entry('rejected', 'no', 'Correct the table definition that the message names.'),
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
  IdempotencyMismatch: entry('rejected', 'no', 'Use a new idempotency key for a new request.'),
  SchemaConflict: entry(
    'rejected',
    'no',
    'Correct the rows that the error lists, then change the table again.',
  ),
  // What the data says
  AlreadyExists: entry('conflict', 'no', 'Use `put` to overwrite, or `update` to change the row.'),
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
  // What time and size did
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
    'Open this node again while another one runs: it goes on from a snapshot of that one.',
  ),
  LogMismatch: entry(
    'rejected',
    'no',
    'Use the folder with the log it was made with, or an empty folder for this log.',
  ),
  LogReset: entry(
    'corrupt',
    'unknown',
    'Find out who deleted or replaced the stream; then `holdfast refound`: the nodes have what they applied.',
  ),
  LogSealed: entry('unavailable', 'no', 'Finish what sealed it: the message says what.'),
  LossNotAccepted: entry(
    'rejected',
    'no',
    'Give the folders of the nodes that are named, or accept with `--accept-loss` what is only in them.',
  ),
  HistoryDiverged: entry(
    'corrupt',
    'unknown',
    'Keep the folder, and start this node with an empty one; where all nodes halted, find out first which history is right.',
  ),
  EngineUnsupported: entry(
    'unavailable',
    'no',
    'Set up the NATS servers, or the stream, as the message says.',
  ),
  EngineUnauthenticated: entry(
    'unavailable',
    'no',
    'Correct the credentials or certificates that the message names, here or at the NATS servers.',
  ),
  EngineForbidden: entry(
    'unavailable',
    'no',
    'Give the NATS user the permissions that the message names; docs/OPERATIONS.md has the list.',
  ),
  DurabilityTooLow: entry(
    'rejected',
    'no',
    'Make the log as durable as the table demands, let its servers be asked, or demand less.',
  ),
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
  InvalidConfig: entry(
    'rejected',
    'no',
    'Correct the file or the variable that the message names; `holdfast config show` says what counts.',
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
  BackupCorrupt: entry('corrupt', 'no', 'Use another backup; `holdfast backup verify` tests one.'),
  RestoreUnfinished: entry(
    'unavailable',
    'no',
    'Run the same restore again; it begins anew where it must.',
  ),
  // The simulator
  AppNotBundled: entry('rejected', 'no', 'Correct the file that the message names.'),
} as const satisfies Record<ErrorCode, ErrorEntry>

addErrors(ERRORS)
