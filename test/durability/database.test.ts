// What the database acked survives a power cut, at any moment, whatever of the unsynced reached the
// disk. And the proof that this test can fail: with syncing switched off it does.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkRecording, type CrashOptions, type DurabilityReport } from './check-durability.ts'
import { ChildVerifier } from './child-verifier.ts'
import type { Recording } from './recording.ts'
import { recordWorker, straceUnavailable } from './strace-record.ts'

const unavailable = straceUnavailable()
if (unavailable !== undefined)
  process.stderr.write(
    `\nSKIPPED: no durability of the database was checked against real syncs: ${unavailable}\n\n`,
  )

const WRITES = 120

// On a real disk, not in memory: that is what the syncs are for.
let scratch = ''
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'holdfast-durability-'))
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

function record(
  mode: 'synced' | 'no-sync' | 'folding',
  inject: readonly string[] = [],
  writes = WRITES,
): Promise<Recording> {
  const folder = mkdtempSync(join(scratch, `${mode}-`))
  return recordWorker({
    worker: [...program('database-worker'), folder, mode, `${writes}`],
    folder,
    inject,
  })
}

const program = (name: string): string[] => [
  process.execPath,
  join(import.meta.dirname, `${name}.mjs`),
]

async function check(
  recording: Recording,
  options: Partial<CrashOptions> = {},
  verify = 'database-verify',
): Promise<DurabilityReport> {
  const verifier = new ChildVerifier(program(verify))
  const defaults = { verify: verifier.verify, crashPoints: 45, imagesPerPoint: 7, seed: 1 }
  const report = await checkRecording(recording, { ...defaults, ...options })
  await verifier.close()
  const { found, ...counts } = report
  console.log(`${expect.getState().currentTestName}: ${JSON.stringify(counts)} ${found[0] ?? ''}`)
  return report
}

describe.skipIf(unavailable !== undefined)('an ack of the database', { timeout: 60_000 }, () => {
  test('survives every crash, from the first moment of the folder on', async () => {
    // Slow syncs: crashes then find more that is not synced.
    const report = await check(await record('synced', ['fdatasync:delay_enter=2000']))
    expect(report.found).toEqual([])
    expect(report).toMatchObject({ acks: WRITES, violations: 0 })
    expect(report.images).toBeGreaterThan(150)
    expect(report.crashPointsPending).toBeGreaterThan(15)
  })

  test('does not survive when syncing is switched off, and this test says so', async () => {
    const report = await check(await record('no-sync'), { crashPoints: 12, from: 'first-ack' })
    expect(report).toMatchObject({ acks: WRITES })
    expect(report.violations).toBeGreaterThan(0)
  })

  test('survives every crash while segments of the journal are begun, folded and removed', async () => {
    const recording = await record('folding', ['fdatasync:delay_enter=500'], 60)
    expect(segmentsIn(recording)).toBeGreaterThan(5)
    for (const directories of ['strict', 'ext4'] as const) {
      const report = await check(recording, { crashPoints: 40, imagesPerPoint: 5, directories })
      expect(report.found).toEqual([])
      expect(report.acks).toBe(60)
      expect(report.crashPointsPending).toBeGreaterThan(15)
    }
    const unsynced = recording.events.filter((event) => event.kind !== 'sync')
    const few = { crashPoints: 8, imagesPerPoint: 3, from: 'first-ack' } as const
    const without = await check({ ...recording, events: unsynced }, few)
    expect(without.violations).toBeGreaterThan(0)
  })

  test('comes from a folder that opens, wherever the crash was while it was made', async () => {
    const recording = await record('synced', [], 3)
    for (const directories of ['strict', 'ext4'] as const) {
      const making = { ...recording, events: madeIn(recording) }
      const options = { crashPoints: 60, imagesPerPoint: 6, directories }
      const report = await check(making, options)
      expect(report.found).toEqual([])
      expect(report.crashPointsPending).toBeGreaterThan(10)
    }
  })
})

