/**
 * Answers for crash images of the lmdb-js workers whether every ack is there: `lmdb-verify.mjs
 * <mode>`.
 */
import { createInterface } from 'node:readline'
import { openRows, violationsIn } from './lmdb-rows.mjs'

const mode = process.argv[2] ?? 'synced'

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ dir: string, acked: string[] }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const { dir, acked } = JSON.parse(line)
  let violations
  try {
    const db = openRows(dir, mode)
    violations = violationsIn(db, acked)
    await db.close()
  } catch (error) {
    violations = [`cannot be opened or read: ${String(error)}`]
  }
  process.stdout.write(`${JSON.stringify({ violations })}\n`)
}
