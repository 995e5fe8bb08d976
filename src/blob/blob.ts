/**
 * The port to large immutable objects: snapshots, exports, what a log cannot carry.
 * `blob.contract.ts` is its test.
 *
 * Obligations
 * 1. Atomic: a blob is seen whole or not at all, by `get`, `stat` and `list`, and after a crash at
 *    any moment of its `put`.
 * 2. Durable: once `put` resolved the blob outlives a crash; once `delete` resolved, so does its
 *    absence.
 * 3. Immutable: `put` under a name that exists fails with `AlreadyExists` and changes nothing, unless
 *    its bytes are the same: then it resolves, so a put whose outcome is unknown can be repeated.
 *    Of several puts of one name at once, one wins.
 * 4. A put whose source throws fails with what the source threw, and leaves nothing.
 * 5. `get` verifies: if what is stored is not what was put, it throws `StoreCorrupt` before it ends.
 *    Bytes that it gave count only once it ended without a throw. It throws `NotFound`, at the first
 *    step, for a name that is not there.
 * 6. Given bytes must not change until `put` settled, or until the source was asked for the next
 *    part. Parts handed out are the receiver's.
 * 7. `list` gives the blobs whose names start with `prefix`, by name; `names` gives their names
 *    alone, of damaged ones too. `delete` of a name that is not there does nothing. A `get` that
 *    began before a `delete` ends whole, or throws.
 */
import { compareBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'

export interface BlobInfo {
  readonly name: string
  readonly bytes: number
  /** `digest` (core/hash.ts) of its bytes. */
  readonly digest: Bytes
}

export type BlobSource = AsyncIterable<Bytes> | Bytes

export interface Blob {
  put(name: string, source: BlobSource): Promise<BlobInfo>
  get(name: string): AsyncIterable<Bytes>
  stat(name: string): Promise<BlobInfo | undefined>
  list(prefix: string): Promise<BlobInfo[]>
  names(prefix: string): Promise<string[]>
  delete(name: string): Promise<void>
}

/** A name's characters at the most; a name is a file's name in a folder. */
export const BLOB_NAME_CHARS = 200

const SEGMENT = /^[a-z0-9_-][a-z0-9._-]*$/

/**
 * Throws `InvalidArgument` unless `name` is segments of a-z, 0-9, `.`, `_` and `-`, joined by `/`.
 * No segment starts with a dot, so none leads out of the folder; no capitals, since some file
 * systems do not tell them apart.
 */
export function checkBlobName(name: string): void {
  if (isBlobName(name)) return
  throw new HoldfastError('InvalidArgument', `'${name}' is no name of a blob`)
}

export function isBlobName(name: string): boolean {
  return name.length <= BLOB_NAME_CHARS && name.split('/').every((part) => SEGMENT.test(part))
}

/** The parts of a source. */
export async function* partsOf(source: BlobSource): AsyncGenerator<Bytes, void> {
  if (source instanceof Uint8Array) yield source
  else yield* source
}

/** The answer to a put of a name that exists. */
export function samePut(existing: BlobInfo, put: BlobInfo): BlobInfo {
  if (existing.bytes === put.bytes && compareBytes(existing.digest, put.digest) === 0)
    return existing
  throw new HoldfastError('AlreadyExists', `blob '${put.name}' exists, with other bytes`)
}

export function noBlob(name: string): HoldfastError {
  return new HoldfastError('NotFound', `there is no blob '${name}'`)
}

export function byName(a: BlobInfo, b: BlobInfo): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
