/**
 * LMDB's data file, looked at before it is mapped. A page that is missing at the file's end would
 * kill the process by SIGBUS on its first touch, so length and meta pages are checked with plain
 * reads first.
 *
 * The file may rightly be shorter than its meta page says: pages that were taken at the end and
 * freed in one transaction are never written ("the file may be shorter if the freeDB lists the
 * final pages", mdb.c). So a short file is walked: it is truncated exactly if a page in use, one
 * that the trees reach, is missing.
 *
 * Layout (LMDB data format 2, as lmdb-js builds it; all little-endian):
 *
 *   page   number u64, transaction u64, pad u16, flags u16, then lower u16 and upper u16, then one
 *          u16 a node: its place, from the end of this 24-byte header
 *   meta   in pages 0 and 1, after the header: magic u32, version u32, address u64, mapsize u64,
 *          two tree records (free pages, ours), last page u64, transaction u64
 *   tree   48 bytes: page size u32 (of the first tree), flags u16, depth u16, branch, leaf and
 *          overflow pages u64 each, entries u64, root page u64
 *   node   low u16, high u16, flags u16, key size u16, key, data; low, high and flags are the child
 *          in a branch; in a leaf with flag 1, data is {page u64, transaction u64, pages u64}
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import { HoldfastError } from '../core/errors.ts'

const HEADER_BYTES = 24
const FLAGS_AT = 18
const LOWER_AT = 20
const BRANCH = 1
const LEAF = 2
const META = 8
const MAGIC = 0xbeefc0de
const DATA_VERSION = 2
const TREE_BYTES = 48
const TREES_AT = HEADER_BYTES + 4 + 4 + 8 + 8
const ROOT_IN_TREE = 40
const LAST_PAGE_AT = TREES_AT + 2 * TREE_BYTES
const META_BYTES = LAST_PAGE_AT + 16
const NODE_BYTES = 8
const NODE_OVERFLOW = 1
const NODE_TREE = 2
/** Room for 256 readers of 64 bytes and a header; LMDB takes a larger file as it is. */
const LOCK_BYTES = 20_480
/** The root of an empty tree. */
const NO_PAGE = 0xffff_ffff_ffff_ffffn
/** A process that reads beside the writer may see pages change under it; it looks again. */
const LOOKS = 5

interface Meta {
  readonly pageBytes: number
  readonly lastPage: number
  readonly transaction: bigint
  readonly roots: readonly bigint[]
}

export function dataFile(dir: string): string {
  return join(dir, 'data.mdb')
}

/**
 * Throws `StoreTruncated` or `StoreCorrupt`. Returns false for a new store, which has no file: a new
 * one gets its name when it is whole, so an empty one was cut.
 */
export function checkLmdbFile(path: string): boolean {
  const file = openToRead(path)
  if (file === undefined) return false
  try {
    for (let look = 1; ; look++) {
      const meta = newestMeta(file)
      // After the meta page: what it speaks of was written before it was.
      const { size } = fstatSync(file)
      if (size === 0) throw cut(path)
      if (meta === undefined) {
        throw corrupt(path, 'it is no data file of Holdfast, or its start is damaged')
      }
      if (size >= (meta.lastPage + 1) * meta.pageBytes) return true
      const trouble = walk(file, meta, size)
      if (trouble === undefined) return true
      const moved = newestMeta(file)?.transaction !== meta.transaction
      if (moved && look < LOOKS) continue
      if (trouble !== 'missing') throw corrupt(path, trouble)
      throw truncated(path, meta, size)
    }
  } finally {
    closeSync(file)
  }
}

/**
 * Makes LMDB's lock file where there is none. LMDB maps a file of holes and writes into it; on a
 * full disk that kills the process by SIGBUS, so the room is taken here, where it can fail by name.
 */
export function makeLockFile(path: string): void {
  try {
    writeFileSync(`${path}-lock`, new Uint8Array(LOCK_BYTES), { flag: 'wx' })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== 'ENOSPC' && code !== 'EDQUOT') return
    rmSync(`${path}-lock`, { force: true })
    throw new HoldfastError('StorageFull', `${path} cannot be opened: the disk is full`, { cause })
  }
}

/** Removes a file and what LMDB keeps beside it. */
export function removeFiles(path: string): void {
  rmSync(path, { force: true })
  rmSync(`${path}-lock`, { force: true })
}

/**
 * Makes what a file holds durable. What can be read of it need not be: a process that was killed may
 * have left a commit that is in memory only, and nobody may build on what a crash can take away.
 */
