import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Kernel } from '../kernel.ts'
import { Realm } from './realm.ts'
import { virtualAbortSignal, virtualDate, virtualIntl, virtualTimers } from './time.ts'

interface Timer {
  refresh(): void
  hasRef(): boolean
  unref(): void
}

interface Globals {
  readonly setTimeout: (
    callback: (...args: unknown[]) => void,
    ms?: unknown,
    ...args: unknown[]
  ) => Timer
  setInterval(callback: () => void, ms?: number): Timer
  clearTimeout(timer: unknown): void
  clearInterval(timer: unknown): void
}

interface Promises {
  setTimeout<T>(ms: number, value?: T, options?: { signal: AbortSignal }): Promise<T>
  setInterval<T>(ms: number, value: T): AsyncIterable<T>
}

interface World {
  readonly kernel: Kernel
  readonly realm: Realm
  readonly timers: Globals
  readonly promises: Promises
  readonly uncaught: unknown[]
  readonly sleep: (ms: number) => Promise<void>
}

function simulated<T>(work: (world: World) => Promise<T>): Promise<T> {
  const kernel = new Kernel(1)
  const owner = kernel.owner('node-1#1')
  const uncaught: unknown[] = []
  const realm = new Realm({
    owner,
    as: (of, inner) => kernel.as(of, inner),
    ambient: kernel.ambientFor(owner),
    code: { mapStack: (stack) => stack, callSite: () => undefined },
    onLine: () => undefined,
    onUncaught: (error) => uncaught.push(error),
  })
  const { globals, promises } = virtualTimers(realm)
  const sleep = (ms: number) =>
    new Promise<void>((resolve) => {
      kernel.after(ms, 'sleep', kernel.world, resolve)
    })
  const timers = globals as unknown as Globals
  const world = {
    kernel,
    realm,
    timers,
    promises: promises as unknown as Promises,
    uncaught,
    sleep,
  }
  return kernel.run(() => work(world))
}

describe('timers', () => {
  it('fire once at their time with their arguments, and never sooner than 1 ms', async () => {
    const fired = await simulated(async ({ kernel, timers, sleep }) => {
      const seen: unknown[] = []
      timers.setTimeout((...args) => seen.push([kernel.nowMs, ...args]), 50, 'a', 'b')
      timers.setTimeout(() => seen.push([kernel.nowMs]))
      timers.setTimeout(() => seen.push([kernel.nowMs]), 2 ** 31)
      await sleep(500)
      return seen
    })
    expect(fired).toEqual([[1], [1], [50, 'a', 'b']])
  })

  it('are cleared by what was returned, or by its number, in their own callback too', async () => {
    const fired = await simulated(async ({ timers, sleep }) => {
      const seen: string[] = []
      timers.clearTimeout(timers.setTimeout(() => seen.push('object'), 10))
      timers.clearTimeout(Number(timers.setTimeout(() => seen.push('number'), 10)))
      const interval = timers.setInterval(() => {
        seen.push('interval')
        if (seen.length === 3) timers.clearInterval(Number(interval))
      }, 10)
      timers.clearTimeout(undefined)
      await sleep(500)
      return seen
    })
    expect(fired).toEqual(['interval', 'interval', 'interval'])
  })

  it('begin anew when they are refreshed', async () => {
    const firedAt = await simulated(async ({ kernel, timers, sleep }) => {
      const seen: number[] = []
      const timer = timers.setTimeout(() => seen.push(kernel.nowMs), 50)
      await sleep(40)
      timer.refresh()
      await sleep(500)
      return seen
    })
    expect(firedAt).toEqual([90])
  })

  it('report what a callback throws, and an interval goes on', async () => {
    const count = await simulated(async ({ timers, uncaught, sleep }) => {
      timers.setInterval(() => {
        throw new Error('again')
      }, 100)
      await sleep(350)
      return uncaught.length
    })
    expect(count).toBe(3)
  })

  it('are refused what is no function, as by Node', async () => {
    const call = simulated(async ({ timers, sleep }) => {
      await sleep(1)
      timers.setTimeout('code' as never)
    })
    await expect(call).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' })
  })

  it('are promises too: of util.promisify, and of timers/promises', async () => {
    const seen = await simulated(async ({ kernel, realm, timers, promises }) => {
      const value = await promisify(timers.setTimeout as never as typeof setTimeout)(30, 'later')
      const ticks: string[] = []
      for await (const tick of promises.setInterval(10, 'tick')) {
        if (ticks.push(tick) === 4) break
      }
      const atMs = kernel.nowMs
      const signal = virtualAbortSignal(realm).timeout(20)
      const aborted: unknown = await promises
        .setTimeout(1_000, 'never', { signal })
        .catch((error: unknown) => error)
      return { value, ticks, atMs, aborted, endMs: kernel.nowMs, reason: signal.reason as unknown }
    })
    expect(seen).toMatchObject({
      value: 'later',
      ticks: ['tick', 'tick', 'tick', 'tick'],
      atMs: 70,
      aborted: { name: 'AbortError', code: 'ABORT_ERR' },
      endMs: 90,
      reason: { name: 'TimeoutError' },
    })
  })
})

describe('dates', () => {
  it('are real ones that tell the virtual time', async () => {
    const seen = await simulated(async ({ realm, sleep }) => {
      await sleep(5_000)
      const VirtualDate = virtualDate(realm)
      class Stamp extends VirtualDate {}
      const now = new VirtualDate()
      const { DateTimeFormat } = virtualIntl(realm)
      return {
        iso: now.toISOString(),
        kinds: [now instanceof Date, now instanceof VirtualDate, new Stamp() instanceof Stamp],
        given: new VirtualDate(0).getTime() + new VirtualDate(2026, 0).getFullYear(),
        stamp: new Stamp().getTime() === VirtualDate.now(),
        text: VirtualDate() === now.toString(),
        utc: VirtualDate.UTC(2026, 0) - VirtualDate.parse('2026-01-01T00:00:00Z'),
        formatted: new DateTimeFormat('en', { timeZone: 'UTC', timeStyle: 'medium' }).format(),
        called: DateTimeFormat('en', { timeZone: 'UTC', year: 'numeric' }).format(0),
      }
    })
    expect(seen).toEqual({
      iso: '2026-01-01T00:00:05.000Z',
      kinds: [true, true, true],
      given: 2026,
      stamp: true,
      text: true,
      utc: 0,
      formatted: '12:00:05 AM',
      called: '1970',
    })
  })
})
