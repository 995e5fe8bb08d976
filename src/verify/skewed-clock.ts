/**
 * Loaded into a node's process before all else (`node --import`): its wall clock is what a file says.
 * The monotonic clock stays true, as that of a machine does whose wall clock is set.
 */
import { readFileSync } from 'node:fs'
import type { Skew } from './nemesis.ts'

/** Names the file; without it clocks are true. */
export const CLOCK_FILE = 'HOLDFAST_VERIFY_CLOCK'
/** How often it is read, in milliseconds. */
const READ_MS = 50

const file = process.env[CLOCK_FILE]
const TrueDate = Date
let shiftMs = 0
let rate = 1
/** By the true clock. */
let sinceMs = TrueDate.now()
let known = ''

const now = (): number => {
  const trueMs = TrueDate.now()
  return Math.round(trueMs + shiftMs + (trueMs - sinceMs) * (rate - 1))
}

function read(path: string): void {
  const text = readFileSync(path, 'utf8')
  if (text === known || text === '') return
  known = text
  const skew = JSON.parse(text) as Skew
  sinceMs = TrueDate.now()
  shiftMs = skew.jumpMs
  rate = skew.rate
}

if (file !== undefined) {
  read(file)
  setInterval(() => read(file), READ_MS).unref()
  globalThis.Date = new Proxy(TrueDate, {
    apply: () => new TrueDate(now()).toString(),
    construct: (target, given: [], made) =>
      Reflect.construct(target, given.length === 0 ? [now()] : given, made) as Date,
    get: (target, name) => (name === 'now' ? now : (Reflect.get(target, name) as unknown)),
  })
}
