/** Answers for crash images of a database whether every ack is there: `database-verify.mjs`. */
import { createInterface } from 'node:readline'
import { openRows, violationsIn } from './database-rows.mjs'

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ dir: string, acked: string[] }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const { dir, acked } = JSON.parse(line)
  let violations
  try {
    const db = await openRows(dir)
    violations = await violationsIn(db, acked)
    await db.close()
  } catch (error) {
    violations = [`cannot be opened or read: ${String(error)}`]
  }
  process.stdout.write(`${JSON.stringify({ violations })}\n`)
}
