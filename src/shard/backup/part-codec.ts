/**
 * Parts: runs of records, deflated. A record is two byte strings, each behind its length as a
 * varint: of `rows` a store key and its value, of `log` a frame and the verdicts on its transactions.
 */
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import { ByteReader, ByteWriter, hex, type Bytes } from '../../core/bytes.ts'
import { digest } from '../../core/hash.ts'
import { LIMITS } from '../../core/limits.ts'
import { backupCorrupt, partName, type PartInfo, type PartKind } from './manifest.ts'

const MiB = 1024 * 1024
/** Bytes of records at which a part is closed. */
const PART_BYTES = 4 * MiB
/** The fastest level: level 6 took 2.7 times as long for 6 % fewer bytes (docs/adr/0017). */
const LEVEL = 1

const deflate = promisify(deflateRaw) as (bytes: Bytes, options: object) => Promise<Bytes>
const inflate = promisify(inflateRaw) as (bytes: Bytes, options: object) => Promise<Bytes>

/** Takes blobs by name; a Blob is one, and so is an archive. */
export interface PartSink {
  put(name: string, bytes: Bytes): Promise<unknown>
}

/** Gives a part's bytes as they were stored. Throws `BackupCorrupt` when it cannot. */
export type ReadPart = (name: string) => Promise<Bytes>

/** Gathers records into the parts of one backup. */
export class PartWriter {
  readonly #sink: PartSink
  readonly #id: string
  readonly #parts: PartInfo[] = []
  /** Taken in turn: one is filled while the other is deflated and written. */
  readonly #writers = [new ByteWriter(PART_BYTES), new ByteWriter(PART_BYTES)] as const
  #number = 0
  #records = 0
  #kind: PartKind = 'rows'
  #underWay: Promise<void> = Promise.resolve()

  constructor(sink: PartSink, id: string) {
    this.#sink = sink
    this.#id = id
  }

  get #writer(): ByteWriter {
    return this.#writers[this.#number % 2] as ByteWriter
  }

  /** Whether `flush` is due. */
  get isFull(): boolean {
    return this.#writer.length >= PART_BYTES
  }

  /** Copies the record. */
  add(kind: PartKind, first: Bytes, second: Bytes): void {
    this.#kind = kind
    const writer = this.#writer
    writer.varint(first.length)
    writer.bytes(first)
    writer.varint(second.length)
    writer.bytes(second)
    this.#records++
  }

  /** Closes the part, if anything is in it; resolves once the one before it is written. */
  async flush(): Promise<void> {
    await this.#underWay
    if (this.#records === 0) return
    const writer = this.#writer
    const [kind, records] = [this.#kind, this.#records]
    const name = partName(this.#id, ++this.#number)
    this.#records = 0
    this.#underWay = this.#write(name, kind, records, writer)
    // It is awaited by the next call; until then its failure is nobody's surprise.
    this.#underWay.catch(() => undefined)
  }

  async #write(name: string, kind: PartKind, records: number, writer: ByteWriter): Promise<void> {
    const rawBytes = writer.length
    const bytes = await deflate(writer.buffer.subarray(0, rawBytes), { level: LEVEL })
    writer.reset()
    await this.#sink.put(name, bytes)
    const info = { name, kind, records, rawBytes, bytes: bytes.length, digest: hex(digest(bytes)) }
    this.#parts.push(info)
  }

  /** Every part, written. */
  async finish(): Promise<readonly PartInfo[]> {
    await this.flush()
    await this.#underWay
    return this.#parts
  }
}

/** A record's two byte strings, views of the part. */
export interface PartRecord {
  readonly first: Bytes
  readonly second: Bytes
}

/** The records of a part, checked against its digest. Throws `BackupCorrupt`. */
export async function readPart(info: PartInfo, read: ReadPart): Promise<readonly PartRecord[]> {
  const bytes = await readChecked(info, read)
  if (info.rawBytes > PART_BYTES + 2 * LIMITS.entryBytes) {
    throw backupCorrupt(info.name, `says that it has ${info.rawBytes} bytes of records`)
  }
  try {
    const raw = await inflate(bytes, { maxOutputLength: Math.max(1, info.rawBytes) })
    const reader = new ByteReader(raw)
    const records: PartRecord[] = []
    while (reader.at < raw.length) records.push({ first: reader.blob(), second: reader.blob() })
    if (raw.length === info.rawBytes && records.length === info.records) return records
  } catch (cause) {
    throw backupCorrupt(info.name, 'cannot be decoded', cause)
  }
  throw backupCorrupt(info.name, 'does not have the records that its manifest says')
}

/** A part's bytes, checked against its digest. Throws `BackupCorrupt`. */
export async function readChecked(info: PartInfo, read: ReadPart): Promise<Bytes> {
  const bytes = await read(info.name)
  if (bytes.length === info.bytes && hex(digest(bytes)) === info.digest) return bytes
  throw backupCorrupt(info.name, 'is not what was written')
}
