/** What went wrong on the disk, as our codes. */
import { statfsSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import { HoldfastError, type Applied } from '../core/errors.ts'

/** What the write thread's number means: the system's are positive, LMDB's are below -30,000. */
export function commitError(status: number, path: string): HoldfastError {
  const name = status > 0 ? getSystemErrorName(-status) : (LMDB_ERRORS[status] ?? 'unknown')
  const cause = new Error(`${name} (${status})`)
  // LMDB says EIO where the disk took a part of what it wrote, as a disk does when it gets full.
  if (name === 'EIO' && isFull(path)) {
    return new HoldfastError('StorageFull', 'a commit failed: the disk is full', { cause })
  }
  return storageError(cause, 'a commit failed')
}

/** Whether the file system of `path` has less room left than a write of LMDB's may take. */
function isFull(path: string): boolean {
  return freeOnDisk(path) < WRITE_BYTES_MAX
}

/** Bytes that the file system of `path` has left; infinite where it does not say. */
export function freeOnDisk(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

export function diskFull(what: string): HoldfastError {
  return new HoldfastError('StorageFull', `${what}: the disk is full`, { applied: 'no' })
}

/** LMDB gathers up to 64 pages for one write; a larger value is written whole. */
const WRITE_BYTES_MAX = 1024 * 1024

const LMDB_ERRORS: Readonly<Record<number, string>> = {
  [-30797]: 'MDB_PAGE_NOTFOUND',
  [-30796]: 'MDB_CORRUPTED',
  [-30795]: 'MDB_PANIC',
  [-30794]: 'MDB_VERSION_MISMATCH',
  [-30793]: 'MDB_INVALID',
  [-30792]: 'MDB_MAP_FULL',
  [-30788]: 'MDB_TXN_FULL',
  [-30782]: 'MDB_BAD_TXN',
  [-30779]: 'MDB_PROBLEM',
}

/** LMDB's and the system's error numbers, as our codes. */
export function storageError(cause: unknown, what: string, applied?: Applied): HoldfastError {
  if (cause instanceof HoldfastError) return cause
  const options = applied === undefined ? { cause } : { cause, applied }
  const text = cause instanceof Error ? cause.message : String(cause)
  const { code = '' } = cause as { code?: string | number }
  if (/ENOSPC|EDQUOT|No space left|quota exceeded/i.test(`${code} ${text}`)) {
    return new HoldfastError('StorageFull', `${what}: the disk is full`, options)
  }
  if (/MDB_CORRUPTED|MDB_INVALID|MDB_PAGE_NOTFOUND|MDB_BAD_TXN|MDB_VERSION/.test(text)) {
    return new HoldfastError('StoreCorrupt', `${what}: ${text}`, options)
  }
  if (/EACCES|EROFS|Permission denied|Read-only file system/i.test(`${code} ${text}`)) {
    return new HoldfastError('FolderReadOnly', `${what}: ${text}`, options)
  }
  return new HoldfastError('StorageFailed', `${what}: ${text}`, options)
}
