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
  mode: 'synced' | 'no-sync',
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
