/** Where a writer's bytes go: a file that appears when it is whole, or a stream of the caller's. */
import type { FileHandle } from 'node:fs/promises'
import { mkdtemp, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Writable } from 'node:stream'
import { FormatError } from './format.ts'

export interface Sink {
  /** Bytes written so far. */
  readonly bytes: number
  /** Resolves when the bytes are taken; they must not change before. */
  write(bytes: Uint8Array): Promise<void>
  /** A file is flushed and gets its name; a stream has taken everything, and stays open. */
  commit(): Promise<void>
  /** A file is dropped. Does nothing after `commit` or `abort`. */
  abort(): Promise<void>
}

/**
 * A path is written beside its place, in a folder `.<name>.partial-…`, and replaces what was there
 * on `commit`: after a crash the old file or the whole new one is there, and maybe that folder.
 * Throws FormatError for a path where a folder, a device or a pipe is.
 */
export function openSink(target: string | Writable): Promise<Sink> {
  return typeof target === 'string'
    ? FileSink.open(target)
    : Promise.resolve(new StreamSink(target))
}

class FileSink implements Sink {
  bytes = 0
  readonly #path: string
  readonly #folder: string
  readonly #file: FileHandle
  #isOpen = true

  private constructor(path: string, folder: string, file: FileHandle) {
    this.#path = path
    this.#folder = folder
    this.#file = file
  }

  static async open(path: string): Promise<FileSink> {
    const old = await stat(path).catch(() => undefined)
    if (old?.isFile() === false) throw new FormatError(`"${path}" is not a regular file`)
    const folder = await mkdtemp(join(dirname(path), `.${basename(path)}.partial-`))
    try {
      return new FileSink(path, folder, await open(join(folder, basename(path)), 'w'))
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, at)
      at += bytesWritten
    }
    this.bytes += bytes.length
  }

  async commit(): Promise<void> {
    await this.#file.sync()
    await this.#file.close()
    await rename(join(this.#folder, basename(this.#path)), this.#path)
    this.#isOpen = false
    await rm(this.#folder, { recursive: true, force: true })
    await syncFolder(dirname(this.#path))
  }

  async abort(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#file.close()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

class StreamSink implements Sink {
  bytes = 0
  readonly #stream: Writable

  constructor(stream: Writable) {
    this.#stream = stream
  }

  /**
   * Waits for the stream to take the bytes: its own buffer never grows. A failed stream says so
   * twice, to the callback and in an event, which would end the process if nothing listened.
   */
  write(bytes: Uint8Array): Promise<void> {
    this.bytes += bytes.length
    const stream = this.#stream
    return new Promise((resolve, reject) => {
      stream.once('error', reject)
      stream.write(bytes, (error) => {
        if (error) return reject(error)
        stream.removeListener('error', reject)
        return resolve()
      })
    })
  }

  commit(): Promise<void> {
    return Promise.resolve()
  }

  abort(): Promise<void> {
    return Promise.resolve()
  }
}

/** A rename is durable when its folder is flushed; not every system lets one open a folder. */
async function syncFolder(path: string): Promise<void> {
  let folder: FileHandle
  try {
    folder = await open(path, 'r')
  } catch {
    return
  }
  try {
    await folder.sync()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EINVAL' && code !== 'EPERM' && code !== 'ENOTSUP') throw error
  } finally {
    await folder.close()
  }
}
