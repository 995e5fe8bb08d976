/**
 * Opens folders that were tampered with, reads all and checks. For each line {dir} it answers
 * {violations: [`opened <rows> <problems>`, or the code it was refused with]}.
 */
import { createInterface } from 'node:readline'
import { HoldfastError, open } from '../../dist/index.js'

/** @param {string} dir */
async function outcome(dir) {
  try {
    const db = await open({ dir })
    try {
      const rows = (await db.table('rows').query().toArray()).length
      const { problemCount } = await db.check()
      return `opened ${rows} ${problemCount}`
    } finally {
      await db.close()
    }
  } catch (error) {
    return error instanceof HoldfastError ? error.code : `uncoded ${String(error)}`
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ dir: string }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const { dir } = JSON.parse(line)
  process.stdout.write(`${JSON.stringify({ violations: [await outcome(dir)] })}\n`)
}
