/**
 * Reads a UTF-8 text file as blocks of text, in bounded memory. A byte order mark is dropped.
 *
 * Bytes that are not UTF-8 must not turn into replacement characters unseen: a line that has some
 * is decoded with LONE in their place, a surrogate that no valid text contains. A reader looks for
 * it in the records of a block that is marked `damaged`.
 */
import { Buffer, isUtf8 } from 'node:buffer'
import type { FileHandle } from 'node:fs/promises'
import { open, stat } from 'node:fs/promises'
import { FormatError } from './format.ts'

export interface TextBlock {
  readonly text: string
  /** Bytes of the file up to the end of this block. */
  readonly bytesRead: number
  /** Some line in it has bytes that are not UTF-8. */
  readonly damaged: boolean
}

export interface TextOptions {
  /** Where blocks end: after a line feed (but for the last), or after any character. */
  readonly cut: 'line' | 'char'
  /** Longest line in bytes when blocks end after lines; a longer one throws FormatError. */
  readonly lineBytesMax: number
  /** Bytes read at once. Default 256 KiB. */
  readonly blockBytes?: number | undefined
}

const BLOCK_BYTES = 256 * 1024
const LINE_FEED = 10
const LONE = '\udc80'

/** Default for the longest record. A row has at most 256 KiB, but another program's may have more. */
export const RECORD_BYTES_MAX = 16 * 1024 * 1024

export const NOT_UTF8 = 'is not UTF-8 text'

/** Bytes of the file at `path`. Throws FormatError for a folder or a pipe: files are read twice. */
export async function sizeOfFile(path: string): Promise<number> {
  const stats = await stat(path)
  if (!stats.isFile()) throw new FormatError(`"${path}" is not a regular file`)
  return stats.size
}

/** Whether `text`, of a damaged block, has bytes that were not UTF-8. */
export function hasDamage(text: string): boolean {
  return text.includes(LONE)
}

/** Yields the text of the file at `path`, from its start. Closes the file when left. */
export async function* readText(path: string, options: TextOptions): AsyncGenerator<TextBlock> {
  const file = await open(path, 'r')
  try {
    yield* readBlocks(file, options)
  } finally {
    await file.close()
  }
}

async function* readBlocks(file: FileHandle, options: TextOptions): AsyncGenerator<TextBlock> {
  let buffer = Buffer.allocUnsafeSlow(options.blockBytes ?? BLOCK_BYTES)
  let held = 0
  let bytesRead = 0
  let atStart = true
  for (;;) {
    const { bytesRead: got } = await file.read(buffer, held, buffer.length - held, null)
    const filled = held + got
    const atEnd = got === 0
    let skip = 0
    if (atStart && (filled >= 3 || atEnd)) {
      skip = markLength(buffer.subarray(0, filled))
      atStart = false
    } else if (atStart) {
      held = filled
      continue
    }
    const stop = atEnd ? filled : cutAt(buffer, skip, filled, options.cut)
    if (stop > skip) {
      const bytes = buffer.subarray(skip, stop)
      bytesRead += stop
      const damaged = !isUtf8(bytes)
      yield { text: damaged ? decodeLines(bytes) : bytes.toString('utf8'), bytesRead, damaged }
    } else {
      bytesRead += stop
    }
    if (atEnd) return
    buffer.copyWithin(0, stop, filled)
    held = filled - stop
    if (held === buffer.length) {
      if (held > options.lineBytesMax) throw tooLong(bytesRead, options.lineBytesMax)
      buffer = Buffer.concat([buffer], buffer.length * 2)
    }
  }
}

function markLength(start: Buffer): number {
  if (start[0] === 0xef && start[1] === 0xbb && start[2] === 0xbf) return 3
  if ((start[0] === 0xff && start[1] === 0xfe) || (start[0] === 0xfe && start[1] === 0xff)) {
    throw new FormatError('the file is UTF-16; convert it to UTF-8')
  }
  return 0
}

/** The end of the last whole line, or of the last whole character, in bytes[start, end). */
function cutAt(bytes: Buffer, start: number, end: number, cut: 'line' | 'char'): number {
  if (cut === 'line') {
    const last = bytes.subarray(start, end).lastIndexOf(LINE_FEED)
    return last < 0 ? start : start + last + 1
  }
  // A character is cut off when its first byte is among the last three and announces more.
  for (let back = 1; back <= 3 && end - back >= start; back++) {
    const byte = bytes[end - back] as number
    if (byte < 0x80) return end
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back ? end - back : end
    }
  }
  return end
}

function decodeLines(bytes: Buffer): string {
  let text = ''
  for (let from = 0; from < bytes.length;) {
    const found = bytes.indexOf(LINE_FEED, from)
    const to = found < 0 ? bytes.length : found + 1
    const line = bytes.subarray(from, to)
    text += isUtf8(line) ? line.toString('utf8') : line.toString('utf8').replaceAll('\ufffd', LONE)
    from = to
  }
  return text
}

function tooLong(offset: number, bytes: number): FormatError {
  return new FormatError(`the line that starts at byte ${offset} is longer than ${bytes} bytes`)
}
