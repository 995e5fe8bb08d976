import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { envContract } from '../core/env.contract.ts'
import { drawFrom } from './draw.ts'
import { Kernel } from './kernel.ts'
import { EPOCH_MS, machineClock, setDrift, setOffset, simEnv } from './sim-env.ts'

envContract('sim env', () => {
  const kernel = new Kernel(1)
  const env = simEnv(kernel, kernel.owner('a'), machineClock(), kernel.random('env'))
  return { env, run: (done) => kernel.run(done), seeded: (seed) => drawFrom(seed) }
})

describe('sim env: its machine', () => {
  it('never goes back, whatever the drift is set to and however often', async () => {
    const changes = fc.array(
      fc.tuple(
        fc.double({ min: 0, max: 1e7, noNaN: true }),
        fc.double({ min: -0.9, max: 5, noNaN: true }),
      ),
      { minLength: 1, maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(changes, fc.integer(), async (steps, seed) => {
        const kernel = new Kernel(seed)
        const clock = machineClock()
        const env = simEnv(kernel, kernel.owner('a'), clock, kernel.random('env'))
        let last = env.clock.monotonicMs()
        for (const [waitMs, drift] of steps) {
          await passing(kernel, waitMs)
          const before = env.clock.monotonicMs()
          setDrift(clock, kernel.nowMs, drift)
          const after = env.clock.monotonicMs()
          expect(before).toBeGreaterThanOrEqual(last)
          expect(after).toBeGreaterThanOrEqual(before)
          expect(after - before).toBeLessThan(1e-6)
          last = after
        }
      }),
      { numRuns: 100 },
    )
  })

  it('gains what its drift says, since the drift was set', async () => {
    const kernel = new Kernel(1)
    const clock = machineClock()
    const env = simEnv(kernel, kernel.owner('a'), clock, kernel.random('env'))
    await passing(kernel, 1_000)
    setDrift(clock, kernel.nowMs, 0.5)
    await passing(kernel, 1_000)
    setDrift(clock, kernel.nowMs, -0.25)
    await passing(kernel, 1_000)
    expect(env.clock.monotonicMs()).toBeCloseTo(1_000 + 1_500 + 750, 6)
  })

  it('jumps by its wall clock alone when the offset is set', async () => {
    const kernel = new Kernel(1)
    const clock = machineClock()
    const env = simEnv(kernel, kernel.owner('a'), clock, kernel.random('env'))
    await passing(kernel, 10)
    const monotonic = env.clock.monotonicMs()
    setOffset(clock, -5_000)
    expect(env.clock.wallMs()).toBe(EPOCH_MS + 10 - 5_000)
    setOffset(clock, 7_000)
    expect(env.clock.wallMs()).toBe(EPOCH_MS + 10 + 7_000)
    expect(env.clock.monotonicMs()).toBe(monotonic)
  })

  it('fires no timer early by its own clock, though the drift changes under it', async () => {
    const delays = fc.array(fc.double({ min: -1, max: 20_000, noNaN: true }), {
      minLength: 1,
      maxLength: 10,
    })
    const drifts = fc.array(fc.double({ min: -0.9, max: 5, noNaN: true }), { maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(delays, drifts, fc.integer(), async (delays, drifts, seed) => {
        const kernel = new Kernel(seed)
        const clock = machineClock()
        const env = simEnv(kernel, kernel.owner('a'), clock, kernel.random('env'))
        for (const [i, drift] of drifts.entries()) {
          kernel.after(1_500 * (i + 1), 'drift', kernel.world, () =>
            setDrift(clock, kernel.nowMs, drift),
          )
        }
        const early: number[] = []
        const fired = delays.map(
          (delayMs) =>
            new Promise<void>((resolve) => {
              const dueMs = env.clock.monotonicMs() + delayMs
              env.timers.after(delayMs, () => {
                if (env.clock.monotonicMs() < dueMs) early.push(delayMs)
                resolve()
              })
            }),
        )
        await kernel.run(Promise.all(fired))
        expect(early).toEqual([])
      }),
      { numRuns: 200 },
    )
  })

  it('cancels a timer that was armed again because the clock was slowed', async () => {
    const kernel = new Kernel(1)
    const clock = machineClock()
    const env = simEnv(kernel, kernel.owner('a'), clock, kernel.random('env'))
    let calls = 0
    const cancel = env.timers.after(1_000, () => calls++)
    setDrift(clock, kernel.nowMs, -0.5)
    await passing(kernel, 1_500)
    cancel()
    await passing(kernel, 5_000)
    expect(calls).toBe(0)
  })

  it('keeps the order of "soon" calls across a pause', async () => {
    for (let seed = 0; seed < 50; seed++) {
      const kernel = new Kernel(seed)
      const owner = kernel.owner('a')
      const env = simEnv(kernel, owner, machineClock(), kernel.random('env'))
      const calls: number[] = []
      for (let i = 0; i < 20; i++) env.timers.soon(() => calls.push(i))
      kernel.pause(owner)
      await passing(kernel, 100)
      expect(calls).toEqual([])
      kernel.resume(owner)
      await passing(kernel, 100)
      expect(calls).toEqual(Array.from({ length: 20 }, (_, i) => i))
    }
  })

  it('lets time pass while it is paused, and fires then what fell due, in its order', async () => {
    const kernel = new Kernel(3)
    const owner = kernel.owner('a')
    const env = simEnv(kernel, owner, machineClock(), kernel.random('env'))
    const calls: string[] = []
    env.timers.after(200, () => calls.push('second'))
    env.timers.after(100, () => calls.push('first'))
    const cancel = env.timers.after(150, () => calls.push('cancelled'))
    kernel.pause(owner)
    await passing(kernel, 1_000)
    cancel()
    expect(calls).toEqual([])
    expect(env.clock.monotonicMs()).toBe(1_000)
    kernel.resume(owner)
    await passing(kernel, 1)
    expect(calls).toEqual(['first', 'second'])
  })
})

/** Runs until `ms` of true time have passed. */
function passing(kernel: Kernel, ms: number): Promise<void> {
  return kernel.run(
    new Promise((resolve) => {
      kernel.after(ms, 'wait', kernel.world, resolve)
    }),
  )
}
