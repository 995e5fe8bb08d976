/**
 * Turns traced calls into the events of one folder: whose file, at which offset, with which bytes.
 */
import { posix } from 'node:path'
import type { Entry, FileId, RecordedEvent, Recording } from './recording.ts'
import { SharedMaps, UnseenWritesError } from './shared-maps.ts'
import {
  arg,
  bytesOf,
  type Call,
  descriptorOf,
  fdOf,
  numberArg,
  textOf,
  type Tick,
  UnsupportedCallError,
  vectorBytes,
} from './strace-parse.ts'

export type FolderView = {
  /** Absolute, without symbolic links. */
  readonly folder: string
  /** Where relative paths start. */
  readonly cwd: string
  /** The file that the worker's stdout was bound to. */
  readonly stdout: string
  /** Files that need not survive; by path relative to the folder. */
  readonly ignore: (path: string) => boolean
  readonly initial: Recording['initial']
}

/** An open file description: shared by duplicates of its descriptor and by forked children. */
type OpenFile = {
  readonly file: FileId
  readonly synced: boolean
  readonly append: boolean
  position: number
  /** When the last call that moves `position` returned. */
  positionBusyUntil: number
}

type Process = { readonly files: Map<number, OpenFile>; readonly maps: SharedMaps }
type Handler = (call: Call) => void

export function eventsOf(ticks: readonly Tick[], view: FolderView): Recording {
  const reader = new EventReader(view)
  for (const { phase, call } of ticks) reader.take(phase, call)
  return { initial: view.initial, events: reader.events.sort((a, b) => a.start - b.start) }
}

class EventReader {
  readonly events: RecordedEvent[] = []
  readonly #view: FolderView
  readonly #processes = new Map<number, Process>()
  readonly #entries = new Map<string, Entry>()
  readonly #sizes = new Map<FileId, number>()
  readonly #appendBusyUntil = new Map<FileId, number>()
  #stdoutRest = ''
  #nextFile: FileId = 1

  constructor(view: FolderView) {
    this.#view = view
    for (const path of view.initial.folders) this.#entries.set(path, 'folder')
    for (const [path, { id, data }] of view.initial.files) {
      this.#entries.set(path, id)
      this.#sizes.set(id, data.length)
      this.#nextFile = Math.max(this.#nextFile, id + 1)
    }
  }

  take(phase: Tick['phase'], call: Call): void {
    const handler = (phase === 'enter' ? this.#onEnter : this.#onLeave)[call.name]
    handler?.(call)
  }

  /** Taken when issued: what they do may be done from then on. */
  readonly #onEnter: Record<string, Handler | undefined> = {
    close: (call) => void this.#process(call.tid).files.delete(fdOf(call, 0)),
    clone: (call) => this.#spawn(call),
    clone3: (call) => this.#spawn(call),
    fork: (call) => this.#spawn(call),
    vfork: (call) => this.#spawn(call),
    lseek: (call) => this.#seek(call),
    write: (call) => this.#write(call, bytesOf(arg(call, 1)), undefined),
    pwrite64: (call) => this.#write(call, bytesOf(arg(call, 1)), numberArg(call, 3)),
    writev: (call) => this.#write(call, vectorBytes(arg(call, 1)), undefined),
    pwritev: (call) => this.#write(call, vectorBytes(arg(call, 1)), numberArg(call, 3)),
    pwritev2: (call) => this.#write(call, vectorBytes(arg(call, 1)), pwritev2Offset(call)),
    ftruncate: (call) => this.#resize(call, this.#openFile(call, 0)?.file, numberArg(call, 1)),
    truncate: (call) => this.#resize(call, this.#fileAt(call, 0), numberArg(call, 1)),
    fallocate: (call) => this.#allocate(call),
    fsync: (call) => this.#sync(call),
    fdatasync: (call) => this.#sync(call),
    sendfile: (call) => this.#refuseInside(call, arg(call, 0)),
    splice: (call) => this.#refuseInside(call, arg(call, 2)),
    copy_file_range: (call) => this.#refuseInside(call, arg(call, 2)),
    ioctl: (call) => {
      if (/FICLONE|BTRFS_IOC_CLONE/.test(arg(call, 1))) this.#refuseInside(call, arg(call, 0))
    },
    io_uring_setup: (call) => {
      if (call.result >= 0) throw new UnsupportedCallError(call, 'hides writes from the trace')
    },
  }

