/**
 * A snapshot on its way between nodes: records, a store key and its value each, in pieces that fit a
 * message. A piece is checked by its digest; the last one says so.
 *
 *   digest 16 | last u8 | records: key and value, each behind its length
 */
import { ByteReader, ByteWriter, equalBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { digest, DIGEST_BYTES } from '../../core/hash.ts'
import type { RecordWriter } from '../backup/copy-rows.ts'

/** Bytes at which a piece is closed; one more record fits a message still. */
const PIECE_BYTES = 512 * 1024

export interface Piece {
  readonly isLast: boolean
  /** Views of the piece. */
  readonly records: readonly (readonly [key: Bytes, value: Bytes])[]
}

/** Throws `StoreCorrupt` for a piece that is not what was sent. */
export function decodePiece(bytes: Bytes): Piece {
  const reader = new ByteReader(bytes)
  if (bytes.length <= DIGEST_BYTES || !equalBytes(reader.view(DIGEST_BYTES), bodyDigest(bytes))) {
    throw new HoldfastError('StoreCorrupt', 'a piece of a snapshot is not what was sent')
  }
  const isLast = reader.u8() === 1
  const records: [Bytes, Bytes][] = []
  while (reader.at < bytes.length) records.push([reader.blob(), reader.blob()])
  return { isLast, records }
}

const bodyDigest = (bytes: Bytes): Bytes => digest(bytes.subarray(DIGEST_BYTES))

/** Between who reads a snapshot and who asks for its pieces: it is read as fast as it is taken. */
export class PieceQueue implements RecordWriter {
  #writer = newPiece()
  readonly #pieces: Bytes[] = []
  #isOver = false
  #failure: Error | undefined
  #taken: () => void = () => undefined
  #added: () => void = () => undefined

  get isFull(): boolean {
    return this.#pieces.length > 0
  }

  add(_kind: unknown, first: Bytes, second: Bytes): void {
    this.#writer.blob(first)
    this.#writer.blob(second)
    if (this.#writer.length >= PIECE_BYTES) this.#seal(false)
  }

  /** Resolves once all that is sealed was taken. Throws what `end` was called with. */
  async flush(): Promise<void> {
    while (this.#pieces.length > 0 && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#taken = resolve
      })
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  /** No record follows; with a `failure`, whoever reads or asks is told. */
  end(failure?: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#failure = failure
    this.#seal(true)
    this.#taken()
  }

  /** The next piece. */
  async next(): Promise<Bytes> {
    while (this.#pieces.length === 0) {
      await new Promise<void>((resolve) => {
        this.#added = resolve
      })
    }
    if (this.#failure !== undefined) throw this.#failure
    const piece = this.#pieces.shift() as Bytes
    if (this.#pieces.length === 0) this.#taken()
    return piece
  }

  #seal(isLast: boolean): void {
    const bytes = this.#writer.finish()
    bytes[DIGEST_BYTES] = isLast ? 1 : 0
    bytes.set(bodyDigest(bytes))
    this.#pieces.push(bytes)
    this.#writer = newPiece()
    this.#added()
  }
}

function newPiece(): ByteWriter {
  const writer = new ByteWriter(PIECE_BYTES)
  writer.bytes(new Uint8Array(DIGEST_BYTES))
  writer.u8(0)
  return writer
}
