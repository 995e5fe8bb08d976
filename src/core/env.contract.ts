/** What every Env owes its callers (env.ts), as tests; the real one and the simulated one pass them. */
import { describe, expect, it } from 'vitest'
import { delay, turn, type Env, type Random } from './env.ts'

export interface EnvUnderTest {
  readonly env: Env
  /** Lets time pass until `done` settles; the real Env needs nothing. */
  readonly run?: <T>(done: Promise<T>) => Promise<T>
  /** A root stream from a seed, where the implementation has one. */
  readonly seeded?: (seed: number) => Random
}

export function envContract(name: string, makeEnv: () => EnvUnderTest): void {
  const withEnv = async (test: (env: Env) => Promise<void>): Promise<void> => {
    const { env, run } = makeEnv()
    const done = test(env)
    await (run === undefined ? done : run(done))
  }

  describe(`${name}: clock`, () => {
    it('never goes back by the monotonic clock', () =>
      withEnv(async (env) => {
        let last = env.clock.monotonicMs()
        for (let i = 0; i < 1_000; i++) {
          const now = env.clock.monotonicMs()
          expect(now).toBeGreaterThanOrEqual(last)
          last = now
          if (i % 100 === 0) await turn(env)
        }
      }))

    it('gives a wall clock in milliseconds since 1970', () =>
      withEnv(async (env) => {
        expect(env.clock.wallMs()).toBeGreaterThan(Date.UTC(2000, 0, 1))
        await turn(env)
      }))

    it('advances by at least the delay waited', () =>
      withEnv(async (env) => {
        const start = env.clock.monotonicMs()
        await delay(env, 20)
        expect(env.clock.monotonicMs() - start).toBeGreaterThanOrEqual(20)
      }))
  })

  describe(`${name}: after`, () => timersContract(withEnv))
  describe(`${name}: soon`, () => soonContract(withEnv))
  describe(`${name}: random`, () => randomContract(makeEnv))
}

type WithEnv = (test: (env: Env) => Promise<void>) => Promise<void>

function timersContract(withEnv: WithEnv): void {
  it('never calls synchronously, even for a delay of 0 or less', () =>
    withEnv(async (env) => {
      let inside = true
      const calls: boolean[] = []
      await new Promise<void>((resolve) => {
        for (const delayMs of [0, -5]) env.timers.after(delayMs, () => calls.push(inside))
        env.timers.after(1, resolve)
        inside = false
      })
      await delay(env, 5)
      expect(calls).toEqual([false, false])
    }))

  it('never calls sooner than asked, by the monotonic clock', () =>
    withEnv(async (env) => {
      const waits: Promise<number>[] = []
      for (let i = 0; i < 200; i++) {
        const delayMs = 1 + (i % 20) + (i % 7) / 7
        const start = env.clock.monotonicMs()
        waits.push(delay(env, delayMs).then(() => env.clock.monotonicMs() - start - delayMs))
      }
      expect(Math.min(...(await Promise.all(waits)))).toBeGreaterThanOrEqual(0)
    }))

  it('calls once', () =>
    withEnv(async (env) => {
      let calls = 0
      env.timers.after(1, () => calls++)
      await delay(env, 30)
      expect(calls).toBe(1)
    }))

  it('calls nothing that was cancelled, and cancelling again or late does nothing', () =>
    withEnv(async (env) => {
      let cancelled = 0
      let kept = 0
      const cancel = env.timers.after(2, () => cancelled++)
      const late = env.timers.after(2, () => kept++)
      cancel()
      cancel()
      await delay(env, 20)
      late()
      late()
      await delay(env, 5)
      expect([cancelled, kept]).toEqual([0, 1])
    }))

  it('lets a callback cancel another one that is due, and itself', () =>
    withEnv(async (env) => {
      const calls: string[] = []
      await new Promise<void>((resolve) => {
        const second = env.timers.after(20, () => calls.push('second'))
        const first = env.timers.after(1, () => {
          calls.push('first')
          second()
          first()
        })
        env.timers.after(40, resolve)
      })
      expect(calls).toEqual(['first'])
    }))

  it('does not call early for a delay beyond what one timer of the system can hold', () =>
    withEnv(async (env) => {
      let called = false
      const cancel = env.timers.after(2 ** 31 + 1_000, () => (called = true))
      await delay(env, 20)
      cancel()
      expect(called).toBe(false)
    }))

  it('takes background work', () =>
    withEnv(async (env) => {
      let calls = 0
      env.timers.after(1, () => calls++, 'background')
      await delay(env, 20)
      expect(calls).toBe(1)
    }))
}

function soonContract(withEnv: WithEnv): void {
  it('calls once, in order, and never synchronously', () =>
    withEnv(async (env) => {
      const calls: number[] = []
      for (let i = 0; i < 100; i++) env.timers.soon(() => calls.push(i))
      expect(calls).toEqual([])
      await turn(env)
      expect(calls).toEqual(Array.from({ length: 100 }, (_, i) => i))
    }))

  it('runs after promise callbacks that were due', () =>
    withEnv(async (env) => {
      const calls: string[] = []
      await new Promise<void>((resolve) => {
        env.timers.soon(() => {
          calls.push('soon')
          resolve()
        })
        void Promise.resolve().then(() => calls.push('promise'))
      })
      expect(calls).toEqual(['promise', 'soon'])
    }))

  it('gives timers a turn between calls that call again', () =>
    withEnv(async (env) => {
      let stop = false
      env.timers.after(5, () => (stop = true))
      let turns = 0
      while (!stop && turns < 10_000_000) {
        await turn(env)
        turns++
      }
      expect(stop).toBe(true)
    }))
}

function randomContract(makeEnv: () => EnvUnderTest): void {
  const { env, seeded } = makeEnv()

  it('draws floats in [0, 1), spread over it', () => {
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < 10_000; i++) {
      const value = env.random.float()
      expect(value >= 0 && value < 1).toBe(true)
      const bucket = Math.floor(value * 10)
      counts[bucket] = (counts[bucket] ?? 0) + 1
    }
    // 10 sigma around 1,000 each.
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(300)
  })

  it('draws as many bytes as asked, other ones each time, owned by the caller', () => {
    expect(env.random.bytes(0).length).toBe(0)
    const first = env.random.bytes(32)
    const copy = first.slice()
    const second = env.random.bytes(32)
    expect(first.length).toBe(32)
    expect(first).not.toEqual(second)
    second.fill(0)
    expect(first).toEqual(copy)
  })

  it('forks into streams that differ', () => {
    const draws = ['a', 'b', 'c'].map((label) => env.random.fork(label).bytes(16).join())
    expect(new Set(draws).size).toBe(3)
  })

  // The system's randomness has no seed: there it is no promise.
  if (seeded === undefined) return
  it('repeats from a seed and labels, whatever else was drawn', () => {
    const fresh = seeded(7).fork('x')
    const used = seeded(7)
    used.float()
    used.fork('y').bytes(5)
    const again = used.fork('x')
    expect(again.bytes(32)).toEqual(fresh.bytes(32))
    expect(again.float()).toBe(fresh.float())
    expect(seeded(8).fork('x').bytes(32)).not.toEqual(seeded(7).fork('x').bytes(32))
  })
}
