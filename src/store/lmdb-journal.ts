/**
 * The journal of the store in a folder: what was written since the tree was last brought up to it, in
 * files that are only ever appended to. What is in the journal is durable; the tree follows.
 *
 *   journal.000007   being folded into the tree ─▶ removed
 *   journal.000008   appended to
 *
 *   segment  header, then records without gaps
 *   header   magic u32, crc u32 of the rest, segment u32, id 16 bytes, number u48 of its first record
 *   record   magic u32, payload bytes u32, number u48, crc u32 of id, number and payload, payload
 *   payload  for each put or remove: key bytes u16, value bytes u32 (0xffffffff: removed), key, value
 *
 * All little-endian. A record takes effect whole or not at all. Where each is synced, one is on its way
 * at a time: so a record that is not whole is the last one, and was never acked; one with a whole
 * record behind it is damage. Where they are synced in the background, a lost machine may leave any of
 * what was not synced, and the journal ends at the first record that is not whole.
 *
 * The mark, kept in the tree and changed with it, says where the journal begins that belongs to it.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  ftruncateSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { binaryString, equalBytes, hex, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32 } from '../core/hash.ts'
import { storageError } from './lmdb-errors.ts'
import { readSynced, syncFolder } from './lmdb-file.ts'
import type { StoreBatch } from './store.ts'

const SEGMENT_MAGIC = 0x314a_4648
const RECORD_MAGIC = 0x5246_4648
const ID_BYTES = 16
const HEADER_BYTES = 4 + 4 + 4 + ID_BYTES + 6
const RECORD_HEAD = 4 + 4 + 6 + 4
const OP_HEAD = 6
const REMOVED = 0xffff_ffff
const MARK_VERSION = 1
const CLEAN = 1
const LAX = 2
const MARK_BYTES = 4 + 1 + 1 + 4 + ID_BYTES + 6
const FILE_NAME = /^journal\.(\d{6,10})$/

/** Where a segment begins: its number, and that of its first record. Both count from 1. */
export interface Place {
  readonly segment: number
  readonly number: number
}

/** Where the journal begins that the tree needs. */
export interface Mark extends Place {
  readonly id: Bytes
  /** Nothing was written since: no segment is needed. */
  readonly isClean: boolean
  /** Records are synced in the background. */
  readonly isLax: boolean
}

/** When records are synced. `never` is for tests alone. */
export type Syncing = 'each' | 'background' | 'never'

/** Called for each put and remove of a record; null removes. Views of the record's memory. */
export type ApplyOp = (key: string, value: Bytes | null) => void

export function encodeMark({ id, segment, number, isClean, isLax }: Mark): Bytes {
  const bytes = Buffer.alloc(MARK_BYTES)
  bytes[4] = MARK_VERSION
  bytes[5] = (isClean ? CLEAN : 0) | (isLax ? LAX : 0)
  bytes.writeUInt32LE(segment, 6)
  bytes.set(id, 10)
  bytes.writeUIntLE(number, 10 + ID_BYTES, 6)
  bytes.writeUInt32LE(crc32(bytes, 4), 0)
  return bytes
}

/** Throws `StoreCorrupt` or `NewerFormat`. */
export function decodeMark(mark: Bytes): Mark {
  const bytes = Buffer.from(mark)
  if (bytes.length < MARK_BYTES || bytes.readUInt32LE(0) !== crc32(bytes, 4)) {
    throw new HoldfastError('StoreCorrupt', 'the record of where the journal begins is damaged')
  }
  if (bytes[4] !== MARK_VERSION) {
    throw new HoldfastError('NewerFormat', `the journal has format ${bytes[4]}`)
  }
  return {
    id: new Uint8Array(bytes.subarray(10, 10 + ID_BYTES)),
    segment: bytes.readUInt32LE(6),
    number: bytes.readUIntLE(10 + ID_BYTES, 6),
    isClean: ((bytes[5] ?? 0) & CLEAN) !== 0,
    isLax: ((bytes[5] ?? 0) & LAX) !== 0,
  }
}

export function newJournalId(random: { bytes(count: number): Bytes }): Bytes {
  return random.bytes(ID_BYTES)
}

/**
 * The batches as one record, to be given a number by the segment it is appended to. In memory that
 * the next call uses again: append it in the same step, which hands it to the system before it waits.
 */
