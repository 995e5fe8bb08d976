/** The command that helps after an error, where there is one better than the error's own advice. */
import type { ErrorCode, HoldfastError } from '../core/errors.ts'

/** By code. `TABLE` and the like are for the user to fill in. */
const NEXT: Partial<Record<ErrorCode, string>> = {
  // What was asked
  InvalidArgument: 'holdfast COMMAND --help',
  InvalidKey: 'holdfast tables show TABLE   (its key), then the key as JSON in wire form',
  InvalidValue: "holdfast put TABLE '{...}'   (JSON in wire form)",
  InvalidRow: 'holdfast get TABLE KEY   (a row that fits), then correct the fields named above',
  InvalidSchema: 'holdfast tables show TABLE',
  InvalidCursor: 'holdfast query TABLE --cursor start',
  InvalidConfig: 'holdfast config show --origin',
  KeyTooLarge: 'holdfast put TABLE ...   with a shorter key',
  RowTooLarge: 'holdfast put TABLE ...   with less in one row',
  UnknownTable: 'holdfast tables',
  UnknownIndex: 'holdfast tables show TABLE',
  IndexNotReady: 'holdfast tables show TABLE   (until its state is ready)',
  NotIndexable: 'holdfast tables show TABLE   (which fields are indexed)',
  IndexedField: 'holdfast update TABLE KEY --set FIELD=VALUE',
  IdempotencyMismatch: 'run it again with another --idempotency-key',
  SchemaConflict: 'holdfast get TABLE KEY   (the rows named above), then holdfast update',
  NotRepresentable: 'holdfast export TABLE FILE.ndjson',
  FileFormat: 'holdfast import --help   (formats, and what --format takes)',
  Unsupported: 'holdfast COMMAND --help',
  // What the data says
  AlreadyExists: 'holdfast put (overwrites it), or holdfast update (changes it)',
  NotFound: 'holdfast update ... --create ROW   (starts from that row), or holdfast insert',
  UniqueViolation: 'holdfast query TABLE --index INDEX --eq VALUE   (shows the row that has it)',
  NotNumeric: 'holdfast get TABLE KEY, then holdfast update TABLE KEY --set FIELD=0',
  NotAppendable: "holdfast get TABLE KEY, then holdfast update TABLE KEY --set 'FIELD=[]'",
  Conflict: 'run it again: others kept changing the row',
  // What time did
  Cancelled: 'run it again',
  DeadlineExceeded: 'run it again',
  Overloaded: 'run it again in a moment',
  ShuttingDown: 'run it again in a moment',
  SnapshotExpired: 'run it again',
  OutcomeUnknown: 'holdfast get   (whether it is there), then run it again if it is not',
  FeedTrimmed: 'holdfast watch TABLE --from snapshot',
  TokenMismatch: 'holdfast watch TABLE   (without --after)',
  // What it works on
  FolderNotFound: 'holdfast start   (makes it), or name another with --dir',
  FolderInUse: 'holdfast stats   (says which process has it)',
  FolderReadOnly: 'chmod u+w FOLDER, or name another with --dir',
  StorageFull: 'df -h FOLDER   (make room), then run it again',
  StorageFailed: 'holdfast check',
  EngineUnauthenticated: 'holdfast start --help   (how the node tells NATS who it is)',
  LogMismatch: 'holdfast start --cluster URLS   (as the folder was started), or --dir with another',
  LogReset: 'holdfast refound --cluster URLS --node FOLDER...   (with the nodes stopped)',
  LogSealed: 'holdfast refound or holdfast adopt, again',
  LossNotAccepted: 'holdfast refound ... --accept-loss NODE',
  Closed: 'run it again: without that process the command opens the folder itself',
  Halted: 'holdfast check, then start that process again',
  StoreCorrupt: 'holdfast check, then holdfast restore',
  StoreTruncated: 'holdfast check, then holdfast restore',
  EntryCorrupt: 'holdfast check, then holdfast restore',
  BackupCorrupt: 'holdfast backup verify',
  RestoreUnfinished: 'holdfast restore   (the same one again)',
  Unauthenticated:
    'holdfast token create NAME --scope write   (where the folder is), then HOLDFAST_TOKEN=...',
  Forbidden: 'holdfast token list   (where the folder is: what the token may do)',
  Unreachable: 'holdfast config show --origin   (which address counts), and holdfast start there',
  UnknownRoute: 'holdfast --version   (the server may be older)',
}

/** Undefined when the error's own advice is the best there is. */
export function nextCommand(error: HoldfastError): string | undefined {
  const own = error.details['next']
  return typeof own === 'string' ? own : NEXT[error.code]
}
