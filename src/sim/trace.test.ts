import { describe, expect, it } from 'vitest'
import { Kernel } from './kernel.ts'
import { compareRuns, firstDivergence, type RecordWindow } from './trace.ts'

/** `events` events, of which number `odd` has another label in every run. */
function runner(
  events: number,
  odd: number | undefined,
): { run: (record?: RecordWindow) => Promise<Kernel>; runs: () => number } {
  let runs = 0
  const run = async (record?: RecordWindow): Promise<Kernel> => {
    const kernel = new Kernel(1, { record })
    runs++
    await kernel.run(
      new Promise<void>((resolve) => {
        const next = (i: number): void => {
          if (i === events) return resolve()
          scheduleNumber(kernel, i === odd ? `odd ${runs}` : `even ${i}`, () => next(i + 1))
        }
        next(0)
      }),
    )
    return kernel
  }
  return { run, runs: () => runs }
}

function scheduleNumber(kernel: Kernel, label: string, then: () => void): void {
  kernel.after(1, label, kernel.world, then)
}

describe('trace: two runs', () => {
  it('that are equal are found so in two runs', async () => {
    const { run, runs } = runner(5_000, undefined)
    expect(await compareRuns(async (record) => (await run(record)).trace)).toBeUndefined()
    expect(runs()).toBe(2)
  })

  it('that differ are shown at the first event that does, with both lines and stacks', async () => {
    for (const [events, odd] of [
      [1, 0],
      [50, 49],
      [1_000, 128],
      [1_000, 127],
      [5_000, 3_210],
    ] as const) {
      const { run, runs } = runner(events, odd)
      const found = await compareRuns(async (record) => (await run(record)).trace)
      expect(runs()).toBe(4)
      expect(found?.event).toBe(odd)
      expect(found?.first?.line).toContain('world odd 3')
      expect(found?.second?.line).toContain('world odd 4')
      expect(found?.first?.stack).toContain('scheduleNumber')
      expect(found?.second?.stack).toContain('trace.test.ts')
      expect(found?.text).toContain('odd 3')
      expect(found?.text).toContain('odd 4')
    }
  })

  it('that differ in length only are told so', async () => {
    let events = 100
    const run = async (record?: RecordWindow): Promise<Kernel> => runner(events++, -1).run(record)
    const found = await compareRuns(async (record) => (await run(record)).trace)
    expect(found?.event).toBe(102)
    expect(found?.first).toBeUndefined()
    expect(found?.text).toContain('first run:  nothing more')
  })

  it('that differ in a note or a draw alone are told apart', async () => {
    const recorded = async (note: string, draws: number): Promise<Kernel> => {
      const kernel = new Kernel(1, { record: { fromEvent: 0, events: 10 } })
      await kernel.run(
        new Promise<void>((resolve) => {
          kernel.after(1, 'draw', kernel.world, () => {
            kernel.note(note)
            for (let i = 0; i < draws; i++) kernel.random('x').float()
            kernel.after(1, 'end', kernel.world, resolve)
          })
        }),
      )
      return kernel
    }
    const base = await recorded('a', 1)
    const again = await recorded('a', 1)
    expect(firstDivergence(base.trace, again.trace)).toBeUndefined()
    const noted = firstDivergence(base.trace, (await recorded('b', 1)).trace)
    expect([noted?.event, noted?.first?.notes, noted?.second?.notes]).toEqual([0, ['a'], ['b']])
    const drawn = firstDivergence(base.trace, (await recorded('a', 2)).trace)
    expect(drawn?.event).toBe(1)
  })

  it('keep a bounded number of checkpoints however long they are', async () => {
    const { run } = runner(200_000, undefined)
    const { trace } = await run()
    expect(trace.checkpoints.length).toBeLessThanOrEqual(1_024)
    expect(trace.checkpoints.length * trace.interval).toBeGreaterThanOrEqual(200_000)
  })

  it('that diverge elsewhere each time do not stall the search', async () => {
    let runs = 0
    const found = await compareRuns(async (record) => {
      runs++
      return (await runner(2_000, (runs * 397) % 2_000).run(record)).trace
    })
    expect(found).toBeDefined()
    expect(runs).toBeLessThanOrEqual(10)
  })
})