export function encodeRecord(batches: readonly StoreBatch[]): Buffer {
  let size = RECORD_HEAD
  for (const { keys, values } of batches) {
    for (let i = 0; i < keys.length; i++) {
      size += OP_HEAD + (keys[i] as Bytes).length + (values[i]?.length ?? 0)
    }
  }
  const out = recordBuffer(size)
  let at = RECORD_HEAD
  for (const { keys, values } of batches) {
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as Bytes
      const value = values[i]
      out.writeUInt16LE(key.length, at)
      out.writeUInt32LE(value === undefined ? REMOVED : value.length, at + 2)
      out.set(key, at + OP_HEAD)
      at += OP_HEAD + key.length
      if (value === undefined) continue
      out.set(value, at)
      at += value.length
    }
  }
  return out
}

/** What is larger is made anew, and thrown away. */
const SCRATCH_BYTES = 256 * 1024
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

function recordBuffer(size: number): Buffer {
  return size > SCRATCH_BYTES ? Buffer.allocUnsafeSlow(size) : scratch.subarray(0, size)
}

/** Tells what a record does. */
function applyRecord(record: Buffer, apply: ApplyOp): void {
  for (let at = RECORD_HEAD; at < record.length;) {
    const keyEnd = at + OP_HEAD + record.readUInt16LE(at)
    const valueBytes = record.readUInt32LE(at + 2)
    const key = binaryString(record, at + OP_HEAD, keyEnd)
    at = valueBytes === REMOVED ? keyEnd : keyEnd + valueBytes
    apply(key, valueBytes === REMOVED ? null : record.subarray(keyEnd, at))
  }
}

/** The segment that is appended to. */
export class Segment {
  readonly #path: string
  readonly #place: Place
  readonly #id: Bytes
  readonly #file: number
  readonly #dir: string
  readonly #syncing: Syncing
  #next: number
  #bytes = HEADER_BYTES
  /** Of what is durable. */
  #syncedBytes = 0
  /** Settles with the latest sync. */
  #lastSync: Promise<void> = Promise.resolve()
  #isClosed = false

  /** Makes the file; durably, unless that has time. Throws as the disk does. */
  static async create(
    dir: string,
    { id, ...place }: Place & { readonly id: Bytes },
    syncing: Syncing,
  ): Promise<Segment> {
    const path = segmentPath(dir, place.segment)
    const file = openSync(path, 'wx')
    try {
      writeAll(file, encodeHeader(id, place), 0)
      const segment = new Segment(dir, { place, id, file, syncing })
      if (syncing === 'each') await segment.sync()
      return segment
    } catch (cause) {
      closeSync(file)
      rmSync(path, { force: true })
      throw cause
    }
  }

  private constructor(dir: string, { place, id, file, syncing }: SegmentParts) {
    this.#dir = dir
    this.#path = segmentPath(dir, place.segment)
    this.#place = place
    this.#id = id
    this.#file = file
    this.#syncing = syncing
    this.#next = place.number
  }

  /** Bytes of the file. */
  get bytes(): number {
    return this.#bytes
  }

