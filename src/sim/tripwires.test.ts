import { execFile } from 'node:child_process'
import nodeCrypto, { randomBytes, randomInt, randomUUID } from 'node:crypto'
import fs, { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import { setTimeout as namedTimeout } from 'node:timers'
import { scheduler, setTimeout as waits } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import zlib from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { systemEnv } from '../core/system-env.ts'
import { ambientOf, EPOCH_MS } from './ambient.ts'
import { Kernel } from './kernel.ts'
import { machineClock, setDrift, setOffset, simEnv } from './sim-env.ts'
import { DeadIncarnation, installTripwires, SimulationLeak, watchResources } from './tripwires.ts'

/** Runs `work` as a step of `owner`, and to its end. */
function stepOf<T>(
  kernel: Kernel,
  work: () => T | Promise<T>,
  owner = kernel.owner('shop-1'),
): Promise<T> {
  return kernel.run(
    new Promise<T>((resolve, reject) => {
      kernel.after(1, 'step', owner, () => {
        void (async () => work())().then(resolve, reject)
      })
    }),
  )
}

/** What `work` throws or rejects with. */
async function thrownBy(work: () => unknown): Promise<unknown> {
  try {
    await work()
  } catch (error) {
    return error
  }
  return undefined
}

describe("tripwires: in Holdfast's rooms", () => {
  const leaks: [api: string, use: () => unknown][] = [
    ['Date.now', () => systemEnv.clock.wallMs()],
    ['performance.now', () => systemEnv.clock.monotonicMs()],
    ['performance.now', () => systemEnv.timers.after(1, () => undefined)],
    ['setImmediate', () => systemEnv.timers.soon(() => undefined)],
    ['Math.random', () => systemEnv.random.float()],
    ['crypto.randomBytes', () => systemEnv.random.bytes(4)],
  ]

  it('ambient time, timers and randomness throw at their call site', async () => {
    for (const [api, use] of leaks) {
      const error = await thrownBy(() => stepOf(new Kernel(1), use))
      expect(error).toBeInstanceOf(SimulationLeak)
      const leak = error as SimulationLeak
      expect(leak.api).toBe(api)
      expect(leak.site).toMatch(/src\/core\/system-env\.ts:\d+:\d+$/)
      expect(leak.message).toContain('in a simulated step of shop-1')
    }
  })

  it('a leak fails the run although the code catches it', async () => {
    for (const [, use] of leaks) {
      const run = stepOf(new Kernel(1), async () => thrownBy(use))
      await expect(run).rejects.toThrow(SimulationLeak)
    }
  })

  it('they work as always outside a step, also while a simulation runs', async () => {
    const kernel = new Kernel(1)
    const seen: number[] = []
    const real = new Promise<void>((resolve) => {
      setTimeout(() => {
        seen.push(systemEnv.clock.wallMs(), Date.now(), new Date().getTime())
        systemEnv.timers.after(1, resolve)
      }, 5)
    })
    let over = false
    void real.then(() => (over = true))
    await kernel.run(
      new Promise<void>((resolve) => {
        const again = (): void => {
          if (over) resolve()
          else kernel.after(1, 'again', kernel.world, again)
        }
        again()
      }),
    )
    // The machine's clock runs months from the simulation's.
    for (const ms of seen) expect(Math.abs(ms - systemEnv.clock.wallMs())).toBeLessThan(60_000)
    expect(seen.length).toBe(3)
  })
})

describe("tripwires: users' code", () => {
  it('sees virtual time, by the clock of its machine', async () => {
    const kernel = new Kernel(1)
    const owner = kernel.owner('shop-1')
    const clock = machineClock()
    setOffset(clock, -3_600_000)
    setDrift(clock, 0, 0.5)
    const env = simEnv(kernel, owner, clock, kernel.random('env'))
    kernel.setAmbient(owner, ambientOf(env, kernel.random('ambient')))
    await stepOf(
      kernel,
      async () => {
        const start = Date.now()
        expect(start).toBe(EPOCH_MS - 3_600_000 + 1)
        expect([new Date().getTime(), Number(new Date(5))]).toEqual([start, 5])
        expect(Date()).toContain('2025')
        expect(new Date()).toBeInstanceOf(Date)
        const monotonic = performance.now()
        const nanoseconds = process.hrtime.bigint()
        const [seconds] = process.hrtime()
        expect(monotonic).toBe(1.5)
        expect([nanoseconds, seconds]).toEqual([1_500_000n, 0])
        await new Promise((resolve) => setTimeout(resolve, 60_000))
        expect(Date.now() - start).toBeGreaterThanOrEqual(60_000)
        expect(Date.now() - start).toBeLessThan(60_001)
        expect(process.hrtime([1, 0])[0]).toBe(59)
        expect(kernel.nowMs).toBeLessThan(40_010)
      },
      owner,
    )
  })

  it('has every kind of timer under virtual time', async () => {
    const kernel = new Kernel(1)
    const calls: unknown[] = []
    await stepOf(kernel, async () => {
      const startMs = kernel.nowMs
      await waits(1_000)
      expect(await waits(1_000, 'value')).toBe('value')
      await scheduler.wait(1_000)
      await promisify(setTimeout)(1_000)
      expect(kernel.nowMs - startMs).toBeGreaterThanOrEqual(4_000)
      expect(kernel.nowMs - startMs).toBeLessThan(4_001)
      namedTimeout((word: string) => calls.push(word), 500, 'named')
      const cleared = setTimeout(() => calls.push('cleared'), 10)
      clearTimeout(Number(cleared))
      const interval = setInterval(() => calls.push('tick'), 100).unref()
      setImmediate(() => calls.push('immediate'))
      await waits(350)
      clearInterval(interval)
      await waits(10_000)
      const aborted = new AbortController()
      const wait = waits(1_000, undefined, { signal: aborted.signal })
      aborted.abort()
      expect(await thrownBy(() => wait)).toMatchObject({ name: 'AbortError' })
      const signal = AbortSignal.timeout(20)
      expect(signal.aborted).toBe(false)
      await waits(30)
      expect(signal.reason).toMatchObject({ name: 'TimeoutError' })
    })
    expect(calls).toEqual(['immediate', 'tick', 'tick', 'tick', 'named'])
  })

  it('draws randomness from its owner alone: the same seed gives the same', async () => {
    const drawn = async (seed: number, name: string): Promise<unknown[]> => {
      const kernel = new Kernel(seed)
      return stepOf(
        kernel,
        async () => [
          Math.random(),
          crypto.randomUUID(),
          randomUUID(),
          [...crypto.getRandomValues(new Uint16Array(4))],
          randomBytes(9).toString('hex'),
          randomInt(3, 1_000_000),
          [...nodeCrypto.randomFillSync(new Uint8Array(6), 2)],
          (await promisify(randomBytes)(5)).toString('hex'),
        ],
        kernel.owner(name),
      )
    }
    const first = await drawn(1, 'a')
    expect(await drawn(1, 'a')).toEqual(first)
    for (const other of [await drawn(1, 'b'), await drawn(2, 'a')]) {
      for (const [i, value] of other.entries()) expect(value).not.toEqual(first[i])
    }
    expect(first[1]).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
    expect((first[6] as number[]).slice(0, 2)).toEqual([0, 0])
  })

  it('gets no files, sockets, processes, workers or threads', async () => {
    const uses: [api: string, use: () => unknown][] = [
      ['fs.readFileSync', () => readFileSync('package.json')],
      ['fs.promises.readFile', () => readFile('package.json')],
      ['fs.readFile', () => promisify(fs.readFile)('package.json')],
      ['fs.createReadStream', () => fs.createReadStream('package.json')],
      ['net.connect', () => net.connect(1)],
      ['net.Socket.connect', () => new net.Socket().connect(1)],
      ['child_process.execFile', () => execFile('true')],
      ['worker_threads.Worker', () => new Worker('', { eval: true })],
      ['zlib.gzip', () => promisify(zlib.gzip)('x')],
      ['crypto.subtle.digest', () => crypto.subtle.digest('SHA-256', new Uint8Array(1))],
      ['crypto.pbkdf2', () => promisify(nodeCrypto.pbkdf2)('a', 'b', 1, 8, 'sha1')],
      ['fetch', () => fetch('http://localhost:1')],
      ['MessageChannel', () => new MessageChannel()],
    ]
    for (const [api, use] of uses) {
      // Whoever handles it goes on: a probe for a file is no failure of the run.
      const error = await stepOf(new Kernel(1), () => thrownBy(use))
      expect(error).toBeInstanceOf(SimulationLeak)
      expect(error).toMatchObject({ api })
      expect((error as SimulationLeak).site).toMatch(/tripwires\.test\.ts:\d+:\d+$/)
    }
    await stepOf(new Kernel(1), () => {
      expect(nodeCrypto.createHash('sha256').update('x').digest().length).toBe(32)
      expect(zlib.gzipSync('x').length).toBeGreaterThan(0)
      expect(new WeakRef({ a: 1 }).deref()).toEqual({ a: 1 })
    })
  })

  it('fetches by its owner where that can', async () => {
    const kernel = new Kernel(1)
    const owner = kernel.owner('shop-1')
    const ambient = kernel.ambientFor(owner)
    kernel.setAmbient(owner, { ...ambient, fetch: async () => new Response('from the shop') })
    const text = await stepOf(kernel, async () => (await fetch('http://shop')).text(), owner)
    expect(text).toBe('from the shop')
  })

  it('goes no further once its owner is dead', async () => {
    const kernel = new Kernel(1)
    const [ghost, alive] = [kernel.owner('ghost'), kernel.owner('alive')]
    const errors: unknown[] = []
    let wake = (): void => undefined
    const woken = new Promise<void>((resolve) => (wake = resolve))
    const haunt = async (): Promise<void> => {
      await woken
      for (const use of [Date.now, Math.random, () => setTimeout(() => undefined, 1)]) {
        errors.push(await thrownBy(() => use()))
      }
    }
    await kernel.run(
      new Promise<void>((resolve) => {
        kernel.after(1, 'haunt', ghost, () => void haunt())
        kernel.after(2, 'kill', kernel.world, () => kernel.kill(ghost))
        kernel.after(3, 'wake', alive, () => wake())
        kernel.after(4, 'end', kernel.world, resolve)
      }),
    )
    expect(errors.length).toBe(3)
    for (const error of errors) expect(error).toBeInstanceOf(DeadIncarnation)
  })
})

describe('tripwires: installed', () => {
  it('they leave everything as it was when the last one goes', () => {
    const before = snapshot()
    const [first, second] = [installTripwires(), installTripwires()]
    expect(snapshot()).not.toEqual(before)
    first()
    first()
    expect(snapshot()).not.toEqual(before)
    second()
    for (const [i, value] of snapshot().entries()) expect(value).toBe(before[i])
  })

  it('they leave when the run fails as well', async () => {
    const before = snapshot()
    await expect(new Kernel(1).run(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    for (const [i, value] of snapshot().entries()) expect(value).toBe(before[i])
  })
})

describe('tripwires: the watch over asynchronous resources', () => {
  it('fails a run that makes one by a way that nothing else guards', async () => {
    // Taken before the tripwires came, as a library does that was loaded earlier.
    const taken = fs.stat
    const stop = watchResources()
    try {
      const run = stepOf(new Kernel(1), async () => {
        taken('package.json', () => undefined)
        await waits(10)
      })
      await expect(run).rejects.toThrow(/the resource FSREQCALLBACK .*tripwires\.test\.ts:\d+/)
    } finally {
      stop()
    }
  })

  it('has nothing against promises, ticks, virtual timers and the kernel', async () => {
    const stop = watchResources()
    try {
      const kernel = new Kernel(1)
      await stepOf(kernel, async () => {
        await new Promise((resolve) => process.nextTick(resolve))
        await new Promise<void>((resolve) => queueMicrotask(resolve))
        for (let i = 0; i < 300; i++) await waits(10)
      })
      expect(kernel.events).toBeGreaterThan(300)
    } finally {
      stop()
    }
  })
})

function snapshot(): unknown[] {
  const functions = Object.getOwnPropertyDescriptors(process.hrtime)
  return [
    Date,
    Object.getOwnPropertyDescriptors(Date).now.value,
    functions.bigint.value,
    setTimeout,
    clearTimeout,
    Math.random,
    fetch,
    fs.readFile,
    readFileSync,
    readFile,
    waits,
    randomBytes,
    process.hrtime,
    WeakRef,
  ]
}
