/** Blobs in this process's memory. */
import { concatBytes, copyBytes, type Bytes } from '../core/bytes.ts'
import { turn, type Env } from '../core/env.ts'
import { digest } from '../core/hash.ts'
import {
  byName,
  checkBlobName,
  noBlob,
  partsOf,
  samePut,
  type Blob,
  type BlobInfo,
  type BlobSource,
} from './blob.ts'

interface Stored extends BlobInfo {
  readonly content: Bytes
}

const PART_BYTES = 64 * 1024

export function openMemoryBlob(env: Env): Blob {
  return new MemoryBlob(env)
}

class MemoryBlob implements Blob {
  readonly #env: Env
  readonly #blobs = new Map<string, Stored>()

  constructor(env: Env) {
    this.#env = env
  }

  async put(name: string, source: BlobSource): Promise<BlobInfo> {
    checkBlobName(name)
    const parts: Bytes[] = []
    for await (const part of partsOf(source)) parts.push(copyBytes(part))
    const content = concatBytes(...parts)
    await turn(this.#env)
    const info = { name, bytes: content.length, digest: digest(content) }
    const existing = this.#blobs.get(name)
    if (existing !== undefined) return samePut(infoOf(existing), info)
    this.#blobs.set(name, { ...info, content })
    return info
  }

  async *get(name: string): AsyncGenerator<Bytes, void> {
    checkBlobName(name)
    await turn(this.#env)
    const stored = this.#blobs.get(name)
    if (stored === undefined) throw noBlob(name)
    const { content } = stored
    for (let at = 0; at < content.length; at += PART_BYTES) {
      yield copyBytes(content.subarray(at, at + PART_BYTES))
      await turn(this.#env)
    }
  }

  async stat(name: string): Promise<BlobInfo | undefined> {
    checkBlobName(name)
    await turn(this.#env)
    const stored = this.#blobs.get(name)
    return stored === undefined ? undefined : infoOf(stored)
  }

  async list(prefix: string): Promise<BlobInfo[]> {
    await turn(this.#env)
    return [...this.#blobs.values()]
      .filter(({ name }) => name.startsWith(prefix))
      .map(infoOf)
      .toSorted(byName)
  }

  async names(prefix: string): Promise<string[]> {
    const found = await this.list(prefix)
    return found.map(({ name }) => name)
  }

  async delete(name: string): Promise<void> {
    checkBlobName(name)
    await turn(this.#env)
    this.#blobs.delete(name)
  }
}

function infoOf({ name, bytes, digest }: Stored): BlobInfo {
  return { name, bytes, digest: copyBytes(digest) }
}
