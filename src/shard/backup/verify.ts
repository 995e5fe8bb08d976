/**
 * Proves a backup: reads every part that is there against its digest, restores into a scratch store,
 * has every key of it checked, and compares tables with what the manifests say.
 */
import type { Env } from '../../core/env.ts'
import type { Position } from '../../log/log.ts'
import type { Store } from '../../store/store.ts'
import { checkStore } from '../check.ts'
import { backupBytes, backupCorrupt, type TableDigest } from './manifest.ts'
import { chainTo, type Catalog, type Target } from './catalog.ts'
import { readChecked, type ReadPart } from './part-codec.ts'
import { Pace, type StageOptions } from './progress.ts'
import { fillStore, foundAnew } from './restore.ts'
import { readState, tableDigests } from './table-digests.ts'

export interface VerifyOptions extends StageOptions {
  readonly env: Env
  readonly catalog: Catalog
  readonly read: ReadPart
  /** Empty; thrown away afterwards. */
  readonly scratch: Store
  readonly target: Target
}

export interface VerifyReport {
  /** The backup that was restored, and where it ends. */
  readonly backup: string
  readonly position: Position
  /** Backups that the restore went through, the base first. */
  readonly chain: readonly string[]
  /** Backups in the place, and what was read of them against its digest. */
  readonly backups: number
  readonly parts: number
  readonly bytes: number
  /** Of the restored database: every one compared with the manifest's. */
  readonly tables: readonly TableDigest[]
  readonly rows: number
  readonly indexEntries: number
}

/** Throws `BackupCorrupt` for the first thing that is not what was written. */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  const { env, catalog, read, scratch, target } = options
  const chain = chainTo(catalog, target)
  const inChain = [chain.base, ...chain.increments]
  const pace = new Pace(env, options)
  const { parts, bytes } = await readOthers(options, pace, new Set(inChain.map(({ id }) => id)))
  await fillStore({ ...options, store: scratch, chain, read })
  const restored = tableDigests(scratch, readState(scratch))
  const { position } = await foundAnew(env, scratch)
  const report = await checkRestored(scratch, pace)
  const end = inChain.at(-1) ?? chain.base
  if (!report.ok) {
    const [problem] = report.problems
    throw backupCorrupt(end.id, `restored, ${problem?.where ?? 'it'} ${problem?.what ?? 'differs'}`)
  }
  return {
    backup: end.id,
    position,
    chain: inChain.map(({ id }) => id),
    backups: catalog.manifests.length,
    parts: parts + inChain.reduce((sum, manifest) => sum + manifest.parts.length, 0),
    bytes: bytes + inChain.reduce((sum, manifest) => sum + backupBytes(manifest), 0),
    tables: restored,
    rows: report.rows,
    indexEntries: report.indexEntries,
  }
}

/** Parts that the restore does not read. */
async function readOthers(
  { catalog, read }: VerifyOptions,
  pace: Pace,
  chain: ReadonlySet<string>,
): Promise<{ parts: number; bytes: number }> {
  const others = catalog.manifests.filter(({ id }) => !chain.has(id))
  const total = others.reduce((sum, manifest) => sum + backupBytes(manifest), 0)
  let [parts, bytes] = [0, 0]
  for (const manifest of others) {
    for (const info of manifest.parts) {
      await readChecked(info, read)
      parts++
      bytes += info.bytes
      await pace.step('parts', bytes, total)
    }
  }
  return { parts, bytes }
}

async function checkRestored(scratch: Store, pace: Pace): ReturnType<typeof checkStore> {
  const keys = scratch.scan({}, () => undefined)
  let seen = 0
  const report = await checkStore(scratch, {
    progress: (done) => (seen = done),
    pause: () => pace.step('check', Math.min(seen, keys), keys),
  })
  pace.end('check', keys)
  return report
}
