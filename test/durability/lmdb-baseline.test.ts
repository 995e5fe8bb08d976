/**
 * The tool applied to bare lmdb-js: it must pass what is durable, catch what is not, and it settles
 * what Holdfast builds on: with `overlappingSync: false` a commit is readable only once its sync
 * has returned.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  checkRecording,
  type CrashOptions,
  type DurabilityReport,
  writeImage,
} from './check-durability.ts'
import { ChildVerifier } from './child-verifier.ts'
import { sizesOnly } from './crash-fates.ts'
import { CrashModel, type Op } from './crash-image.ts'
import { ackOf, linesIn, type Recording } from './recording.ts'
import { UnseenWritesError } from './shared-maps.ts'
import { recordWorker, straceUnavailable } from './strace-record.ts'

const unavailable = straceUnavailable()
if (unavailable !== undefined)
  process.stderr.write(
    `\nSKIPPED: no durability was checked against real syncs: ${unavailable}\n\n`,
  )

type Mode = 'synced' | 'no-sync' | 'overlapping' | 'writemap'

const BATCHES = 90
const COMMITS = 80
/** Long enough for a reader to look many times between a commit and its sync. */
const SLOW_SYNCS = ['pwrite64:delay_exit=3000', 'fdatasync:delay_exit=2000']

// On a real disk, not in memory: that is what the syncs are for.
let scratch = ''
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'holdfast-durability-'))
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

async function record(
  script: string,
  mode: Mode,
  args: readonly (number | string)[],
  inject: readonly string[] = [],
): Promise<Recording> {
  const folder = mkdtempSync(join(scratch, `${mode}-`))
  const command = [process.execPath, join(import.meta.dirname, script), folder, mode]
  return recordWorker({ worker: [...command, ...args.map(String)], folder, inject })
}

function verifierOf(mode: Mode): ChildVerifier {
  return new ChildVerifier([process.execPath, join(import.meta.dirname, 'lmdb-verify.mjs'), mode])
}

async function check(
  recording: Recording,
  mode: Mode,
  options: Partial<CrashOptions> = {},
): Promise<DurabilityReport> {
  const verifier = verifierOf(mode)
  const { verify } = verifier
  const defaults = {
    verify,
    crashPoints: 60,
    imagesPerPoint: 10,
    seed: 1,
    from: 'first-ack',
  } as const
  const report = await checkRecording(recording, { ...defaults, ...options })
  await verifier.close()
  const { found, ...counts } = report
  console.log(`${expect.getState().currentTestName}: ${JSON.stringify(counts)} ${found[0] ?? ''}`)
  return report
}

describe.skipIf(unavailable !== undefined)('an ack of lmdb-js', { timeout: 40_000 }, () => {
  test('with overlappingSync off survives every crash', async () => {
    const report = await check(await record('lmdb-worker.mjs', 'synced', [BATCHES]), 'synced')
    expect(report).toMatchObject({ acks: BATCHES, violations: 0 })
    expect(report.syncs).toBeGreaterThan(BATCHES / 3)
    expect(report.images).toBeGreaterThan(60)
    expect(report.crashPointsPending).toBeGreaterThan(5)
  })

  test('with noSync does not, and the tool says so', async () => {
    const recording = await record('lmdb-worker.mjs', 'no-sync', [BATCHES])
    const report = await check(recording, 'no-sync', { crashPoints: 20 })
    expect(report).toMatchObject({ acks: BATCHES, syncs: 0 })
    expect(report.violations).toBeGreaterThan(0)
  })

  test('is lost once fdatasync, or O_DSYNC on the meta page, does not work', async () => {
    const recording = await record('lmdb-worker.mjs', 'synced', [BATCHES])
    const events = recording.events
    const noData = { ...recording, events: events.filter((event) => event.kind !== 'sync') }
    const noMeta = {
      ...recording,
      events: events.map((event) => (event.kind === 'write' ? { ...event, synced: false } : event)),
    }
    const few = { crashPoints: 8 }
    expect((await check(noData, 'synced', few)).violations).toBeGreaterThan(0)
    expect((await check(noMeta, 'synced', few)).violations).toBeGreaterThan(0)
    expect((await check(recording, 'synced', few)).violations).toBe(0)
  })

  test('with overlappingSync on survives too: the promise of a put waits for the sync', async () => {
    const slow = ['fdatasync:delay_enter=3000']
    const recording = await record('lmdb-worker.mjs', 'overlapping', [BATCHES], slow)
    expect(await check(recording, 'overlapping')).toMatchObject({ acks: BATCHES, violations: 0 })
  })

  test('needs the folder synced as well, where a file’s sync does not carry its entry', async () => {
    const strict = { directories: 'strict', crashPoints: 20 } as const
    const bare = await record('lmdb-worker.mjs', 'synced', [30])
    expect((await check(bare, 'synced', strict)).violations).toBeGreaterThan(0)
    const synced = await record('lmdb-worker.mjs', 'synced', [30, 'sync-folder'])
    expect((await check(synced, 'synced', strict)).violations).toBe(0)
  })

  test('comes after a moment when a crash leaves a file that ends whoever opens it', async () => {
    // lmdb-js writes its first two meta pages without a sync, and trusts them when it finds a file.
    const model = new CrashModel(await record('lmdb-worker.mjs', 'synced', [3]))
    const made = model.recording.events.find((event) => event.kind === 'write')
    const image = join(scratch, 'half-made')
    writeImage(model.imageAt((made?.end ?? 0) + 1, { ...sizesOnly, keeps: isEntry }), image)
    const verifier = verifierOf('synced')
    expect(await verifier.verify(image, [])).toEqual([expect.stringContaining('SIGSEGV')])
    await verifier.close()
  })

  test('cannot be judged under useWritemap, and the tool refuses', async () => {
    await expect(record('lmdb-worker.mjs', 'writemap', [3])).rejects.toThrow(UnseenWritesError)
  })
})

