/**
 * Proves or refutes: what the worker acked survives a power cut in its folder.
 *
 *   worker ─ strace ─▶ recording ─▶ crash moments × fates ─▶ images ─▶ verify: every ack there?
 */
import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Verify } from './child-verifier.ts'
import { type CrashesFrom, crashMoments, fatesAt, seeded } from './crash-fates.ts'
import { type CrashImage, CrashModel, type DirectoryModel } from './crash-image.ts'
import { ackOf, linesIn, type Recording } from './recording.ts'
import { scratchFolder } from './strace-record.ts'

export type CrashOptions = {
  /** Opens the image and returns what it misses or finds damaged. ChildVerifier makes one. */
  readonly verify: Verify
  readonly crashPoints: number
  readonly imagesPerPoint: number
  readonly seed: number
  readonly directories?: DirectoryModel
  readonly from?: CrashesFrom
}

export type DurabilityReport = {
  readonly events: number
  readonly writes: number
  readonly syncs: number
  readonly acks: number
  readonly crashPoints: number
  /** Of those, where something was not covered by a sync, so that there was something to lose. */
  readonly crashPointsPending: number
  readonly images: number
  readonly violations: number
  /** The first of them, each with the moment and the fate that show it. */
  readonly found: readonly string[]
}

const FOUND_MAX = 20

export async function checkRecording(
  recording: Recording,
  options: CrashOptions,
): Promise<DurabilityReport> {
  const model = new CrashModel(recording, options.directories)
  const counts = countsOf(recording)
  if (counts.acks === 0 || counts.writes === 0)
    throw new Error(`nothing to check: ${counts.acks} acks, ${counts.writes} writes recorded`)
  const random = seeded(options.seed)
  const moments = crashMoments(model, options.crashPoints, random, options.from)
  const scratch = scratchFolder('crash')
  const found: string[] = []
  let [images, violations, crashPointsPending] = [0, 0, 0]
  try {
    for (const at of moments) {
      const acked = model.ackedAt(at)
      const seen = new Set<string>()
      if (model.pendingAt(at).length > 0) crashPointsPending++
      for (const fate of fatesAt(model, at, options.imagesPerPoint, random)) {
        const image = model.imageAt(at, fate)
        const digest = digestOf(image)
        if (seen.has(digest)) continue
        seen.add(digest)
        const folder = join(scratch, `image-${++images}`)
        writeImage(image, folder)
        const wrong = await options.verify(folder, acked)
        rmSync(folder, { recursive: true, force: true })
        violations += wrong.length
        const crash = `crash at ${at}, ${acked.length} acks, ${fate.name}`
        found.push(...wrong.map((what) => `${crash}: ${what}`).slice(0, FOUND_MAX - found.length))
      }
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  return { ...counts, crashPoints: moments.length, crashPointsPending, images, violations, found }
}

function countsOf({
  events,
}: Recording): Pick<DurabilityReport, 'events' | 'writes' | 'syncs' | 'acks'> {
  return {
    events: events.length,
    writes: events.filter((event) => event.kind === 'write').length,
    syncs: events.filter(
      (event) => event.kind === 'sync' || (event.kind === 'write' && event.synced),
    ).length,
    acks: linesIn(events).filter((line) => ackOf(line) !== undefined).length,
  }
}

export function writeImage(image: CrashImage, folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const path of image.folders) mkdirSync(join(folder, path), { recursive: true })
  for (const [path, bytes] of image.files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), bytes)
  }
}

/** Of one crash point's images, those that are alike are opened once. */
function digestOf(image: CrashImage): string {
  const hash = createHash('sha1').update(JSON.stringify(image.folders))
  for (const [path, bytes] of image.files) hash.update(`\n${path} ${bytes.length}\n`).update(bytes)
  return hash.digest('hex')
}
