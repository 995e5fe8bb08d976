/**
 * What a power cut can leave of a folder. Pure: a recording in, crash images out.
 *
 * The model, by what the disk is trusted with:
 * - A sector (512 bytes) is written whole or not at all. Each holds one of the versions it went
 *   through, none older than the last one that a completed sync covered; sectors are independent of
 *   each other, so writes are lost, torn and reordered freely between syncs.
 * - A sync covers the writes to its file that had returned before it was issued, once it returned
 *   itself. A write that overlaps it in time is not covered. An O_DSYNC write covers itself alone.
 * - A failed sync covers nothing, and neither does a later one what the failed one should have
 *   covered (Linux marks the pages clean).
 * - A file's size follows the writes that survive; a gap before one of them reads as zeros.
 * - Directory entries change whole (a rename is atomic) and independently of each other. A sync of
 *   the directory that holds the new entry makes it durable. With the `ext4` directory model, a
 *   sync of a file also makes durable the entry it was created under and the folders above that, as
 *   ext4, xfs and btrfs do; with `strict` it does not.
 */
import {
  ackOf,
  type EntriesEvent,
  type Entry,
  type FileId,
  linesIn,
  parentOf,
  type RecordedEvent,
  type Recording,
  type ResizeEvent,
  type SyncEvent,
  type WriteEvent,
} from './recording.ts'

export const SECTOR_BYTES = 512
export const PAGE_BYTES = 4096

export type DirectoryModel = 'ext4' | 'strict'
export type Change = WriteEvent | ResizeEvent | EntriesEvent

export type Op = {
  /** Place among the recording's changes. */
  readonly index: number
  readonly change: Change
  /** From this moment on a completed sync covers it; Infinity if none ever does. */
  readonly durableAt: number
}

/** Which of the changes that no sync covers had reached the disk. */
export type Fate = {
  readonly name: string
  /**
   * For a write, asked for each of its sectors (numbered within the file); for other changes with
   * 0.
   */
  readonly keeps: (op: Op, sector: number) => boolean
  /**
   * Whether a write whose bytes are lost still left the file longer (its size reached the disk
   * first).
   */
  readonly keepsSize?: (op: Op) => boolean
}

export type CrashImage = {
  readonly folders: readonly string[]
  readonly files: ReadonlyMap<string, Uint8Array>
}

type FileOp = Op & { readonly change: WriteEvent | ResizeEvent }
type EntriesOp = Op & { readonly change: EntriesEvent }
/**
 * The part of a file's history that no crash from `at` on can change. Kept between calls: moments
 * rise.
 */
type Settled = { at: number; count: number; readonly bytes: GrowingBytes }

export class CrashModel {
  readonly recording: Recording
  readonly #ops: readonly Op[]
  readonly #entryOps: readonly EntriesOp[]
  readonly #fileOps: ReadonlyMap<FileId, readonly FileOp[]>
  readonly #initial: ReadonlyMap<FileId, Uint8Array>
  readonly #settled = new Map<FileId, Settled>()

  constructor(recording: Recording, directories: DirectoryModel = 'ext4') {
    this.recording = recording
    this.#ops = opsOf(recording.events, directories)
    this.#entryOps = this.#ops.filter(isEntriesOp)
    const fileOps = new Map<FileId, FileOp[]>()
    for (const op of this.#ops.filter(isFileOp)) {
      const ops = fileOps.get(op.change.file)
      if (ops) ops.push(op)
      else fileOps.set(op.change.file, [op])
    }
    this.#fileOps = fileOps
    this.#initial = new Map([...recording.initial.files.values()].map(({ id, data }) => [id, data]))
  }

  /** Changes issued before the moment that no sync covers yet. */
  pendingAt(at: number): Op[] {
    return this.#ops.filter((op) => op.change.start < at && op.durableAt >= at)
  }

  /** What had been promised by then. An ack counts from when it was issued. */
  ackedAt(at: number): string[] {
    return linesIn(this.recording.events).flatMap((line) => {
      const id = line.start < at ? ackOf(line) : undefined
      return id === undefined ? [] : [id]
    })
  }

