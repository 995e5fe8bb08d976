/**
 * Blobs as files in a folder that one process at a time opens for writing.
 *
 *   put   parts ─▶ .tmp-x, fsync ─▶ link to its name, fails if there is one ─▶ fsync of the folder
 *
 * A file is the blob's bytes, then a trailer: digest, 16 bytes; length u64; magic u32; CRC-32 of the
 * trailer u32; little-endian. A name is written with `%` for `/`, and `.blob` at its end.
 */
import { constants } from 'node:fs'
import { link, mkdir, open, readdir, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { compareBytes, hex, type Bytes } from '../core/bytes.ts'
import type { Random } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32, DIGEST_BYTES, startDigest } from '../core/hash.ts'
import {
  byName,
  checkBlobName,
  isBlobName,
  noBlob,
  partsOf,
  samePut,
  type Blob,
  type BlobInfo,
  type BlobSource,
} from './blob.ts'

export interface FolderBlobOptions {
  /** Made if it is not there. */
  readonly dir: string
  /** For the names of files under way. */
  readonly random: Random
  /** Leaves the folder as it is, beside a process that puts. Default false. */
  readonly readOnly?: boolean | undefined
}

const MAGIC = 0x484c4231
const TRAILER_BYTES = DIGEST_BYTES + 8 + 4 + 4
const LENGTH_AT = DIGEST_BYTES
const MAGIC_AT = LENGTH_AT + 8
const CRC_AT = MAGIC_AT + 4
const PART_BYTES = 256 * 1024
const ENDING = '.blob'
const TEMPORARY = '.tmp-'

/**
 * Opens the folder, and clears it of what puts left that did not end. To read, it must be there:
 * else `FolderNotFound`.
 */
export async function openFolderBlob(options: FolderBlobOptions): Promise<Blob> {
  const { dir, random, readOnly } = options
  if (readOnly === true) {
    await assertFolder(dir)
    return new FolderBlob(dir, random)
  }
  return guard(`the folder ${dir} cannot be opened`, async () => {
    await mkdir(dir, { recursive: true })
    const names = await readdir(dir)
    const leftovers = names.filter((name) => name.startsWith(TEMPORARY))
    for (const name of leftovers) await unlink(join(dir, name))
    return new FolderBlob(dir, random)
  })
}

function assertFolder(dir: string): Promise<void> {
  return guard(`the folder ${dir} cannot be read`, async () => {
    try {
      await readdir(dir)
    } catch (cause) {
      if (!hasCode(cause, 'ENOENT', 'ENOTDIR')) throw cause
      throw new HoldfastError('FolderNotFound', `there is no folder ${dir}`, { details: { dir } })
    }
  })
}

class FolderBlob implements Blob {
  readonly #dir: string
  readonly #random: Random

  constructor(dir: string, random: Random) {
    this.#dir = dir
    this.#random = random
  }

