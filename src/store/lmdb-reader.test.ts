// Who only reads, beside a process that writes, folds and begins segments as fast as it can.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { Victim } from '../../test/crash/victim.ts'
import { stateOf } from '../../test/durability/journal-rows.mjs'
import { openLmdbReader } from './lmdb-reader.ts'

const WORKER = join(import.meta.dirname, '../../test/durability/journal-worker.mjs')
const root = mkdtempSync(join(tmpdir(), 'holdfast-reader-'))
const writers: Victim[] = []
afterEach(async () => {
  for (const writer of writers.splice(0)) await writer.kill()
})
afterAll(() => rmSync(root, { recursive: true }))

describe('a reader beside a writer', () => {
  for (const segmentBytes of [1, 700, 4_000]) {
    it(`sees whole batches, never fewer than before, in segments of ${segmentBytes} bytes`, async () => {
      const dir = mkdtempSync(join(root, 'db-'))
      const writer = new Victim(WORKER)
      writers.push(writer)
      writer.tell({ do: 'open', dir, segmentBytes })
      await writer.said('opened 0')
      writer.tell({ do: 'write', batches: 1_000_000 })
      await writer.saidLines(10, 10_000)
      const reader = openLmdbReader(dir)
      const held = reader.snapshot()
      const first = stateOf(held)
      let last = Number(first)
      const seen = new Set<number>()
      // Until it has moved often, or this test says nothing.
      for (let look = 0; look < 150 || seen.size < 30; look++) {
        const snapshot = reader.snapshot()
        const state = stateOf(snapshot)
        snapshot.close()
        expect(state).toMatch(/^\d+$/)
        expect(Number(state)).toBeGreaterThanOrEqual(last)
        last = Number(state)
        seen.add(last)
        // Hears what the writer says, which would wait for that.
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(stateOf(held)).toBe(first)
      await writer.kill()
      const { length } = writer.lines.filter((line) => line.startsWith('ack'))
      const after = reader.snapshot()
      expect(Number(stateOf(after))).toBeGreaterThanOrEqual(Math.max(last, length))
      await reader.close()
    })
  }
})
