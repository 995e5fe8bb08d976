/** The backups that a place has, and which of them lead to a moment. */
import { copyBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError, isHoldfastError } from '../../core/errors.ts'
import type { Blob } from '../../blob/blob.ts'
import type { Position } from '../../log/log.ts'
import { backupCorrupt, decodeManifest, MANIFESTS, type Manifest } from './manifest.ts'
import type { ReadPart } from './part-codec.ts'

const LIST = 'holdfast backup list'

export interface Catalog {
  /** By position, then in the order in which they were made. */
  readonly manifests: readonly Manifest[]
}

/** Throws `BackupCorrupt` for a manifest that is not what was written, unless `onDamage` takes it. */
export async function readCatalog(
  blob: Blob,
  onDamage: (damage: HoldfastError) => void = refuse,
): Promise<Catalog> {
  const read = partsOfBlob(blob)
  const manifests: Manifest[] = []
  for (const name of await blob.names(MANIFESTS)) {
    try {
      manifests.push(decodeManifest(name, await read(name)))
    } catch (cause) {
      if (!isHoldfastError(cause, 'BackupCorrupt')) throw cause
      onDamage(cause)
    }
  }
  manifests.sort((a, b) => a.to.position - b.to.position || a.sequence - b.sequence)
  return { manifests }
}

function refuse(damage: HoldfastError): never {
  throw damage
}

/** Reads parts and manifests from a blob store. */
export function partsOfBlob(blob: Blob): ReadPart {
  return async (name) => {
    const pieces: Bytes[] = []
    try {
      for await (const piece of blob.get(name)) pieces.push(copyBytes(piece))
    } catch (cause) {
      throw asBackupCorrupt(cause, name)
    }
    return pieces.length === 1 ? (pieces[0] as Bytes) : Buffer.concat(pieces)
  }
}

function asBackupCorrupt(cause: unknown, name: string): unknown {
  if (isHoldfastError(cause, 'NotFound')) return backupCorrupt(name, 'is missing', cause)
  if (!isHoldfastError(cause, 'StoreCorrupt')) return cause
  const part = typeof cause.details['name'] === 'string' ? cause.details['name'] : name
  return backupCorrupt(part, 'is not what was written', cause)
}

/** What a restore is to arrive at. */
export interface Target {
  /** A backup by its id: what it ends with, or a moment on the way there. */
  readonly backup?: string | undefined
  readonly position?: Position | undefined
  /** The last state before the time that the log tells passed this. */
  readonly timeMs?: number | undefined
}

/** A base, and the increments that follow it, in order. */
export interface Chain {
  readonly base: Manifest
  readonly increments: readonly Manifest[]
  /** Entries up to here, and of no later time, are restored. */
  readonly position: Position
  readonly timeMs: number
}

/**
 * The base and increments that lead to the target, the newest state without one. Throws `NotFound`
 * when no backup leads there.
 */
export function chainTo({ manifests }: Catalog, target: Target): Chain {
  if (manifests.length === 0)
    throw new HoldfastError('NotFound', 'there is no backup here', { details: { next: LIST } })
  const newest = target.backup === undefined ? latest(manifests) : named(manifests, target.backup)
  const history = historyOf(manifests, newest)
  const ends = endsFor(target, newest, target.backup === undefined ? history : [newest])
  if (ends.length > 0) return nearest(ends, history, newest, target)
  throw new HoldfastError(
    'NotFound',
    `backup ${newest.id} ends at position ${newest.to.position}, ` +
      `and was made at ${new Date(newest.madeMs).toISOString()}: it does not reach so far`,
    { details: { position: newest.to.position, next: LIST } },
  )
}

function named(manifests: readonly Manifest[], backup: string): Manifest {
  const found = manifests.find(({ id }) => id === backup)
  if (found !== undefined) return found
  throw new HoldfastError('NotFound', `no backup is called ${backup}`, { details: { next: LIST } })
}