  /** What a crash at this moment leaves if the changes not covered by a sync meet this fate. */
  imageAt(at: number, fate: Fate): CrashImage {
    const entries = new Map<string, Entry>()
    for (const path of this.recording.initial.folders) entries.set(path, 'folder')
    for (const [path, { id }] of this.recording.initial.files) entries.set(path, id)
    for (const op of this.#entryOps) {
      if (op.change.start >= at) break
      if (op.durableAt >= at && !fate.keeps(op, 0)) continue
      for (const { path, to } of op.change.changes) {
        if (to === null) entries.delete(path)
        else entries.set(path, to)
      }
    }
    const reachable = [...entries].filter(([path]) => isReachable(path, entries))
    const files = new Map<string, Uint8Array>()
    const folders: string[] = []
    for (const [path, entry] of reachable) {
      if (entry === 'folder') folders.push(path)
      else files.set(path, this.#contentAt(entry, at, fate))
    }
    return { folders, files }
  }

  #contentAt(file: FileId, at: number, fate: Fate): Uint8Array {
    const ops = this.#fileOps.get(file) ?? []
    const settled = this.#settle(file, ops, at)
    const open: FileOp[] = []
    for (const op of ops.slice(settled.count)) {
      if (op.change.start >= at) break
      open.push(op)
    }
    return applyOpen(settled.bytes, open, {
      ...fate,
      keeps: (op, sector) => op.durableAt < at || fate.keeps(op, sector),
    })
  }

  #settle(file: FileId, ops: readonly FileOp[], at: number): Settled {
    let settled = this.#settled.get(file)
    if (!settled || at < settled.at) {
      const bytes = new GrowingBytes(this.#initial.get(file) ?? new Uint8Array(0))
      settled = { at, count: 0, bytes }
      this.#settled.set(file, settled)
    }
    settled.at = at
    for (let op = ops[settled.count]; op && op.durableAt < at; op = ops[++settled.count]) {
      if (op.change.kind === 'write') settled.bytes.write(op.change.offset, op.change.data)
      else settled.bytes.resize(sizeAfter(op.change, settled.bytes.size))
    }
    return settled
  }
}

/**
 * Applies the changes that are not settled. A sector ends at the last kept change that touches it,
 * and then holds the bytes of every earlier one: the page cache had them all when it was written
 * out.
 */
function applyOpen(settled: GrowingBytes, ops: readonly FileOp[], fate: Fate): Uint8Array {
  const content = settled.copy()
  const reach = Math.max(settled.size, ...ops.map(({ change }) => reachOf(change)))
  const lastKept = new Map<number, number>()
  let size = settled.size
  for (const [place, op] of ops.entries()) {
    for (const sector of sectorsOf(op.change, reach)) {
      if (!fate.keeps(op, op.change.kind === 'write' ? sector : 0)) continue
      lastKept.set(sector, place)
      if (op.change.kind === 'write')
        size = Math.max(size, Math.min(reachOf(op.change), (sector + 1) * SECTOR_BYTES))
    }
    if (op.change.kind === 'resize' && fate.keeps(op, 0)) size = sizeAfter(op.change, size)
    if (op.change.kind === 'write' && fate.keepsSize?.(op))
      size = Math.max(size, reachOf(op.change))
  }
  for (const [place, op] of ops.entries()) {
    for (const sector of sectorsOf(op.change, reach)) {
      if ((lastKept.get(sector) ?? -1) < place) continue
      const from = Math.max(sector * SECTOR_BYTES, startOf(op.change))
      const to = Math.min(
        (sector + 1) * SECTOR_BYTES,
        op.change.kind === 'write' ? reachOf(op.change) : reach,
      )
      if (op.change.kind === 'resize') content.zero(from, to)
      else
        content.write(from, op.change.data.subarray(from - op.change.offset, to - op.change.offset))
    }
  }
  content.resize(size)
  return content.bytes()
}

function startOf(change: WriteEvent | ResizeEvent): number {
  return change.kind === 'write' ? change.offset : change.size
}

function reachOf(change: WriteEvent | ResizeEvent): number {
  return change.kind === 'write' ? change.offset + change.data.length : change.size
}

function sizeAfter(change: ResizeEvent, size: number): number {
  return change.growOnly ? Math.max(size, change.size) : change.size
}

/**
 * The sectors that a change writes; those that a truncation zeroes, up to where any data reaches.
 */
