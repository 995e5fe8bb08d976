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

function record(mode: 'synced' | 'no-sync', inject: readonly string[] = []): Promise<Recording> {
  const folder = mkdtempSync(join(scratch, `${mode}-`))
  const worker = join(import.meta.dirname, 'database-worker.mjs')
  return recordWorker({
    worker: [process.execPath, worker, folder, mode, String(WRITES)],
    folder,
    inject,
  })
}

async function check(
  recording: Recording,
  options: Partial<CrashOptions> = {},
): Promise<DurabilityReport> {
  const verifier = new ChildVerifier([
    process.execPath,
    join(import.meta.dirname, 'database-verify.mjs'),
  ])
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
})