export function syncFile(path: string): void {
  const file = openSync(path, 'r+')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** As `syncFile`, for one who may only read the file. */
export function syncReadable(path: string): void {
  const file = openToSync(path)
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** What is in a file, and durable by now; the file may be removed meanwhile. */
export function readSynced(path: string): Buffer {
  const file = openToSync(path)
  try {
    const bytes = readFileSync(file)
    fsyncSync(file)
    return bytes
  } finally {
    closeSync(file)
  }
}

/** Windows syncs for those alone who may write. */
function openToSync(path: string): number {
  try {
    return openSync(path, 'r+')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') throw cause
    return openSync(path, 'r')
  }
}

/** Makes the names in `dir` durable. Where folders cannot be opened (Windows), the system does it. */
export function syncFolder(dir: string): void {
  let folder: number
  try {
    folder = openSync(dir, 'r')
  } catch {
    return
  }
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

function openToRead(path: string): number | undefined {
  try {
    const file = openSync(path, 'r')
    if (fstatSync(file).isFile()) return file
    closeSync(file)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    const denied = code === 'EACCES' || code === 'EPERM'
    throw new HoldfastError(
      denied ? 'FolderReadOnly' : 'StorageFailed',
      `${path} cannot be read: ${code ?? String(cause)}`,
      { cause, applied: 'no' },
    )
  }
  throw corrupt(path, 'it is no file')
}

function newestMeta(file: number): Meta | undefined {
  const first = readMeta(file, 0)
  if (first === undefined) return undefined
  const second = readMeta(file, first.pageBytes)
  // LMDB needs both; opening a file that has one alone ends in SIGSEGV.
  if (second?.pageBytes !== first.pageBytes) return undefined
  return first.transaction >= second.transaction ? first : second
}

function readMeta(file: number, offset: number): Meta | undefined {
  const bytes = Buffer.alloc(META_BYTES)
  if (readSync(file, bytes, 0, META_BYTES, offset) < META_BYTES) return undefined
  if ((bytes.readUInt16LE(FLAGS_AT) & META) === 0) return undefined
  if (bytes.readUInt32LE(HEADER_BYTES) !== MAGIC) return undefined
  if ((bytes.readUInt32LE(HEADER_BYTES + 4) & 0xffff) !== DATA_VERSION) return undefined
  const pageBytes = bytes.readUInt32LE(TREES_AT)
  if (pageBytes < 512 || pageBytes > 65536 || (pageBytes & (pageBytes - 1)) !== 0) return undefined
  return {
    pageBytes,
    lastPage: Number(bytes.readBigUInt64LE(LAST_PAGE_AT)),
    transaction: bytes.readBigUInt64LE(LAST_PAGE_AT + 8),
    roots: [0, 1].map((tree) => bytes.readBigUInt64LE(TREES_AT + tree * TREE_BYTES + ROOT_IN_TREE)),
  }
}

/** 'missing' if a page in use lies beyond `size`, another text if the trees make no sense. */
function walk(file: number, meta: Meta, size: number): string | undefined {
  const { pageBytes, lastPage } = meta
  const pages = Math.floor(size / pageBytes)
  const page = Buffer.alloc(pageBytes)
  const pending: number[] = []
  /** Notes `count` pages from `start`; false if any is beyond the end. */
  const present = (start: bigint, count: bigint): boolean => start + count <= BigInt(pages)
  const visit = (start: bigint): boolean => {
    if (start === NO_PAGE) return true
    pending.push(Number(start))
    return present(start, 1n)
  }
  if (!meta.roots.every(visit)) return 'missing'
  let visited = 0
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (++visited > lastPage) return 'its pages form a loop'
    readSync(file, page, 0, pageBytes, at * pageBytes)
    const flags = page.readUInt16LE(FLAGS_AT) & (BRANCH | LEAF)
    if (flags !== BRANCH && flags !== LEAF) return `page ${at} is of no known kind`
    try {
      if (!nodesPresent(page, flags === BRANCH, visit, present)) return 'missing'
    } catch (error) {
      if (error instanceof RangeError) return `page ${at} is damaged`
      throw error
    }
  }
  return undefined
}

function nodesPresent(
  page: Buffer,
  branch: boolean,
  visit: (start: bigint) => boolean,
  present: (start: bigint, count: bigint) => boolean,
): boolean {
  const count = page.readUInt16LE(LOWER_AT) >> 1
  for (let i = 0; i < count; i++) {
    const node = HEADER_BYTES + page.readUInt16LE(HEADER_BYTES + 2 * i)
    const low = page.readUInt32LE(node)
    const flags = page.readUInt16LE(node + 4)
    const data = node + NODE_BYTES + page.readUInt16LE(node + 6)
    if (branch) {
      if (!visit(BigInt(low) | (BigInt(flags) << 32n))) return false
    } else if ((flags & NODE_OVERFLOW) !== 0) {
      if (!present(page.readBigUInt64LE(data), page.readBigUInt64LE(data + 16))) return false
    } else if ((flags & NODE_TREE) !== 0) {
      if (!visit(page.readBigUInt64LE(data + ROOT_IN_TREE))) return false
    }
  }
  return true
}

function truncated(path: string, meta: Meta, size: number): HoldfastError {
  const neededBytes = (meta.lastPage + 1) * meta.pageBytes
  assert(size < neededBytes, 'a truncated file is shorter than it was')
  return new HoldfastError(
    'StoreTruncated',
    `${path} has ${size} bytes of up to ${neededBytes}, and pages in use are missing`,
    { details: { path, bytes: size, neededBytes } },
  )
}

function cut(path: string): HoldfastError {
  return new HoldfastError('StoreTruncated', `${path} is empty`, { details: { path, bytes: 0 } })
}

function corrupt(path: string, reason: string): HoldfastError {
  return new HoldfastError('StoreCorrupt', `${path}: ${reason}`, { details: { path } })
}