  /** Taken when they returned: before, their result cannot be used. */
  readonly #onLeave: Record<string, Handler | undefined> = {
    open: (call) => this.#open(call, 1),
    openat: (call) => this.#open(call, 2),
    creat: (call) => this.#open(call, undefined),
    dup: (call) => this.#duplicate(call),
    dup2: (call) => this.#duplicate(call),
    dup3: (call) => this.#duplicate(call),
    fcntl: (call) => {
      if (arg(call, 1).startsWith('F_DUPFD')) this.#duplicate(call)
    },
    mkdir: (call) => this.#change(call, 'mkdir', [[this.#pathArg(call, 0), 'folder']]),
    mkdirat: (call) => this.#change(call, 'mkdir', [[this.#pathArgAt(call, 0), 'folder']]),
    unlink: (call) => this.#change(call, 'remove', [[this.#pathArg(call, 0), null]]),
    rmdir: (call) => this.#change(call, 'remove', [[this.#pathArg(call, 0), null]]),
    unlinkat: (call) => this.#change(call, 'remove', [[this.#pathArgAt(call, 0), null]]),
    rename: (call) => this.#rename(call, this.#pathArg(call, 0), this.#pathArg(call, 1)),
    renameat: (call) => this.#rename(call, this.#pathArgAt(call, 0), this.#pathArgAt(call, 2)),
    renameat2: (call) => {
      if (call.args[4]?.includes('RENAME_EXCHANGE')) this.#refuseInside(call, arg(call, 2))
      this.#rename(call, this.#pathArgAt(call, 0), this.#pathArgAt(call, 2))
    },
    link: (call) => this.#link(call, this.#pathArg(call, 0), this.#pathArg(call, 1)),
    linkat: (call) => this.#link(call, this.#pathArgAt(call, 0), this.#pathArgAt(call, 2)),
    symlink: (call) => this.#refusePath(call, this.#pathArg(call, 1)),
    symlinkat: (call) => this.#refusePath(call, this.#pathArgAt(call, 1)),
    mmap: (call) => this.#map(call),
    munmap: (call) => {
      if (call.result === 0)
        this.#process(call.tid).maps.unmap(numberArg(call, 0), numberArg(call, 1))
    },
    mremap: (call) => {
      if (call.result === -1) return
      const [from, length, newLength] = [0, 1, 2].map((index) => numberArg(call, index))
      this.#process(call.tid).maps.move(from ?? 0, length ?? 0, call.result, newLength ?? 0)
    },
    mprotect: (call) => this.#protect(call),
    pkey_mprotect: (call) => this.#protect(call),
  }

  #process(tid: number): Process {
    const known = this.#processes.get(tid)
    if (known) return known
    const made = { files: new Map<number, OpenFile>(), maps: new SharedMaps() }
    this.#processes.set(tid, made)
    return made
  }

  #spawn(call: Call): void {
    if (!(call.result > 0)) return
    const parent = this.#process(call.tid)
    const shares = call.args.some((text) => text.includes('CLONE_FILES'))
    const child = shares ? parent : { files: new Map(parent.files), maps: new SharedMaps() }
    this.#processes.set(call.result, child)
  }

  /** The path inside the folder, or undefined for one outside or ignored. */
  #inside(absolute: string): string | undefined {
    const { folder, ignore } = this.#view
    if (absolute === folder) return ''
    if (!absolute.startsWith(`${folder}/`)) return undefined
    const path = absolute.slice(folder.length + 1)
    return ignore(path) ? undefined : path
  }

  #pathArg(call: Call, index: number): string | undefined {
    return this.#inside(posix.resolve(this.#view.cwd, textOf(arg(call, index))))
  }

  #pathArgAt(call: Call, index: number): string | undefined {
    const base = descriptorOf(arg(call, index)).path
    return this.#inside(posix.resolve(base, textOf(arg(call, index + 1))))
  }

  #fileAt(call: Call, index: number): FileId | undefined {
    const path = this.#pathArg(call, index)
    const entry = path === undefined ? undefined : this.#entries.get(path)
    return entry === 'folder' ? undefined : entry
  }

  #openFile(call: Call, index: number): OpenFile | undefined {
    const { fd, path } = descriptorOf(arg(call, index))
    const inside = this.#inside(path)
    if (inside === undefined) return undefined
    const file = this.#process(call.tid).files.get(fd)
    if (!file)
      throw new UnsupportedCallError(call, `uses a descriptor of ${path} never seen opened`)
    return file
  }

  #open(call: Call, flagsAt: number | undefined): void {
    if (!(call.result >= 0)) return
    const path = this.#inside(descriptorOf(call.returned).path)
    const files = this.#process(call.tid).files
    files.delete(call.result)
    if (path === undefined || this.#isFolder(path)) return
    const flags = flagsAt === undefined ? 'O_WRONLY|O_CREAT|O_TRUNC' : arg(call, flagsAt)
    if (flags.includes('O_TMPFILE')) throw new UnsupportedCallError(call, 'makes a nameless file')
    let file = this.#entries.get(path)
    if (typeof file !== 'number') {
      if (!flags.includes('O_CREAT'))
        throw new UnsupportedCallError(call, `opens ${path}, which nobody was seen to make`)
      file = this.#nextFile++
      this.#sizes.set(file, 0)
      this.#change(call, 'create', [[path, file]])
    } else if (flags.includes('O_TRUNC')) {
      this.#resize(call, file, 0)
    }
    const synced = /\bO_D?SYNC\b/.test(flags)
    const append = flags.includes('O_APPEND')
    files.set(call.result, { file, synced, append, position: 0, positionBusyUntil: 0 })
  }

  #isFolder(path: string): boolean {
    return path === '' || this.#entries.get(path) === 'folder'
  }

  #duplicate(call: Call): void {
    if (!(call.result >= 0)) return
    const files = this.#process(call.tid).files
    const file = files.get(fdOf(call, 0))
    if (file) files.set(call.result, file)
    else files.delete(call.result)
  }

  #seek(call: Call): void {
    const file = call.result >= 0 ? this.#openFile(call, 0) : undefined
    if (!file) return
    this.#holdPosition(call, file)
    file.position = call.result
  }

  /** Two calls at once on one file position: which came first cannot be told. */
  #holdPosition(call: Call, file: OpenFile): void {
    if (call.start < file.positionBusyUntil)
      throw new UnsupportedCallError(
        call,
        'overlaps another call that moves the same file position',
      )
    file.positionBusyUntil = call.end
  }

  #write(call: Call, bytes: Uint8Array, offset: number | undefined): void {
    const { path } = descriptorOf(arg(call, 0))
    if (path === this.#view.stdout) return this.#say(call, bytes)
    const open = this.#openFile(call, 0)
    const unknown = Number.isNaN(call.result) || call.errno === 'EIO'
    if (!open || (call.result < 0 && !unknown)) return
    const data = unknown ? bytes : bytes.subarray(0, call.result)
    const at = this.#offsetOf(call, open, offset, data.length)
    const size = this.#sizes.get(open.file) ?? 0
    this.#sizes.set(open.file, Math.max(size, at + data.length))
    this.events.push({
      kind: 'write',
      file: open.file,
      offset: at,
      data,
      synced: open.synced || /RWF_D?SYNC/.test(call.args[4] ?? ''),
      start: call.start,
      end: unknown ? Infinity : call.end,
    })
  }

  #offsetOf(call: Call, open: OpenFile, offset: number | undefined, length: number): number {
    if (offset !== undefined && !open.append) return offset
    if (!open.append) {
      this.#holdPosition(call, open)
      open.position += length
      return open.position - length
    }
    if (call.start < (this.#appendBusyUntil.get(open.file) ?? 0))
      throw new UnsupportedCallError(call, 'overlaps another append to the same file')
    this.#appendBusyUntil.set(open.file, call.end)
    return this.#sizes.get(open.file) ?? 0
  }

  #say(call: Call, bytes: Uint8Array): void {
    const said = bytes.subarray(0, call.result >= 0 ? call.result : bytes.length)
    const lines = (this.#stdoutRest + Buffer.from(said).toString('utf8')).split('\n')
    this.#stdoutRest = lines.pop() ?? ''
    for (const text of lines) {
      this.events.push({ kind: 'line', text, start: call.start, end: call.end })
    }
  }

  #resize(call: Call, file: FileId | undefined, size: number, growOnly = false): void {
    if (file === undefined || call.result === -1) return
    const before = this.#sizes.get(file) ?? 0
    if (growOnly && size <= before) return
    this.#sizes.set(file, size)
    const { start, end } = call
    this.events.push({ kind: 'resize', file, size, growOnly, start, end })
  }

  #allocate(call: Call): void {
    const file = this.#openFile(call, 0)?.file
    if (file === undefined || arg(call, 1) === 'FALLOC_FL_KEEP_SIZE') return
    if (arg(call, 1) !== '0') throw new UnsupportedCallError(call, `with ${arg(call, 1)}`)
    this.#resize(call, file, numberArg(call, 2) + numberArg(call, 3), true)
  }

  #sync(call: Call): void {
    const path = this.#inside(descriptorOf(arg(call, 0)).path)
    if (path === undefined || Number.isNaN(call.result)) return
    const target = this.#isFolder(path) ? path : this.#openFile(call, 0)?.file
    if (target === undefined) return
    const { start, end } = call
    this.events.push({ kind: 'sync', target, ok: call.result === 0, start, end })
  }

  #change(
    call: Call,
    cause: 'create' | 'mkdir' | 'link' | 'rename' | 'remove',
    wanted: readonly (readonly [string | undefined, Entry | null])[],
  ): void {
    if (call.result === -1) return
    const changes = wanted.flatMap(([path, to]) => (path === undefined ? [] : [{ path, to }]))
    if (changes.length === 0) return
    for (const { path, to } of changes) {
      if (to === null) this.#entries.delete(path)
      else this.#entries.set(path, to)
    }
    this.events.push({ kind: 'entries', cause, changes, start: call.start, end: call.end })
  }

  #rename(call: Call, from: string | undefined, to: string | undefined): void {
    if (call.result === -1 || (from === undefined && to === undefined)) return
    const entry = from === undefined ? undefined : this.#entries.get(from)
    // A socket holds nothing that could be lost.
    if (entry === undefined && from !== undefined && to?.endsWith('.sock') === true) return
    if (from === undefined || to === undefined || typeof entry !== 'number')
      throw new UnsupportedCallError(call, 'of a folder, or across the border of what is watched')
    this.#change(call, 'rename', [
      [from, null],
      [to, entry],
    ])
  }

  #link(call: Call, from: string | undefined, to: string | undefined): void {
    const entry = from === undefined ? undefined : this.#entries.get(from)
    if (to !== undefined && entry !== undefined) this.#change(call, 'link', [[to, entry]])
    else this.#refusePath(call, to)
  }

  #map(call: Call): void {
    if (call.result === -1 || Number.isNaN(call.result)) return
    const { maps } = this.#process(call.tid)
    const length = numberArg(call, 1)
    maps.unmap(call.result, length)
    const shared = /MAP_SHARED/.test(arg(call, 3))
    const path = shared ? this.#inside(descriptorOf(arg(call, 4)).path) : undefined
    if (path === undefined) return
    if (arg(call, 2).includes('PROT_WRITE')) throw new UnseenWritesError(path, 'mmap')
    maps.map(call.result, length, path)
  }

  #protect(call: Call): void {
    if (call.result !== 0 || !arg(call, 2).includes('PROT_WRITE')) return
    this.#process(call.tid).maps.refuseWritable(numberArg(call, 0), numberArg(call, 1))
  }

  #refuseInside(call: Call, descriptor: string): void {
    if (call.result > 0) this.#refusePath(call, this.#inside(descriptorOf(descriptor).path))
  }

  #refusePath(call: Call, path: string | undefined): void {
    if (call.result !== -1 && path !== undefined)
      throw new UnsupportedCallError(call, `on ${path} is not modelled`)
  }
}

/** At -1 it writes at the file position. */
function pwritev2Offset(call: Call): number | undefined {
  const offset = numberArg(call, 3)
  return offset < 0 ? undefined : offset
}