describe.skipIf(unavailable !== undefined)(
  'a store that is flushed in the background',
  { timeout: 60_000 },
  () => {
    test('keeps whole batches through every crash, and all that a flush took along', async () => {
      const folder = mkdtempSync(join(scratch, 'background-'))
      const worker = [...program('background-worker'), folder, '120']
      const recording = await recordWorker({
        worker,
        folder,
        inject: ['fdatasync:delay_enter=2000'],
      })
      expect(segmentsIn(recording)).toBeGreaterThan(5)
      for (const directories of ['strict', 'ext4'] as const) {
        const options = { crashPoints: 40, imagesPerPoint: 6, directories }
        const report = await check(recording, options, 'background-verify')
        expect(report.found).toEqual([])
        expect(report.acks).toBe(17)
        expect(report.crashPointsPending).toBeGreaterThan(15)
      }
      const unsynced = recording.events.filter((event) => event.kind !== 'sync')
      const few = { crashPoints: 8, imagesPerPoint: 3, from: 'first-ack' } as const
      const without = await check({ ...recording, events: unsynced }, few, 'background-verify')
      expect(without.violations).toBeGreaterThan(0)
    })
  },
)

/** Of the journal: how many were made, and removed again. */
function segmentsIn({ events }: Recording): number {
  const gone = events.filter((event) => event.kind === 'entries' && event.cause === 'remove')
  const paths = gone.flatMap((event) => (event.kind === 'entries' ? event.changes : []))
  return paths.filter(({ path }) => path.startsWith('journal.')).length
}

/** All that was done until the second ack was out. */
function madeIn(recording: Recording): Recording['events'] {
  const acks = recording.events.filter((event) => event.kind === 'line')
  const end = acks[1]?.end ?? Number.POSITIVE_INFINITY
  return recording.events.filter((event) => event.start <= end)
}

describe.skipIf(unavailable !== undefined)(
  'what a killed process left',
  { timeout: 60_000 },
  () => {
    for (const [how, role] of [
      ['who opens the folder', 'opening'],
      ['who backs it up', 'reading'],
    ] as const)
      test(`is durable before anyone ${how} can read it`, async () => {
        const folder = mkdtempSync(join(scratch, 'restart-'))
        // Long enough for a reader to find the commit before its sync is done.
        const inject = ['pwrite64:delay_exit=3000', 'fdatasync:delay_exit=2000']
        const worker = [...program('store-restart-worker'), folder, '6', role]
        const recording = await recordWorker({ worker, folder, inject })
        const report = await check(recording, { crashPoints: 50 }, 'store-verify')
        expect(report.found).toEqual([])
        expect(report.acks).toBeGreaterThan(15)
        const opening = { crashPoints: 50, from: 'first-ack' } as const
        const unsynced = recording.events.filter((event) => event.kind !== 'sync')
        const without = await check({ ...recording, events: unsynced }, opening, 'store-verify')
        expect(without.violations).toBeGreaterThan(0)
      })
  },
)

describe.skipIf(unavailable !== undefined)('what a failed sync left', { timeout: 60_000 }, () => {
  // The system takes what it could not write for written: no later sync makes it durable.
  for (const when of [2, 3, 6])
    test(`is not read by who opens the folder again, of sync ${when}`, async () => {
      const folder = mkdtempSync(join(scratch, 'failing-'))
      const recording = await recordWorker({
        worker: [...program('store-failing-worker'), folder],
        folder,
        env: { UV_THREADPOOL_SIZE: '1' },
        inject: [`fdatasync:error=EIO:when=${when}`],
      })
      const options = { crashPoints: 30, imagesPerPoint: 5, from: 'first-ack' } as const
      const report = await check(recording, options, 'store-verify')
      expect(report.found).toEqual([])
      expect(report.acks).toBeGreaterThan(2)
    })
})