describe.skipIf(unavailable !== undefined)('what is readable', { timeout: 40_000 }, () => {
  const readers = [
    ['self', 'on the thread that put it'],
    ['other', 'in another process'],
  ] as const

  for (const [reader, where] of readers) {
    test(`with overlappingSync off is durable, ${where}`, async () => {
      for (const inject of [[], SLOW_SYNCS]) {
        const looked = looksOf(
          await record('lmdb-seen-worker.mjs', 'synced', [COMMITS, reader], inject),
        )
        console.log(`readable, ${reader}, ${inject.length > 0 ? 'slow' : 'plain'} syncs:`, looked)
        expect(looked).toMatchObject({ commits: COMMITS, seen: COMMITS, seenBeforeSynced: 0 })
        // How often a quick disk is caught in the act is its own affair; a slowed one must be.
        expect(looked.looksWhileSyncing).toBeGreaterThan(inject.length > 0 ? COMMITS / 2 : 0)
      }
    })

    test(`with overlappingSync on may be lost, ${where}`, async () => {
      const looked = looksOf(await record('lmdb-seen-worker.mjs', 'overlapping', [100, reader]))
      console.log(`readable, ${reader}, overlapping:`, looked)
      expect(looked.seenBeforeSynced).toBeGreaterThan(50)
    })
  }

  test('after a kill is durable with overlappingSync off, once the data file is synced', async () => {
    const args = [8, 'sync-at-open']
    const recording = await record('lmdb-restart-worker.mjs', 'synced', args, SLOW_SYNCS)
    expect((await check(recording, 'synced')).violations).toBe(0)
  })

  test('after a kill may be lost with overlappingSync on, synced or not', async () => {
    for (const role of ['', 'sync-at-open']) {
      const slow = ['fdatasync:delay_enter=5000']
      const recording = await record('lmdb-restart-worker.mjs', 'overlapping', [8, role], slow)
      expect((await check(recording, 'overlapping')).violations).toBeGreaterThan(0)
    }
  })
})

const isEntry = (op: Op): boolean => op.change.kind === 'entries'

type Looks = {
  readonly commits: number
  readonly seen: number
  /** Commits found by a reader before their meta page's synced write had returned. */
  readonly seenBeforeSynced: number
  /** Looks begun and ended while that write was under way, none of which found the commit. */
  readonly looksWhileSyncing: number
}

/** lmdb-seen-worker.mjs commits one key at a time: the n-th synced write is that of key n. */
function looksOf(recording: Recording): Looks {
  const lines = linesIn(recording.events)
  const begin = lines.findIndex(({ text }) => text === 'begin')
  const from = lines[begin]?.start ?? Infinity
  const metas = recording.events.filter(
    (event) => event.kind === 'write' && event.synced && event.start > from,
  )
  let [seen, seenBeforeSynced, looksWhileSyncing] = [0, 0, 0]
  for (let at = begin + 1; at < lines.length; at++) {
    const [look, before] = [lines[at], lines[at - 1]]
    const meta = metas[Number(look?.text.split(' ')[1])]
    if (!look || !before || !meta) continue
    if (ackOf(look) !== undefined) {
      seen++
      if (look.start < meta.end) seenBeforeSynced++
    } else if (before.end > meta.start && look.start < meta.end) looksWhileSyncing++
  }
  return { commits: metas.length, seen, seenBeforeSynced, looksWhileSyncing }
}