function* sectorsOf(change: WriteEvent | ResizeEvent, reach: number): Generator<number> {
  if (change.kind === 'resize' && change.growOnly) return
  const to = change.kind === 'write' ? reachOf(change) : reach
  for (let at = startOf(change); at < to; at = (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES)
    yield Math.floor(at / SECTOR_BYTES)
}

function isReachable(path: string, entries: ReadonlyMap<string, Entry>): boolean {
  for (let above = parentOf(path); above !== ''; above = parentOf(above))
    if (entries.get(above) !== 'folder') return false
  return true
}

function isFileOp(op: Op): op is FileOp {
  return op.change.kind !== 'entries'
}

function isEntriesOp(op: Op): op is EntriesOp {
  return op.change.kind === 'entries'
}

/** Finds for every change the first completed sync that covers it. */
function opsOf(events: readonly RecordedEvent[], directories: DirectoryModel): Op[] {
  const changes = events.filter((event) => event.kind !== 'sync' && event.kind !== 'line')
  const durableAt = new Map<Change, number>()
  for (const change of changes)
    durableAt.set(change, change.kind === 'write' && change.synced ? change.end : Infinity)
  let open = changes.filter((change) => durableAt.get(change) === Infinity)
  const syncs = events.filter((event) => event.kind === 'sync')
  for (const sync of syncs.toSorted((a, b) => a.end - b.end)) {
    const covers = coverOf(sync, open, directories)
    open = open.filter((change) => {
      if (!covers(change)) return true
      if (!sync.ok) return change.start >= sync.end
      if (change.end >= sync.start) return true
      durableAt.set(change, sync.end)
      return false
    })
  }
  return changes.map((change, index) => ({
    index,
    change,
    durableAt: durableAt.get(change) ?? Infinity,
  }))
}

/** Which changes a sync is about, whenever they were made. */
function coverOf(
  sync: SyncEvent,
  open: readonly Change[],
  directories: DirectoryModel,
): (change: Change) => boolean {
  const { target } = sync
  const holders = new Set<string>()
  if (typeof target === 'string') holders.add(target)
  const created =
    directories === 'ext4'
      ? open.filter((change) => isCreationOf(target, change)).flatMap((change) => pathsOf(change))
      : []
  const above = new Set(created.flatMap((path) => [path, ...foldersAbove(path)]))
  if (directories === 'ext4' && typeof target === 'string')
    for (const path of [target, ...foldersAbove(target)]) above.add(path)
  return (change) => {
    if (change.kind !== 'entries') return change.file === target
    const made = change.changes.filter(({ to }) => to !== null)
    const settling = made.length > 0 ? made : change.changes
    if (settling.every(({ path }) => holders.has(parentOf(path)))) return true
    if (change.cause === 'create') return isCreationOf(target, change) && directories === 'ext4'
    return change.cause === 'mkdir' && change.changes.every(({ path }) => above.has(path))
  }
}

function isCreationOf(target: FileId | string, change: Change): boolean {
  return (
    change.kind === 'entries' &&
    change.cause === 'create' &&
    change.changes.some(({ to }) => to === target)
  )
}

function pathsOf(change: Change): string[] {
  return change.kind === 'entries' ? change.changes.map(({ path }) => path) : []
}

function foldersAbove(path: string): string[] {
  const folders: string[] = []
  for (let above = parentOf(path); above !== ''; above = parentOf(above)) folders.push(above)
  return folders
}

class GrowingBytes {
  size: number
  #buffer: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#buffer = Uint8Array.from(bytes)
    this.size = bytes.length
  }

  write(offset: number, data: Uint8Array): void {
    this.#reserve(offset + data.length)
    this.#buffer.set(data, offset)
    this.size = Math.max(this.size, offset + data.length)
  }

  zero(from: number, to: number): void {
    this.#buffer.fill(0, from, Math.min(to, this.#buffer.length))
  }

  resize(size: number): void {
    this.#reserve(size)
    if (size < this.size) this.#buffer.fill(0, size, this.size)
    this.size = size
  }

  copy(): GrowingBytes {
    return new GrowingBytes(this.bytes())
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.size)
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return
    const grown = new Uint8Array(Math.max(size, this.#buffer.length * 2))
    grown.set(this.#buffer)
    this.#buffer = grown
  }
}
