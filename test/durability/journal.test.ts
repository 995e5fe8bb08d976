// A store in a folder, of a process that is killed or whose syncs fail: what it acked is there, whole
// and in order, however often it happens, and what it said had no effect had none.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Victim } from '../crash/victim.ts'
import { seeded } from './crash-fates.ts'
import { straceUnavailable } from './strace-record.ts'

const WORKER = join(import.meta.dirname, 'journal-worker.mjs')
const LANES = 6
const root = mkdtempSync(join(tmpdir(), 'holdfast-journal-'))
const newDir = (): string => mkdtempSync(join(root, 'db-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const numberOf = (line: string | undefined): number => Number(line?.split(' ')[1])

interface Said {
  /** Of batches, by the process that said this. */
  readonly opened: number
  readonly acked: number
  /** Numbers of those said to have had no effect, and of those of which nothing is known. */
  readonly none: readonly number[]
  readonly unknown: readonly number[]
}

function whatWasSaid({ lines }: Victim): Said {
  const opened = numberOf(lines.find((line) => line.startsWith('opened')))
  const acks = lines.filter((line) => line.startsWith('ack'))
  // In the order of the batches, and none is left out.
  expect(acks.map(numberOf)).toEqual(acks.map((_, i) => opened + 1 + i))
  const fails = lines.filter((line) => line.startsWith('fail'))
  return {
    opened,
    acked: opened + acks.length,
    none: fails.filter((line) => line.endsWith(' no')).map(numberOf),
    unknown: fails.filter((line) => line.endsWith(' unknown')).map(numberOf),
  }
}

/** How many batches are there when the folder is opened once more, and closed. */
async function stateAfter(dir: string): Promise<number> {
  const victim = new Victim(WORKER)
  victim.tell({ do: 'open', dir, segmentBytes: 4_000 })
  victim.tell({ do: 'close' })
  await victim.said('ended')
  await victim.kill()
  expect(victim.lines).toEqual(['ready', expect.stringMatching(/^opened \d+$/), 'closed', 'ended'])
  expect(readdirSync(dir).filter((name) => name.startsWith('journal'))).toEqual([])
  return numberOf(victim.lines[1])
}

describe('a process killed again and again', () => {
  for (const segmentBytes of [300, 4_000]) {
    test(`loses nothing it acked, in segments of ${segmentBytes} bytes`, async () => {
      const random = seeded(segmentBytes)
      const dir = newDir()
      let atLeast = 0
      let atMost = 0
      let next = new Victim(WORKER)
      for (let round = 0; round < 14; round++) {
        const victim = next
        next = new Victim(WORKER)
        await victim.said('ready')
        victim.tell({ do: 'open', dir, segmentBytes })
        // Every third one is killed while it opens the folder, or before it wrote.
        const writes = round % 3 === 2 ? 0 : 1 + Math.floor(random() * 150)
        if (writes > 0) {
          victim.tell({ do: 'write', batches: 1_000_000 })
          await victim.saidLines(2 + writes, 10_000)
        } else if (random() < 0.5) await victim.saidLines(2, 10_000)
        await victim.kill()
        const said = whatWasSaid(victim)
        if (Number.isNaN(said.opened)) continue
        expect(victim.lines[1]).toMatch(/^opened \d+$/)
        expect(said.opened).toBeGreaterThanOrEqual(atLeast)
        expect(said.opened).toBeLessThanOrEqual(atMost)
        expect(said.none.length + said.unknown.length).toBe(0)
        atLeast = said.acked
        atMost = writes > 0 ? said.acked + LANES : said.opened
      }
      await next.kill()
      const state = await stateAfter(dir)
      expect(state).toBeGreaterThanOrEqual(atLeast)
      expect(state).toBeLessThanOrEqual(atMost)
      expect(state).toBeGreaterThan(100)
    })
  }
})

const unavailable = straceUnavailable()
if (unavailable !== undefined)
  process.stderr.write(`\nSKIPPED: failing syncs were not tested: ${unavailable}\n\n`)

describe.skipIf(unavailable !== undefined)('a sync that fails', { timeout: 60_000 }, () => {
  // All are made by one thread: of segments that begin, of records, and of folding.
  for (const when of [1, 2, 3, 4, 6, 9]) {
    test(`leaves its batch in doubt at most, and nothing is written after: sync ${when}`, async () => {
      const dir = newDir()
      const trace = join(root, `trace-${when}`)
      const tracer = ['env', 'UV_THREADPOOL_SIZE=1', 'strace', '-f', '-qq', '-o', trace]
      const fault = `inject=fdatasync:error=EIO:when=${when}`
      tracer.push('--seccomp-bpf', '-e', 'trace=fdatasync', '-e', fault)
      const victim = new Victim(WORKER, tracer)
      victim.tell({ do: 'open', dir, segmentBytes: 1_000 })
      victim.tell({ do: 'write', batches: 80 })
      victim.tell({ do: 'close' })
      await victim.said('ended')
      await victim.kill()
      expect(readFileSync(trace, 'latin1')).toContain('(INJECTED)')
      const { acked, none, unknown } = whatWasSaid(victim)
      const failed = victim.lines.filter((line) => line.startsWith('fail'))
      for (const line of failed) expect(line).toMatch(/^fail \d+ StorageFailed (no|unknown)$/)
      expect([...none, ...unknown].toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: 80 - acked }, (_, i) => acked + 1 + i),
      )
      const state = await stateAfter(dir)
      expect(state).toBeGreaterThanOrEqual(acked)
      expect(state).toBeLessThanOrEqual(Math.max(acked, ...unknown))
      for (const n of none) expect(n).toBeGreaterThan(state)
    })
  }
})
