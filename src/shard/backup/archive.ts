/**
 * A backup as a stream. An archive is a header and then items; several may follow one another, as
 * when an increment is appended to the file of its base.
 *
 *   header  magic u32 'HFBA' | format u8
 *   item    kind u8 | name's length u8 | bytes u32 | digest 16 | crc u32 of these and the name | name | bytes
 *   end     an item without name and bytes
 */
import { ByteReader, ByteWriter, EMPTY, equalBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { crc32, digest, DIGEST_BYTES } from '../../core/hash.ts'
import { backupCorrupt, BACKUP_FORMAT } from './manifest.ts'
import type { PartSink } from './part-codec.ts'

const MAGIC = 0x41424648
const HEADER_BYTES = 5
const ITEM_BYTES = 1 + 1 + 4 + DIGEST_BYTES + 4
const CRC_AT = ITEM_BYTES - 4
const ITEM = 1
const END = 2
/** A part is far smaller, and so is the manifest of any database that one machine holds. */
const ITEM_BYTES_MAX = 1024 * 1024 * 1024

const ARCHIVE = 'the archive'

/** Takes the bytes of an archive in order; resolves when there is room for more. */
export type WriteBytes = (bytes: Bytes) => Promise<unknown>

/** Writes blobs as the items of one archive. */
export class ArchiveWriter implements PartSink {
  readonly #write: WriteBytes
  #begun = false

  constructor(write: WriteBytes) {
    this.#write = write
  }

  async put(name: string, bytes: Bytes): Promise<void> {
    await this.#begin()
    await this.#write(itemHead(ITEM, name, bytes))
    await this.#write(bytes)
  }

  /** Without it the archive counts as cut short. */
  async finish(): Promise<void> {
    await this.#begin()
    await this.#write(itemHead(END, '', EMPTY))
  }

  async #begin(): Promise<void> {
    if (this.#begun) return
    this.#begun = true
    const header = new ByteWriter(HEADER_BYTES)
    header.u32(MAGIC)
    header.u8(BACKUP_FORMAT)
    await this.#write(header.finish())
  }
}

function itemHead(kind: number, name: string, bytes: Bytes): Bytes {
  const encoded = Buffer.from(name, 'utf8')
  const writer = new ByteWriter(ITEM_BYTES + encoded.length)
  writer.u8(kind)
  writer.u8(encoded.length)
  writer.u32(bytes.length)
  writer.bytes(digest(bytes))
  writer.u32(crc32(encoded, 0, encoded.length, crc32(writer.buffer, 0, CRC_AT)))
  writer.bytes(encoded)
  return writer.finish()
}

/**
 * Puts every item of the archives in `source` into `sink`. Returns how many bytes there were.
 * Throws `BackupCorrupt` when one is damaged or cut short, or when there is none.
 */
export async function readArchives(
  source: AsyncIterable<Bytes>,
  sink: PartSink,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<number> {
  const stream = new ByteStream(source)
  if (await stream.isOver()) throw backupCorrupt(ARCHIVE, 'is empty')
  while (!(await stream.isOver())) {
    await readHeader(stream)
    for (let more = true; more;) {
      more = await readItem(stream, sink)
      onBytes(stream.taken)
    }
  }
  return stream.taken
}

async function readHeader(stream: ByteStream): Promise<void> {
  const header = new ByteReader(await stream.take(HEADER_BYTES))
  if (header.u32() !== MAGIC) throw backupCorrupt(ARCHIVE, 'is no archive of Holdfast')
  const format = header.u8()
  if (format === BACKUP_FORMAT) return
  throw new HoldfastError(
    'NewerFormat',
    `the archive has format ${format}; this build reads ${BACKUP_FORMAT}`,
  )
}

/** Returns whether more items follow. */
async function readItem(stream: ByteStream, sink: PartSink): Promise<boolean> {
  const head = await stream.take(ITEM_BYTES)
  const reader = new ByteReader(head)
  const [kind, nameLength, length] = [reader.u8(), reader.u8(), reader.u32()]
  const said = reader.view(DIGEST_BYTES)
  const crc = reader.u32()
  const name = await stream.take(nameLength)
  const sound =
    crc === crc32(name, 0, name.length, crc32(head, 0, CRC_AT)) &&
    (kind === ITEM || kind === END) &&
    length <= ITEM_BYTES_MAX
  if (!sound) throw backupCorrupt(ARCHIVE, `is damaged before byte ${stream.taken}`)
  if (kind === END) return false
  const text = Buffer.from(name).toString('utf8')
  const bytes = await stream.take(length)
  if (!equalBytes(digest(bytes), said)) throw backupCorrupt(text, 'is not what was written')
  await sink.put(text, bytes)
  return true
}

/** Takes a stream apart by lengths. */
class ByteStream {
  readonly #source: AsyncIterator<Bytes>
  #rest: Bytes = EMPTY
  #taken = 0

  constructor(source: AsyncIterable<Bytes>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Bytes taken so far. */
  get taken(): number {
    return this.#taken
  }

  async isOver(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const step = await this.#source.next()
      if (step.done === true) return true
      if (!((step.value as unknown) instanceof Uint8Array)) {
        throw new HoldfastError('InvalidArgument', 'an archive is a stream of bytes, not of text')
      }
      this.#rest = step.value
    }
    return false
  }

  /** Bytes of the receiver's own. Throws `BackupCorrupt` when the stream ends before. */
  async take(length: number): Promise<Bytes> {
    const pieces: Bytes[] = []
    let missing = length
    while (missing > 0) {
      if (await this.isOver()) {
        throw backupCorrupt(ARCHIVE, `is cut short, at byte ${this.#taken + length - missing}`)
      }
      const piece = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(piece.length)
      pieces.push(piece)
      missing -= piece.length
    }
    this.#taken += length
    return Buffer.concat(pieces)
  }
}
