/**
 * What a worker did to its folder, as seen from outside.
 *
 * A moment is a line number of the trace. A call spans [start, end]: issued at `start`, returned at
 * `end`. `end` is Infinity where nobody knows what the call left behind: its thread was killed in
 * it, or it failed with EIO. It may have taken effect or not, and no later sync is taken to settle
 * which.
 *
 * Paths are relative to the folder, with '/' between names; '' is the folder itself.
 */
export type Span = { readonly start: number; readonly end: number }

/** Stands for an inode: it stays the same when the file is renamed. */
export type FileId = number

export type WriteEvent = Span & {
  readonly kind: 'write'
  readonly file: FileId
  readonly offset: number
  readonly data: Uint8Array
  /** Through an O_DSYNC or O_SYNC descriptor: durable once it returns, itself alone. */
  readonly synced: boolean
}

export type ResizeEvent = Span & {
  readonly kind: 'resize'
  readonly file: FileId
  readonly size: number
  /** fallocate: never makes the file shorter. */
  readonly growOnly: boolean
}

export type SyncEvent = Span & {
  readonly kind: 'sync'
  /** A file, or the path of a directory. */
  readonly target: FileId | string
  /**
   * A sync that failed takes the pages' dirty marks with it: what it should have covered never is.
   */
  readonly ok: boolean
}

export type Entry = FileId | 'folder'

/** Directory entries changed as one: a rename changes two. */
export type EntriesEvent = Span & {
  readonly kind: 'entries'
  readonly cause: 'create' | 'mkdir' | 'link' | 'rename' | 'remove'
  readonly changes: readonly { readonly path: string; readonly to: Entry | null }[]
}

/** A line that the worker wrote to its stdout: `ack <id>` is a promise, any other a remark. */
export type LineEvent = Span & { readonly kind: 'line'; readonly text: string }

export type RecordedEvent = WriteEvent | ResizeEvent | SyncEvent | EntriesEvent | LineEvent

export type Recording = {
  /** What lay in the folder before, all of it taken to be durable. */
  readonly initial: {
    readonly folders: readonly string[]
    readonly files: ReadonlyMap<string, { readonly id: FileId; readonly data: Uint8Array }>
  }
  /** In order of `start`. */
  readonly events: readonly RecordedEvent[]
}

export const emptyInitial: Recording['initial'] = { folders: [], files: new Map() }

/** The id in an `ack <id>` line, or undefined for a remark. */
export function ackOf(line: LineEvent): string | undefined {
  return line.text.startsWith('ack ') ? line.text.slice('ack '.length) : undefined
}

export function linesIn(events: readonly RecordedEvent[]): LineEvent[] {
  return events.filter((event) => event.kind === 'line')
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}
