/**
 * Blobs in a JetStream stream of their own, for any number of nodes at once.
 *
 *   put   parts ─▶ chunks, under an id of its own ─▶ a record under its name, if nothing is there
 *
 *   holdfast.DATABASE.blob.chunk.ID     its bytes, as messages of at most 256 KiB
 *   holdfast.DATABASE.blob.name.NAME    its record (nats-blob-record.ts); the name with `.` for `/`,
 *                                       and `%` for `.`
 *
 * A blob is there from the moment its record is: the servers take that only while the name has none,
 * of all nodes' puts from one alone. It is gone with its record. Chunks without a record, of puts that
 * broke off, are for `sweep`. (The client's own object store would take all of a blob that is read
 * into memory as fast as it comes, and has no conditional put.)
 *
 * Records are asked of the stream's leader. One that has just been deposed, and does not know it yet,
 * may answer as before: then a blob that is new is not found. Places of chunks never hold others, so
 * chunks come from any server.
 */
import { equalBytes, hex, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { startDigest } from '../core/hash.ts'
import {
  checkNatsName,
  connectNats,
  forDatabase,
  type NatsLink,
  type NatsOptions,
} from '../core/nats-connection.ts'
import { openNatsStream, tryStream } from '../core/nats-stream.ts'
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
import {
  BLOB_CHUNKS_MAX,
  BLOB_ID_BYTES,
  damaged,
  decodeRecord,
  encodeRecord,
  type BlobRecord,
} from './nats-blob-record.ts'
import { BlobStream, blobStream, type BlobStreamOptions } from './nats-blob-stream.ts'

export interface NatsBlobOptions extends NatsOptions, BlobStreamOptions {
  /** What the servers list the connection as. */
  readonly client?: string | undefined
  /** Milliseconds for which a call is tried again while the servers do not answer. Default 30 s. */
  readonly patienceMs?: number | undefined
}

export interface NatsBlob extends Blob {
  /**
   * Removes the chunks of puts that broke off, at least `ageMs` ago by the servers' clocks (default 1
   * h). Gives how many puts those were.
   */
  sweep(ageMs?: number): Promise<number>
  close(): Promise<void>
}

const CHUNK_BYTES = 256 * 1024
/** Chunks on their way at once, to the servers or from them. */
const WINDOW = 8
/** Records that are asked for at once. */
const RECORDS_AT_ONCE = 16
const PATIENCE_MS = 30_000
const SWEEP_AGE_MS = 3_600_000
/** A put whose source pauses for longer fails: a sweep would soon take its chunks for left behind. */
const PAUSE_MAX_MS = SWEEP_AGE_MS / 2

/**
 * Connects, and makes the stream when it is missing. Throws `InvalidArgument`, `Unreachable`,
 * `EngineUnauthenticated`, `EngineForbidden`, `EngineUnsupported`, `StorageFull` when the servers have no room for it, and `LogUnavailable` when
 * the stream cannot be opened in time.
 */
export async function openNatsBlob(env: Env, options: NatsBlobOptions): Promise<NatsBlob> {
  checkNatsName(options.name)
  const own = forDatabase(options, options.name)
  const link = await connectNats(env, own, options.client ?? 'holdfast bulk')
  try {
    const wanted = blobStream(options)
    await assertMayStore(link, wanted.name, options.name, own.inboxPrefix)
    const { manager } = await openNatsStream(env, link, wanted)
    const patienceMs = options.patienceMs ?? PATIENCE_MS
    const stream = new BlobStream({ env, link, manager, stream: wanted.name, patienceMs })
    return new StreamBlob(env, stream, options.name)
  } catch (cause) {
    await link.close()
    throw cause
  }
}

/** What a node does with blobs must be allowed: else it would learn of it too late, or never. */
function assertMayStore(
  link: NatsLink,
  stream: string,
  database: string,
  inbox: string | undefined,
): Promise<void> {
  return link.assertAllowed((connection) => {
    const subjects = ['chunk', 'name'].map((kind) => `holdfast.${database}.blob.${kind}.none`)
    // No purge: servers take what they cannot read for one of everything. It fails by itself.
    const requests = ['STREAM.INFO', 'STREAM.MSG.GET', 'DIRECT.GET']
    tryStream(
      connection,
      stream,
      subjects,
      requests.map((each) => `${each}.${stream}`),
    )
    connection.subscribe(`${inbox}.none`, { callback: () => undefined }).unsubscribe()
  })
}

class StreamBlob implements NatsBlob {
  readonly #env: Env
  readonly #stream: BlobStream
  /** What the subjects of records, and of chunks, begin with. */
  readonly #names: string
  readonly #chunks: string

  constructor(env: Env, stream: BlobStream, database: string) {
    this.#env = env
    this.#stream = stream
    this.#names = `holdfast.${database}.blob.name.`
    this.#chunks = `holdfast.${database}.blob.chunk.`
  }

  async put(name: string, source: BlobSource): Promise<BlobInfo> {
    checkBlobName(name)
    const id = this.#env.random.bytes(BLOB_ID_BYTES)
    let record: BlobRecord
    try {
      record = await this.#upload(id, source)
    } catch (cause) {
      await this.#forget(id)
      throw cause
    }
    const info = infoOf(name, record)
    // When nobody knows whether this arrives its chunks stay, for a record that may come yet.
    const other = await this.#place(name, record)
    if (other === undefined) return info
    await this.#forget(id)
    return samePut(infoOf(name, other), info)
  }

  async *get(name: string): AsyncGenerator<Bytes, void> {
    checkBlobName(name)
    const record = await this.#find(name)
    if (record === undefined) throw noBlob(name)
    const { places } = record
    const running = startDigest()
    const coming: Promise<Bytes>[] = []
    let bytes = 0
    for (let i = 0; i < places.length; i++) {
      for (let ahead = i + coming.length; ahead < Math.min(i + WINDOW, places.length); ahead++) {
        const chunk = this.#chunk(name, record, places[ahead] as number)
        // Who stops reading early does not wait for those to come.
        chunk.catch(() => undefined)
        coming.push(chunk)
      }
      const part = (await coming.shift()) as Bytes
      running.update(part)
      bytes += part.length
      // Before the last part is given, all of it is known to be sound.
      if (i === places.length - 1) verify(name, record, bytes, running.finish())
      yield part
    }
    if (places.length === 0) verify(name, record, bytes, running.finish())
  }

  async stat(name: string): Promise<BlobInfo | undefined> {
    checkBlobName(name)
    const record = await this.#find(name)
    return record === undefined ? undefined : infoOf(name, record)
  }

  async list(prefix: string): Promise<BlobInfo[]> {
    const names = await this.names(prefix)
    const infos: BlobInfo[] = []
    for (let at = 0; at < names.length; at += RECORDS_AT_ONCE) {
      const some = names.slice(at, at + RECORDS_AT_ONCE)
      for (const info of await Promise.all(some.map((name) => this.stat(name)))) {
        if (info !== undefined) infos.push(info)
      }
    }
    return infos.toSorted(byName)
  }

  async names(prefix: string): Promise<string[]> {
    const subjects = await this.#stream.subjects(this.#names)
    return subjects
      .map((subject) => nameOf(subject.slice(this.#names.length)))
      .filter((name) => name.startsWith(prefix) && isBlobName(name))
      .toSorted()
  }

  async delete(name: string): Promise<void> {
    checkBlobName(name)
    const subject = this.#names + tokensOf(name)
    const message = await this.#stream.last(subject)
    if (message === undefined) return
    // This one alone, not another that takes the name meanwhile.
    await this.#stream.purge(subject, message.seq + 1)
    const id = idOf(name, message.data)
    if (id !== undefined) await this.#forget(id)
  }

  async sweep(ageMs: number = SWEEP_AGE_MS): Promise<number> {
    const chunks = await this.#stream.subjects(this.#chunks)
    const used = new Set<string>()
    // A put that ends meanwhile has chunks that are too young.
    for (const name of await this.names('')) {
      const record = await this.#find(name)
      if (record !== undefined) used.add(this.#chunks + hex(record.id))
    }
    let swept = 0
    for (const subject of chunks) {
      if (used.has(subject)) continue
      const message = await this.#stream.last(subject)
      const nowMs = await this.#stream.nowMs()
      if (message === undefined || nowMs - message.time.getTime() < ageMs) continue
      await this.#stream.purge(subject)
      swept++
    }
    return swept
  }

  close(): Promise<void> {
    return this.#stream.close()
  }

  /** Stores the bytes as chunks, some at once. Waits for all of them, also when one fails. */
  async #upload(id: Bytes, source: BlobSource): Promise<BlobRecord> {
    const running = startDigest()
    const stored: Promise<number>[] = []
    let bytes = 0
    try {
      for await (const chunk of chunksOf(this.#env, source)) {
        if (stored.length === BLOB_CHUNKS_MAX) throw tooLarge()
        running.update(chunk)
        bytes += chunk.length
        const number = stored.length
        const subject = this.#chunks + hex(id)
        const place = this.#stream.store(subject, chunk, `${hex(id)}.${number}`)
        place.catch(() => undefined)
        stored.push(place)
        await stored[number - WINDOW + 1]
      }
      return { id, bytes, digest: running.finish(), places: await Promise.all(stored) }
    } finally {
      await Promise.allSettled(stored)
    }
  }

  /** Gives the blob its name; the other's record when the name has one. */
  async #place(name: string, record: BlobRecord): Promise<BlobRecord | undefined> {
    const messageId = `${hex(record.id)}.name`
    const subject = this.#names + tokensOf(name)
    for (;;) {
      if (await this.#stream.storeFirst(subject, encodeRecord(record), messageId)) return undefined
      const other = await this.#find(name)
      // An earlier attempt, whose ack was lost.
      if (other !== undefined && equalBytes(other.id, record.id)) return undefined
      if (other !== undefined) return other
      // Deleted since: the name is free again.
    }
  }

  async #find(name: string): Promise<BlobRecord | undefined> {
    const message = await this.#stream.last(this.#names + tokensOf(name))
    return message === undefined ? undefined : decodeRecord(name, message.data)
  }

  async #chunk(name: string, { id }: BlobRecord, place: number): Promise<Bytes> {
    const message = await this.#stream.at(place)
    if (message?.subject === this.#chunks + hex(id)) return message.data
    const now = await this.#find(name)
    if (now === undefined || !equalBytes(now.id, id)) throw noBlob(name)
    throw damaged(name, 'some of its bytes are gone')
  }

  /** Removes the chunks of a put that failed, or of a blob that is gone: else a sweep finds them. */
  #forget(id: Bytes): Promise<void> {
    return this.#stream.tryPurge(this.#chunks + hex(id))
  }
}

/** The bytes of a source, as chunks of their own. */
async function* chunksOf(env: Env, source: BlobSource): AsyncGenerator<Bytes, void> {
  let chunk = new Uint8Array(CHUNK_BYTES)
  let filled = 0
  let sinceMs = env.clock.monotonicMs()
  for await (const part of partsOf(source)) {
    for (let at = 0; at < part.length;) {
      const count = Math.min(part.length - at, CHUNK_BYTES - filled)
      chunk.set(part.subarray(at, at + count), filled)
      at += count
      filled += count
      if (filled < CHUNK_BYTES) break
      assertInTime(env, sinceMs)
      yield chunk
      sinceMs = env.clock.monotonicMs()
      chunk = new Uint8Array(CHUNK_BYTES)
      filled = 0
    }
  }
  assertInTime(env, sinceMs)
  if (filled > 0) yield chunk.subarray(0, filled)
}

function assertInTime(env: Env, sinceMs: number): void {
  if (env.clock.monotonicMs() - sinceMs <= PAUSE_MAX_MS) return
  throw new HoldfastError('DeadlineExceeded', 'the source of a blob paused for too long')
}

function verify(name: string, record: BlobRecord, bytes: number, digest: Bytes): void {
  if (bytes === record.bytes && equalBytes(digest, record.digest)) return
  throw damaged(name, 'its bytes are damaged')
}

function infoOf(name: string, { bytes, digest }: BlobRecord): BlobInfo {
  return { name, bytes, digest }
}

/** Undefined for a record that is damaged: then a sweep finds the chunks. */
function idOf(name: string, encoded: Bytes): Bytes | undefined {
  try {
    return decodeRecord(name, encoded).id
  } catch (error) {
    if (isHoldfastError(error, 'StoreCorrupt')) return undefined
    throw error
  }
}

const tokensOf = (name: string): string => name.replaceAll('.', '%').replaceAll('/', '.')
const nameOf = (tokens: string): string => tokens.replaceAll('.', '/').replaceAll('%', '.')

function tooLarge(): HoldfastError {
  const most = BLOB_CHUNKS_MAX * CHUNK_BYTES
  return new HoldfastError('InvalidArgument', `a blob has at most ${most} bytes on NATS`)
}
