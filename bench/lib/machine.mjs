// What the figures were taken on.

import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { freshFolder, removeFolder } from './child.mjs'

/**
 * @typedef {object} Machine
 * @property {string} cpu
 * @property {number} cores
 * @property {number} memoryBytes
 * @property {string} node
 * @property {string} kernel
 * @property {number} fsyncP50Ms
 */

/** @returns {Machine} */
export function describeMachine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
    kernel: `${process.platform} ${release()}`,
    fsyncP50Ms: fsyncP50Ms(),
  }
}

const SYNCS = 200
const PAGE = 4096

/** The median time of a write of one page and its fdatasync, where the measures write. */
function fsyncP50Ms() {
  const folder = freshFolder()
  const file = openSync(join(folder, 'probe'), 'w')
  const page = Buffer.alloc(PAGE, 1)
  /** @type {number[]} */
  const took = []
  for (let i = 0; i < SYNCS; i++) {
    const start = performance.now()
    writeSync(file, page, 0, PAGE, i * PAGE)
    fdatasyncSync(file)
    took.push(performance.now() - start)
  }
  closeSync(file)
  removeFolder(folder)
  took.sort((a, b) => a - b)
  return Number((took[SYNCS >> 1] ?? 0).toFixed(3))
}
