/**
 * Does to a bare store what it is told, one order of JSON a line, and answers each with a line.
 *
 *   {do: 'open', dir, segmentBytes}  `opened <batches>`, `opened torn <n>`, or `refused <code>`
 *   {do: 'write', batches}           `ack <n>` or `fail <n> <code> <applied>` for each, then `done`
 *   {do: 'close'}                    `closed`, or `unclosed <code>`, then `ended`
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { HoldfastError } from '../../dist/core/errors.js'
import { systemEnv } from '../../dist/core/system-env.js'
import { openLmdbStore } from '../../dist/store/lmdb-store.js'
import { StoreBatch } from '../../dist/store/store.js'
import { pairsOf, stateOf } from './journal-rows.mjs'

/** Writes on their way at once. */
const LANES = 6

/** @param {string} line */
const say = (line) => writeSync(1, `${line}\n`)

/** @param {unknown} error */
function codeOf(error) {
  if (!(error instanceof HoldfastError)) throw error
  return `${error.code} ${error.applied}`
}

/** @type {import('../../dist/store/store.js').Store | undefined} */
let store
let next = 1

/**
 * @param {string} dir
 * @param {number} segmentBytes
 */
function open(dir, segmentBytes) {
  try {
    store = openLmdbStore({ env: systemEnv, dir, segmentBytes })
    const state = stateOf(store)
    next = Number(state) + 1
    say(`opened ${state}`)
  } catch (error) {
    say(`refused ${codeOf(error)}`)
  }
}

/** @param {number} until */
async function writeSome(until) {
  while (next <= until) {
    const n = next++
    const batch = new StoreBatch()
    for (const { key, value } of pairsOf(n)) {
      if (value === undefined) batch.remove(key)
      else batch.put(key, value)
    }
    try {
      await store?.write(batch)
      say(`ack ${n}`)
    } catch (error) {
      say(`fail ${n} ${codeOf(error)}`)
    }
  }
}

async function close() {
  try {
    await store?.close()
    say('closed')
  } catch (error) {
    say(`unclosed ${codeOf(error)}`)
  }
  say('ended')
}

/** @typedef {{ do: 'open', dir: string, segmentBytes: number }} Open */
/** @typedef {Open | { do: 'write', batches: number } | { do: 'close' }} Order */

say('ready')
for await (const line of createInterface({ input: process.stdin })) {
  /** @type {Order} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const order = JSON.parse(line)
  if (order.do === 'open') open(order.dir, order.segmentBytes)
  else if (order.do === 'close') await close()
  else {
    const until = next + order.batches
    await Promise.all(Array.from({ length: LANES }, () => writeSome(until - 1)))
    say('done')
  }
}