  /** Where the segment behind this one begins. */
  get after(): Place {
    return { segment: this.#place.segment + 1, number: this.#next }
  }

  /**
   * Resolves once the record is durable, or with the system where it is synced in the background. A
   * rejection that does not say `applied: 'unknown'` left nothing of it; none may be appended after
   * one.
   */
  async append(record: Buffer): Promise<void> {
    record.writeUInt32LE(RECORD_MAGIC, 0)
    record.writeUInt32LE(record.length - RECORD_HEAD, 4)
    record.writeUIntLE(this.#next, 8, 6)
    record.writeUInt32LE(recordCrc(record, 0, record.length, this.#id), 14)
    try {
      writeAll(this.#file, record, this.#bytes)
    } catch (cause) {
      throw storageError(cause, 'the journal could not be written', this.#takeBack())
    }
    try {
      if (this.#syncing === 'each') await sync(this.#file)
    } catch (cause) {
      // The system takes it for written now, and no later sync would make it durable: who opens the
      // folder next must not read it. It may be on the disk all the same.
      this.#takeBack()
      throw storageError(cause, 'the journal could not be synced', 'unknown')
    }
    this.#bytes += record.length
    this.#next++
    if (this.#syncing === 'each') this.#syncedBytes = this.#bytes
  }

  /** Resolves once all that was appended is durable. */
  sync(): Promise<void> {
    this.#lastSync = this.#lastSync.then(() => this.#syncNow())
    return this.#lastSync
  }

  async #syncNow(): Promise<void> {
    const bytes = this.#bytes
    if (this.#syncing === 'never' || this.#isClosed || this.#syncedBytes === bytes) return
    try {
      await sync(this.#file)
      if (this.#syncedBytes === 0) syncFolder(this.#dir)
    } catch (cause) {
      throw storageError(cause, 'the journal could not be synced', 'unknown')
    }
    this.#syncedBytes = bytes
  }

  /** Cuts off what was written of a record. */
  #takeBack(): 'no' | 'unknown' {
    try {
      ftruncateSync(this.#file, this.#bytes)
      return 'no'
    } catch {
      return 'unknown'
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    closeSync(this.#file)
  }

  async remove(): Promise<void> {
    this.close()
    await rm(this.#path, { force: true })
  }
}

interface SegmentParts {
  readonly place: Place
  readonly id: Bytes
  readonly file: number
  readonly syncing: Syncing
}

const sync = promisify(fdatasync)

function writeAll(file: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(file, bytes, done, bytes.length - done, position + done)
  }
}

function segmentPath(dir: string, segment: number): string {
  return join(dir, `journal.${String(segment).padStart(6, '0')}`)
}

/** Whether writes lie in `dir` that are in no data file, as far as anybody knows. */
export function hasJournal(dir: string): boolean {
  return existsSync(dir) && segmentsIn(dir).length > 0
}

/** Removes every segment, whoever needs it. */
export function removeJournal(dir: string): void {
  for (const segment of segmentsIn(dir)) rmSync(segmentPath(dir, segment), { force: true })
}

/** Numbers of the segments in a folder, rising. */
function segmentsIn(dir: string): number[] {
  const found: number[] = []
  for (const name of readdirSync(dir)) {
    const digits = FILE_NAME.exec(name)?.[1]
    if (digits !== undefined) found.push(Number(digits))
  }
  return found.toSorted((a, b) => a - b)
}

/** A segment as it lies in its file. */
interface Read {
  /** undefined: it is not whole. */
  readonly header: (Place & { readonly id: Bytes }) | undefined
  readonly bytes: Buffer
}

/** What is read is durable: a process that was killed may have left it in memory only (S6). */
function readSegment(path: string): Read | undefined {
  let bytes: Buffer
  try {
    bytes = readSynced(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw storageError(cause, `${path} cannot be read`)
  }
  const isWhole =
    bytes.length >= HEADER_BYTES &&
    bytes.readUInt32LE(0) === SEGMENT_MAGIC &&
    bytes.readUInt32LE(4) === crc32(bytes, 8, HEADER_BYTES)
  if (!isWhole) return { header: undefined, bytes }
  const header = {
    segment: bytes.readUInt32LE(8),
    id: new Uint8Array(bytes.subarray(12, 12 + ID_BYTES)),
    number: bytes.readUIntLE(12 + ID_BYTES, 6),
  }
  return { header, bytes }
}

function encodeHeader(id: Bytes, { segment, number }: Place): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(SEGMENT_MAGIC, 0)
  header.writeUInt32LE(segment, 8)
  header.set(id, 12)
  header.writeUIntLE(number, 12 + ID_BYTES, 6)
  header.writeUInt32LE(crc32(header, 8), 4)
  return header
}

/** The id is in it: a record of another journal is none of ours, wherever its bytes come from. */
function recordCrc(bytes: Buffer, start: number, end: number, id: Bytes): number {
  return crc32(bytes, start + RECORD_HEAD, end, crc32(bytes, start + 8, start + 14, crc32(id)))
}

/** Where the record `number` at `at` ends, or undefined when there is no such record, whole. */
function recordEnd(bytes: Buffer, at: number, id: Bytes, number?: number): number | undefined {
  if (at + RECORD_HEAD > bytes.length || bytes.readUInt32LE(at) !== RECORD_MAGIC) return undefined
  const end = at + RECORD_HEAD + bytes.readUInt32LE(at + 4)
  if (end > bytes.length) return undefined
  if (number !== undefined && bytes.readUIntLE(at + 8, 6) !== number) return undefined
  return bytes.readUInt32LE(at + 14) === recordCrc(bytes, at, end, id) ? end : undefined
}

/**
 * Whether a whole record with a number above `above` begins at `from` or behind it. In a value there
 * may be one: somebody keeps files of this journal in it. Such a one is older than the value.
 */
function hasRecord(bytes: Buffer, from: number, id: Bytes, above = 0): boolean {
  const magic = Buffer.alloc(4)
  magic.writeUInt32LE(RECORD_MAGIC)
  for (let at = bytes.indexOf(magic, from); at >= 0; at = bytes.indexOf(magic, at + 1)) {
    if (recordEnd(bytes, at, id) === undefined) continue
    if (bytes.readUIntLE(at + 8, 6) > above) return true
  }
  return false
}

/** A journal as it was read. */
export interface Replayed {
  readonly segments: readonly number[]
  /** Of all their files. */
  readonly bytes: number
  /** Where it goes on. */
  readonly next: Place
}

/**
 * Reads the journal that `mark` names, and makes durable what it read. `mayLack`: where records are
 * synced in the background, a crash may have left nothing of the first segment; it is said by who
 * knows that nobody removes one meanwhile.
 *
 * @throws HoldfastError `StoreTruncated` for a segment that is missing: the first, or one before
 *   another; where each record is synced, `StoreCorrupt` for damage before the journal's end
 */
export function replay(dir: string, mark: Mark, mayLack: boolean, apply: ApplyOp): Replayed {
  const { id, isLax } = mark
  const segments: number[] = []
  // Beside a writer: all but the last of these are full by now. A later one is not looked at, since
  // more may have been written to the last of these after it was read.
  const last = Math.max(mark.segment, ...segmentsIn(dir))
  let [number, bytes, segment] = [mark.number, 0, mark.segment]
  for (; segment <= last; segment++) {
    const path = segmentPath(dir, segment)
    const read = readSegment(path)
    if (read === undefined) {
      if (isLax && (mayLack || segment > mark.segment)) break
      throw missingSegment(path)
    }
    if (isLax && (!belongs(read, mark, segment) || read.header?.number !== number)) break
    if (!belongs(read, mark, segment)) {
      // One in the making when the machine stopped: nothing was ever written to it.
      const isLast = segment === last && segment > mark.segment
      if (isLast && !hasRecord(read.bytes, 0, id)) break
      throw damaged(path, 'its header is damaged, or of another journal')
    }
    if (read.header?.number !== number) throw damaged(path, `record ${number} is missing`)
    const end = replayRecords(read.bytes, id, number, apply)
    segments.push(segment)
    bytes += read.bytes.length
    number = end.number
    if (end.isTorn && !isLax) {
      throw damaged(path, `record ${number} is damaged, and others follow it`)
    }
  }
  return { segments, bytes, next: { segment, number } }
}

/** Returns the number of the record that comes next, and whether there is a later one instead. */
function replayRecords(
  bytes: Buffer,
  id: Bytes,
  first: number,
  apply: ApplyOp,
): { readonly number: number; readonly isTorn: boolean } {
  let number = first
  let at = HEADER_BYTES
  for (;;) {
    const end = recordEnd(bytes, at, id, number)
    if (end === undefined) break
    applyRecord(bytes.subarray(at, end), apply)
    number++
    at = end
  }
  return { number, isTorn: at < bytes.length && hasRecord(bytes, at + 1, id, number) }
}

function belongs({ header }: Read, mark: Mark, segment: number): boolean {
  return header !== undefined && header.segment === segment && equalBytes(header.id, mark.id)
}

export async function removeSegments(dir: string, segments: readonly number[]): Promise<void> {
  for (const segment of segments) await rm(segmentPath(dir, segment), { force: true })
}

/**
 * Removes segments that nothing needs: those that are in the tree, and those a crash left in the
 * making. Throws `StoreCorrupt` for one of another journal with writes in it: the data file was
 * exchanged, and they are in no other place.
 */
export function removeLeftovers(
  dir: string,
  mark: Mark | undefined,
  needed: readonly number[],
): void {
  for (const segment of segmentsIn(dir)) {
    if (needed.includes(segment)) continue
    const path = segmentPath(dir, segment)
    const read = readSegment(path)
    if (read === undefined) continue
    const { header, bytes } = read
    const isOurs = mark !== undefined && header !== undefined && equalBytes(header.id, mark.id)
    // Behind the journal's end: a lost machine left more of it than of what came before.
    const isBehind = isOurs && mark.isLax && segment > mark.segment
    const isDone = isBehind || (isOurs && segment < mark.segment)
    if (!isDone && header !== undefined && hasRecord(bytes, HEADER_BYTES, header.id)) {
      const id = hex(header.id)
      throw damaged(path, `it belongs to another data file: journal ${id}`)
    }
    rmSync(path, { force: true })
  }
}

function missingSegment(path: string): HoldfastError {
  return new HoldfastError(
    'StoreTruncated',
    `${path} is missing: data.mdb needs the journal that was beside it`,
    { details: { path } },
  )
}

function damaged(path: string, reason: string): HoldfastError {
  return new HoldfastError('StoreCorrupt', `${path}: ${reason}`, { details: { path } })
}
