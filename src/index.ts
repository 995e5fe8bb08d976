/** Holdfast's public API. */
export { open, type ClusterOptions, type NatsOptions, type OpenOptions } from './open.ts'
export { adopt, type Adopted, type AdoptOptions } from './adopt.ts'
export { refound, type Refounded, type RefoundedNode, type RefoundOptions } from './refound.ts'
export {
  backup,
  listBackups,
  restore,
  restoreTable,
  verifyBackup,
  type BackupSource,
  type PointInTime,
  type RestoreOptions,
  type RestoreTableOptions,
  type VerifyBackupOptions,
} from './backup.ts'
export type { BackupInfo, BackupOptions, BackupReport } from './shard/backup/destinations.ts'
export type { BackupProgress } from './shard/backup/progress.ts'
export type { TableCopied } from './server/copy-table.ts'
export type { Founded } from './shard/backup/restore.ts'
export type { VerifyReport } from './shard/backup/verify.ts'
export { strong, unique, unvalidated } from './table/schema.ts'
export type {
  AnyDefinition,
  IndexSpec,
  IndexSpecs,
  KeyOf,
  KeySpec,
  PlainOptions,
  StrongDefinition,
  StrongOptions,
  TableDefinitions,
  Unvalidated,
} from './table/schema.ts'
export type { Database, DatabaseCalls, Transaction } from './table/database.ts'
export type { AnyTableLike, DatabaseLike, TableLike } from './table/database-like.ts'
export type {
  Ack,
  AnyTable,
  Bounds,
  CallOptions,
  Change,
  DatabaseStats,
  Deleted,
  Durability,
  ModifyOptions,
  Page,
  Paging,
  Query,
  ReadLevel,
  ReadOptions,
  RowResult,
  Rows,
  StrongTable,
  TableReads,
  TableStats,
  TransactionTable,
  TransactOptions,
  WatchOptions,
  WriteOptions,
  Written,
} from './table/handles.ts'
export type { LogServer, LogStatus } from './log/log-status.ts'
export type { Survival } from './cluster/survival.ts'
export type { DatabaseStatus, NodeState, NodeStatus, StatusProblem } from './table/status.ts'
export type { BackgroundProblem } from './table/problems.ts'
export type { SchemaProgress } from './table/schema-work.ts'
export type { CheckOptions, CheckReport, Problem } from './shard/check.ts'
export type { Retention } from './shard/janitor.ts'
export { ERRORS, HoldfastError, isHoldfastError } from './core/errors.ts'
export type { Applied, ErrorCode, ErrorKind } from './core/errors.ts'
export { compareKeys } from './core/key-codec.ts'
export type { Key, KeyPart } from './core/key-codec.ts'
export { LIMITS } from './core/limits.ts'
export type { Value } from './core/value-codec.ts'
