// Calls made at a rate, whether or not earlier ones have their answers. A call's latency counts from
// when it was due, so that what a stall delays is part of it (no coordinated omission).

import { setTimeout as sleep } from 'node:timers/promises'
import { Histogram } from './histogram.mjs'
import { sharedNowMs } from '../services/service.mjs'

/** How long it waits for calls that are due. */
const TICK_MS = 1

/** @typedef {import('./measures.mjs').Round} Round */

/** @param {number} perSecond @param {number} ms @param {() => Promise<unknown>} call @returns {Promise<Round>} */
export async function pace(perSecond, ms, call) {
  const latencies = new Histogram()
  const startMs = performance.now()
  const count = Math.round((perSecond * ms) / 1000)
  /** @type {unknown[]} */
  const failures = []
  let settled = 0
  /** @type {(value?: undefined) => void} */
  let done = () => undefined
  const all = new Promise((resolve) => (done = resolve))
  const settle = () => {
    if (++settled === count) done()
  }
  for (let number = 0; number < count;) {
    const dueNow = ((performance.now() - startMs) * perSecond) / 1000
    for (; number < count && number <= dueNow; number++) {
      const dueMs = startMs + (number * 1000) / perSecond
      call().then(
        () => {
          latencies.add(performance.now() - dueMs)
          settle()
        },
        (/** @type {unknown} */ error) => {
          failures.push(error)
          settle()
        },
      )
    }
    await sleep(TICK_MS)
  }
  if (count > 0) await all
  if (failures.length > 0) throw failures[0]
  return { name: 'pace', operations: count, elapsedMs: performance.now() - startMs, latencies }
}

/** @typedef {{ maxMs: number, failed: number }} Pause */

/** A call each `everyMs`, until it is stopped; tells how long callers of a time had to wait. */
export class Probe {
  /** @type {{ dueMs: number, tookMs: number | undefined, failed: boolean }[]} */
  #calls = []
  #timer

  /** @param {number} everyMs @param {() => Promise<unknown>} call */
  constructor(everyMs, call) {
    let nextMs = sharedNowMs()
    this.#timer = setInterval(() => {
      for (; nextMs <= sharedNowMs(); nextMs += everyMs) {
        /** @type {{ dueMs: number, tookMs: number | undefined, failed: boolean }} */
        const made = { dueMs: nextMs, tookMs: undefined, failed: false }
        this.#calls.push(made)
        call().then(
          () => (made.tookMs = sharedNowMs() - made.dueMs),
          () => {
            made.failed = true
            made.tookMs = sharedNowMs() - made.dueMs
          },
        )
      }
    }, everyMs)
  }

  /** The longest wait among the calls that were due in a time, once all of them have their answer. @param {number} fromMs @param {number} toMs @returns {Promise<Pause>} */
  async pause(fromMs, toMs) {
    const some = this.#calls.filter(({ dueMs }) => dueMs >= fromMs && dueMs < toMs)
    while (some.some(({ tookMs }) => tookMs === undefined)) await sleep(TICK_MS)
    this.#calls = this.#calls.filter(({ dueMs }) => dueMs >= toMs)
    return {
      maxMs: Math.max(0, ...some.map(({ tookMs = 0 }) => tookMs)),
      failed: some.filter(({ failed }) => failed).length,
    }
  }

  /** Resolves once nothing is on its way. */
  async stop() {
    clearInterval(this.#timer)
    await this.pause(-Infinity, Infinity)
  }
}
