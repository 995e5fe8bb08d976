// How the cost of random puts and gets grows with the number of rows, beside lmdb's own.

/**
 * @typedef {object} GrowthResult
 * @property {'put.1024' | 'get.local'} name
 * @property {string} system
 * @property {number} rows
 * @property {number} opsPerSecond
 * @property {number} microsecondsEach
 */

import { Child, freshFolder, removeFolder } from './child.mjs'
import { say } from './prepare.mjs'
import { median } from './table.mjs'

const ROUNDS = 3
const NAMES = /** @type {const} */ (['put.1024', 'get.local'])

/**
 * @param {{ systems: readonly string[], sizes: readonly number[], seconds: number }} options
 * @returns {Promise<GrowthResult[]>}
 */
export async function measureGrowth({ systems, sizes, seconds }) {
  /** @type {GrowthResult[]} */
  const results = []
  /** @type {{ system: string, folder: string, child: Child }[]} */
  const running = []
  for (const system of systems) {
    const folder = freshFolder()
    running.push({ system, folder, child: await Child.start(system, folder) })
  }
  let loaded = 0
  for (const rows of sizes.toSorted((a, b) => a - b)) {
    for (const { system, child } of running) {
      say(`${system}: from ${loaded} to ${rows} rows`)
      await child.ask({ type: 'load', from: loaded, to: rows })
    }
    loaded = rows
    for (const name of NAMES) results.push(...(await measureSize(name, rows, seconds, running)))
  }
  for (const { child, folder } of running) {
    await child.close()
    removeFolder(folder)
  }
  return results
}

/**
 * @param {(typeof NAMES)[number]} name
 * @param {number} rows
 * @param {number} seconds
 * @param {readonly { system: string, child: Child }[]} running
 * @returns {Promise<GrowthResult[]>}
 */
async function measureSize(name, rows, seconds, running) {
  /** @type {Map<string, number[]>} */
  const rates = new Map()
  const ms = (seconds * 1000) / ROUNDS
  for (let round = 0; round < ROUNDS; round++) {
    for (const { system, child } of running) {
      /** @type {{ operations: number, elapsedMs: number }[]} */
      const answers = await child.ask({ type: 'round', name, rows, ms })
      const answer = answers[0]
      if (answer === undefined) continue
      const rate = (answer.operations / answer.elapsedMs) * 1000
      rates.set(system, [...(rates.get(system) ?? []), rate])
    }
  }
  return [...rates].map(([system, taken]) => {
    const opsPerSecond = Math.round(median(taken))
    const microsecondsEach = Number((1e6 / opsPerSecond).toPrecision(3))
    return { name, system, rows, opsPerSecond, microsecondsEach }
  })
}