/** Of several histories in one place, the one that this backup is of. */
function historyOf(manifests: readonly Manifest[], { identity, sequence }: Manifest): Manifest[] {
  const own = manifests.filter((manifest) => manifest.identity === identity)
  const breaks = own.filter(({ startsAnew }) => startsAnew === true).map((base) => base.sequence)
  const begun = Math.max(0, ...breaks.filter((at) => at <= sequence))
  const left = Math.min(Number.POSITIVE_INFINITY, ...breaks.filter((at) => at > sequence))
  return own.filter((manifest) => manifest.sequence >= begun && manifest.sequence < left)
}

/** The backups that the target may lie in. */
function endsFor(
  { position, timeMs }: Target,
  newest: Manifest,
  candidates: readonly Manifest[],
): readonly Manifest[] {
  if (position !== undefined) return candidates.filter(({ to }) => to.position >= position)
  if (timeMs === undefined) return [newest]
  const beyond = candidates.filter(({ to }) => to.timeMs > timeMs)
  if (beyond.length > 0) return beyond
  // Nothing was written since, up to when it was made: an earlier one may not have all there was.
  return candidates.some(({ madeMs }) => madeMs >= timeMs) ? [newest] : []
}

/** The chain to one of these ends whose base is the newest that does not lie behind the target. */
function nearest(
  ends: readonly Manifest[],
  history: readonly Manifest[],
  newest: Manifest,
  { position = Number.POSITIVE_INFINITY, timeMs = Number.POSITIVE_INFINITY }: Target,
): Chain {
  const before = byEnd(history)
  /** What comes after each one that was reached, going back from the ends; nothing after an end. */
  const after = new Map<Manifest, Manifest | undefined>(ends.map((end) => [end, undefined]))
  let best: Manifest | undefined
  // A map's walk goes on through what is added meanwhile.
  for (const manifest of after.keys()) {
    if (manifest.kind === 'base') {
      if (manifest.to.position > position || manifest.to.timeMs > timeMs) continue
      if (best === undefined || manifest.to.position > best.to.position) best = manifest
      continue
    }
    for (const other of before.get(manifest.from?.position ?? 0) ?? []) {
      if (!after.has(other) && leadsTo(other, manifest)) after.set(other, manifest)
    }
  }
  if (best === undefined) throw leadsNowhere(newest, position, timeMs)
  const increments: Manifest[] = []
  for (let next = after.get(best); next !== undefined; next = after.get(next)) increments.push(next)
  const end = increments.at(-1) ?? best
  return { base: best, increments, position: Math.min(position, end.to.position), timeMs }
}

function leadsNowhere({ id, from }: Manifest, position: number, timeMs: number): HoldfastError {
  return new HoldfastError(
    'NotFound',
    position === Number.POSITIVE_INFINITY && timeMs === Number.POSITIVE_INFINITY
      ? `backup ${id} begins behind position ${from?.position ?? 0}, ` +
          'and the backups before it are not here'
      : `of the history of backup ${id}, no backup here reaches back so far`,
    { details: { backup: id, next: LIST } },
  )
}

/** By the position that they end at. */
function byEnd(manifests: readonly Manifest[]): Map<Position, Manifest[]> {
  const found = new Map<Position, Manifest[]>()
  for (const manifest of manifests) {
    const alike = found.get(manifest.to.position)
    if (alike === undefined) found.set(manifest.to.position, [manifest])
    else alike.push(manifest)
  }
  return found
}

/** Whether `end` begins where the other ends. An increment without entries leads nowhere new. */
function leadsTo(other: Manifest, { identity, from }: Manifest): boolean {
  if (from === undefined || other.identity !== identity) return false
  if (other.to.position !== from.position || other.from?.position === from.position) return false
  return from.entryChain === undefined || other.to.entryChain === from.entryChain
}

/**
 * Made last. A folder numbers its backups; in a stream, whose backups have no numbers, one database
 * goes forward, and clocks do not always.
 */
export function latest(manifests: readonly Manifest[]): Manifest {
  const last = manifests.reduce((a, b) => (isAfter(b, a, b.madeMs - a.madeMs) ? b : a))
  const own = manifests.filter(({ identity }) => identity === last.identity)
  return own.reduce((a, b) => (isAfter(b, a, b.to.position - a.to.position) ? b : a))
}

function isAfter(one: Manifest, other: Manifest, otherwise: number): boolean {
  return (one.sequence - other.sequence || otherwise) >= 0
}
