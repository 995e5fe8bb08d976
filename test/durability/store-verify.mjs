/** Answers for crash images of a bare store whether every acked row is there: `store-verify.mjs`. */
import { createInterface } from 'node:readline'
import { systemEnv } from '../../dist/core/system-env.js'
import { openLmdbStore } from '../../dist/store/lmdb-store.js'

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {{ dir: string, acked: string[] }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- our own words, from the parent
  const { dir, acked } = JSON.parse(line)
  const violations = []
  try {
    const store = openLmdbStore({ env: systemEnv, dir })
    for (const id of acked) {
      const found = store.get(Buffer.from(`row ${id.padStart(6, '0')}`))
      if (found === undefined || found[299] !== Number(id) % 256) violations.push(`ack ${id} lost`)
    }
    await store.close()
  } catch (error) {
    violations.push(`cannot be opened or read: ${String(error)}`)
  }
  process.stdout.write(`${JSON.stringify({ violations })}\n`)
}
