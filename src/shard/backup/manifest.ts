/**
 * What a backup is (docs/adr/0017). A backup is a manifest and the parts that it lists: a base has
 * every live key of one moment, an increment the entries since an earlier backup. The manifest is
 * written last, so that a backup is there whole or not at all.
 *
 *   manifests/<id>          digest of the rest in hex, a line's end, JSON
 *   parts/<id>/000001       records, deflated (part-codec.ts)
 *
 * Nothing in it points at another backup: where an increment begins, a position and the chain hash
 * there, says which ones it can follow.
 */
import { hex, type Bytes } from '../../core/bytes.ts'
import type { Random } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { digest } from '../../core/hash.ts'
import type { Position } from '../../log/log.ts'

/** The format of manifests, parts and archives; a newer one is refused. */
export const BACKUP_FORMAT = 1
export const MANIFESTS = 'manifests/'
export const PARTS = 'parts/'
const HEX_DIGEST = 32
const ID_BYTES = 5
const POSITION_DIGITS = 15

export type BackupKind = 'base' | 'increment'
export type PartKind = 'rows' | 'log'

/** A place in a history. */
export interface Mark {
  readonly position: Position
  /** The chain over the entries up to here, in hex; undefined where it is not known. */
  readonly entryChain?: string | undefined
}

/** The end of a backup: what a restore must arrive at. */
export interface EndMark extends Mark {
  readonly entryChain: string
  readonly decisionChain: string
  /** Time as the log tells it: the highest clock of a proposer so far. */
  readonly timeMs: number
}

export interface PartInfo {
  readonly name: string
  readonly kind: PartKind
  readonly records: number
  /** Bytes as they are stored, and before they were deflated. */
  readonly bytes: number
  readonly rawBytes: number
  /** Of the bytes as they are stored, in hex. */
  readonly digest: string
}

/** What a table has at the end of a backup; hidden ones are among them. */
export interface TableDigest {
  readonly id: number
  readonly name: string
  readonly rows: number
  readonly bytes: number
  /** Two sums over the checks of its rows, in hex: order does not matter (shard-stats.ts). */
  readonly digest: string
}

export interface Manifest {
  readonly format: number
  readonly id: string
  readonly kind: BackupKind
  /** The log that it is of, in hex. */
  readonly identity: string
  /** The clock of the machine that made it, when it began. It may go backwards between two. */
  readonly madeMs: number
  /** Higher than of all that were in its folder when it was made; 0 in a stream, which has none. */
  readonly sequence: number
  /** Of a base: those of this identity before it in its folder are of a history that was left. */
  readonly startsAnew?: true | undefined
  /** Of an increment: its entries begin behind this. */
  readonly from?: Mark | undefined
  readonly to: EndMark
  readonly shards: number
  readonly parts: readonly PartInfo[]
  readonly tables: readonly TableDigest[]
}

/** Sorts by position; no two backups have the same. */
export function newBackupId(random: Random, kind: BackupKind, position: Position): string {
  const digits = String(position).padStart(POSITION_DIGITS, '0')
  return `${digits}-${kind}-${hex(random.bytes(ID_BYTES))}`
}

export function manifestName(id: string): string {
  return `${MANIFESTS}${id}`
}

export function partName(id: string, number: number): string {
  return `${PARTS}${id}/${String(number).padStart(6, '0')}`
}

/** The backup that a part is of. */
export function backupOfPart(name: string): string {
  return name.slice(PARTS.length, name.lastIndexOf('/'))
}

/** Bytes that a backup takes, its manifest left out. */
export function backupBytes({ parts }: Manifest): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0)
}

export function encodeManifest(manifest: Manifest): Bytes {
  const text = JSON.stringify(manifest)
  return Buffer.from(`${hex(digest(Buffer.from(text)))}\n${text}\n`)
}

/** Throws `BackupCorrupt` for what `encodeManifest` did not make, `NewerFormat` for a later form. */
export function decodeManifest(name: string, bytes: Bytes): Manifest {
  const text = Buffer.from(bytes).toString('utf8')
  const body = text.slice(HEX_DIGEST + 1, -1)
  const isWhole = text === `${hex(digest(Buffer.from(body)))}\n${body}\n`
  if (!isWhole) throw backupCorrupt(name, 'the manifest is not what was written')
  const manifest = parsed(name, body)
  if (manifest.format !== BACKUP_FORMAT) {
    throw new HoldfastError(
      'NewerFormat',
      `backup ${name} has format ${String(manifest.format)}; this build reads ${BACKUP_FORMAT}`,
    )
  }
  if (!isManifest(manifest)) throw backupCorrupt(name, 'the manifest has no such form')
  // A copy under another name would stand for a backup that was never made.
  if (manifestName(manifest.id) !== name) {
    throw backupCorrupt(name, `the manifest is that of ${manifest.id}, under another name`)
  }
  return manifest
}

function parsed(name: string, body: string): Partial<Manifest> {
  try {
    const value: unknown = JSON.parse(body)
    if (typeof value === 'object' && value !== null) return value
  } catch (cause) {
    throw backupCorrupt(name, 'the manifest is no JSON', cause)
  }
  throw backupCorrupt(name, 'the manifest has no such form')
}

/** Its digest keeps chance away, not whoever writes one by hand: nothing may be read blindly. */
function isManifest(manifest: Partial<Manifest>): manifest is Manifest {
  const { id, kind, identity, madeMs, sequence, from, to, shards, parts, tables } = manifest
  return (
    areTexts(id, identity, to?.entryChain, to?.decisionChain) &&
    areCounts(madeMs, sequence, shards, to?.position, to?.timeMs) &&
    (kind === 'base') === (from === undefined) &&
    (from === undefined || (kind === 'increment' && areCounts(from?.position))) &&
    Array.isArray(parts) &&
    parts.every(isPart) &&
    Array.isArray(tables) &&
    tables.every(isTable)
  )
}

function isPart(part: Partial<PartInfo> | null): boolean {
  return (
    areTexts(part?.name, part?.kind, part?.digest) &&
    areCounts(part?.records, part?.bytes, part?.rawBytes)
  )
}

function isTable(table: Partial<TableDigest> | null): boolean {
  return areTexts(table?.name, table?.digest) && areCounts(table?.id, table?.rows, table?.bytes)
}

function areTexts(...values: unknown[]): boolean {
  return values.every((value) => typeof value === 'string')
}

function areCounts(...values: unknown[]): boolean {
  return values.every((value) => Number.isSafeInteger(value) && (value as number) >= 0)
}

/** `part`: the manifest or part that is damaged or missing. */
export function backupCorrupt(part: string, reason: string, cause?: unknown): HoldfastError {
  return new HoldfastError('BackupCorrupt', `${part}: ${reason}`, { cause, details: { part } })
}
