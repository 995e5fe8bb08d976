// What acks are said to be worth is what was last read, and it is read again in time.

import { expect, it } from 'vitest'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { systemEnv } from '../core/system-env.ts'
import type { DurabilityReading } from './jetstream-durability.ts'
import { DurabilityWatch } from './jetstream-durability-watch.ts'

type Worth = DurabilityReading['durability']

const reading = (durability: Worth, unanswered: string[] = []): DurabilityReading => ({
  ...{ durability, unanswered, syncsAlways: new Map(), problems: [] },
})

/** A watch whose readings the test gives, and whose timers it lets ring. */
function watched(first: DurabilityReading) {
  let next: () => Promise<DurabilityReading> = () => Promise.resolve(first)
  let timer: { readonly delayMs: number; readonly ring: () => void } | undefined
  const after: Env['timers']['after'] = (delayMs, callback) => {
    const mine = (timer = { delayMs, ring: callback })
    return () => {
      if (timer === mine) timer = undefined
    }
  }
  const env: Env = { ...systemEnv, timers: { ...systemEnv.timers, after } }
  const watch = new DurabilityWatch(env, () => next())
  return {
    watch,
    delayMs: () => timer?.delayMs,
    /** What is read from now on; lets the timer ring. */
    ring: async (read: () => Promise<DurabilityReading>): Promise<Worth> => {
      next = read
      timer?.ring()
      await new Promise(setImmediate)
      return watch.worth
    },
    gives: (read: () => Promise<DurabilityReading>) => (next = read),
  }
}

it('follows what is read each minute, and sooner while a server does not answer', async () => {
  const { watch, ring, delayMs } = watched(reading('quorum-fsynced'))
  await watch.start()
  expect([watch.worth, delayMs()]).toEqual(['quorum-fsynced', 60_000])
  expect(await ring(() => Promise.resolve(reading('quorum')))).toBe('quorum')
  expect(delayMs()).toBe(60_000)
  const partly = reading('quorum-fsynced', ['nats-2'])
  expect(await ring(() => Promise.resolve(partly))).toBe('quorum-fsynced')
  expect(delayMs()).toBe(5_000)
})

it('holds what was read while nobody can be asked, and trusts no server that is too old', async () => {
  const { watch, ring, delayMs } = watched(reading('quorum-fsynced'))
  await watch.start()
  const silent = new HoldfastError('LogUnavailable', 'no leader')
  expect(await ring(() => Promise.reject(silent))).toBe('quorum-fsynced')
  expect(delayMs()).toBe(5_000)
  const old = new HoldfastError('EngineUnsupported', 'too old')
  expect(await ring(() => Promise.reject(old))).toBe('quorum')
})

it('reads once more for what was asked while it read, and no more when stopped', async () => {
  const { watch, gives, delayMs } = watched(reading('quorum-fsynced'))
  await watch.start()
  let reads = 0
  gives(() => Promise.resolve(reading(++reads === 1 ? 'quorum-fsynced' : 'quorum')))
  await Promise.all([watch.refresh(), watch.refresh(), watch.refresh()])
  await new Promise(setImmediate)
  expect([reads, watch.worth]).toEqual([2, 'quorum'])
  watch.stop()
  await watch.refresh()
  expect([reads, delayMs()]).toEqual([2, undefined])
})