  async put(name: string, source: BlobSource): Promise<BlobInfo> {
    checkBlobName(name)
    const temporary = join(this.#dir, `${TEMPORARY}${hex(this.#random.bytes(12))}`)
    const file = await guard(`blob '${name}' cannot be written`, () => open(temporary, 'wx'))
    try {
      const info = await writeBlob(file, name, source)
      await guard(`blob '${name}' cannot be written`, () => file.sync())
      const placed = await this.#place(temporary, name)
      if (placed) return info
      const existing = await this.stat(name)
      // Deleted since: the name was taken when we asked for it.
      if (existing === undefined) throw new HoldfastError('AlreadyExists', `blob '${name}' existed`)
      return samePut(existing, info)
    } finally {
      await file.close()
      // What stays behind is cleared when the folder is opened again.
      await unlink(temporary).catch(() => undefined)
    }
  }

  async *get(name: string): AsyncGenerator<Bytes, void> {
    const file = await this.#openToRead(name)
    if (file === undefined) throw noBlob(name)
    try {
      const info = await readTrailer(file, name)
      const digest = startDigest()
      for (let at = 0; at < info.bytes;) {
        const length = Math.min(PART_BYTES, info.bytes - at)
        const part = await readAt(file, name, at, length)
        digest.update(part)
        at += length
        // Before the last part is given, all of it is known to be sound.
        if (at === info.bytes) verify(info, digest.finish())
        yield part
      }
      if (info.bytes === 0) verify(info, digest.finish())
    } finally {
      await file.close()
    }
  }

  async stat(name: string): Promise<BlobInfo | undefined> {
    const file = await this.#openToRead(name)
    if (file === undefined) return undefined
    try {
      return await readTrailer(file, name)
    } finally {
      await file.close()
    }
  }

  async list(prefix: string): Promise<BlobInfo[]> {
    const found: BlobInfo[] = []
    for (const name of await this.names(prefix)) {
      const info = await this.stat(name)
      if (info !== undefined) found.push(info)
    }
    return found.toSorted(byName)
  }

  async names(prefix: string): Promise<string[]> {
    const files = await guard('the folder cannot be read', () => readdir(this.#dir))
    return (
      files
        .filter((file) => file.endsWith(ENDING))
        .map((file) => file.slice(0, -ENDING.length).replaceAll('%', '/'))
        // Other files may lie here as well: what a file manager leaves, a copy made by hand.
        .filter((name) => name.startsWith(prefix) && isBlobName(name))
        .toSorted()
    )
  }

  async delete(name: string): Promise<void> {
    checkBlobName(name)
    await guard(`blob '${name}' cannot be deleted`, async () => {
      try {
        await unlink(this.#pathOf(name))
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) throw error
      }
      await this.#syncFolder()
    })
  }

  #pathOf(name: string): string {
    return join(this.#dir, name.replaceAll('/', '%') + ENDING)
  }

  /** Gives the file its name; false if there is one. Either way the name is durable. */
  #place(temporary: string, name: string): Promise<boolean> {
    return guard(`blob '${name}' cannot be written`, async () => {
      let placed = true
      try {
        // Not a rename: that would replace a blob of this name.
        await link(temporary, this.#pathOf(name))
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error
        placed = false
      }
      await this.#syncFolder()
      return placed
    })
  }

  #openToRead(name: string): Promise<FileHandle | undefined> {
    checkBlobName(name)
    return guard(`blob '${name}' cannot be read`, async () => {
      try {
        return await open(this.#pathOf(name), 'r')
      } catch (error) {
        if (hasCode(error, 'ENOENT')) return undefined
        throw error
      }
    })
  }

  async #syncFolder(): Promise<void> {
    let folder: FileHandle
    try {
      folder = await open(this.#dir, constants.O_RDONLY)
    } catch {
      // Windows opens no folders; it makes names durable itself.
      return
    }
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  }
}

async function writeBlob(file: FileHandle, name: string, source: BlobSource): Promise<BlobInfo> {
  const digest = startDigest()
  let bytes = 0
  for await (const part of partsOf(source)) {
    digest.update(part)
    await writeAt(file, name, part, bytes)
    bytes += part.length
  }
  const info = { name, bytes, digest: digest.finish() }
  const trailer = Buffer.alloc(TRAILER_BYTES)
  trailer.set(info.digest)
  trailer.writeBigUInt64LE(BigInt(bytes), LENGTH_AT)
  trailer.writeUInt32LE(MAGIC, MAGIC_AT)
  trailer.writeUInt32LE(crc32(trailer, 0, CRC_AT), CRC_AT)
  await writeAt(file, name, trailer, bytes)
  return info
}

function writeAt(file: FileHandle, name: string, bytes: Bytes, start: number): Promise<void> {
  return guard(`blob '${name}' cannot be written`, async () => {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, start + done)
      done += bytesWritten
    }
  })
}

async function readTrailer(file: FileHandle, name: string): Promise<BlobInfo> {
  const { size } = await guard(`blob '${name}' cannot be read`, () => file.stat())
  if (size < TRAILER_BYTES) throw corrupt(name, 'its file is too short')
  const read = await readAt(file, name, size - TRAILER_BYTES, TRAILER_BYTES)
  const trailer = Buffer.from(read.buffer, read.byteOffset, read.length)
  const sound =
    trailer.readUInt32LE(MAGIC_AT) === MAGIC &&
    trailer.readUInt32LE(CRC_AT) === crc32(trailer, 0, CRC_AT) &&
    trailer.readBigUInt64LE(LENGTH_AT) === BigInt(size - TRAILER_BYTES)
  if (!sound) throw corrupt(name, 'the end of its file is damaged')
  return { name, bytes: size - TRAILER_BYTES, digest: read.slice(0, DIGEST_BYTES) }
}

function readAt(file: FileHandle, name: string, start: number, length: number): Promise<Bytes> {
  return guard(`blob '${name}' cannot be read`, async () => {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length;) {
      const { bytesRead } = await file.read(bytes, done, length - done, start + done)
      if (bytesRead === 0) throw corrupt(name, 'its file is cut short')
      done += bytesRead
    }
    return bytes
  })
}

function verify(info: BlobInfo, digest: Bytes): void {
  if (compareBytes(info.digest, digest) !== 0) throw corrupt(info.name, 'its bytes are damaged')
}

/** Runs what touches the disk, and gives its failures our codes. */
async function guard<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause
    const message = `${what}: ${cause instanceof Error ? cause.message : String(cause)}`
    if (hasCode(cause, 'ENOSPC', 'EDQUOT'))
      throw new HoldfastError('StorageFull', message, { cause })
    if (hasCode(cause, 'EACCES', 'EPERM', 'EROFS')) {
      throw new HoldfastError('FolderReadOnly', message, { cause })
    }
    throw new HoldfastError('StorageFailed', message, { cause })
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

function corrupt(name: string, reason: string): HoldfastError {
  return new HoldfastError('StoreCorrupt', `blob '${name}' is not what was put: ${reason}`, {
    details: { name },
  })
}
