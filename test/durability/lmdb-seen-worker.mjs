/**
 * Tells when a commit becomes readable: `lmdb-seen-worker.mjs <folder> <mode> <commits> <reader>`.
 * Commits one key at a time and polls for it, writing `no <k>` for each look that did not find it
 * and `ack <k>` for the first that did. The reader is this thread, or another process.
 */
import { fork } from 'node:child_process'
import { writeSync } from 'node:fs'
import { openRows } from './lmdb-rows.mjs'

const [folder = '.', mode = 'synced', commits = '50', reader = 'self'] = process.argv.slice(2)
const db = openRows(folder, mode)
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** @param {number} key */
function looks(key) {
  for (let look = 0; look < 2_000; look++) {
    db.resetReadTxn()
    const found = db.get(`k${key}`) !== undefined
    writeSync(1, found ? `ack ${key}\n` : `no ${key}\n`)
    if (found) return true
  }
  return false
}

async function writeAndLook() {
  writeSync(1, 'begin\n')
  for (let key = 0; key < Number(commits); key++) {
    const written = db.put(`k${key}`, { id: key })
    await turn()
    while (!looks(key)) await turn()
    await written
  }
}

async function lookOnly() {
  for (let key = 0; key < Number(commits); key++) while (!looks(key)) await turn()
}

async function writeForOther() {
  const other = fork(process.argv[1] ?? '', [folder, mode, commits, 'look-only'], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = new Promise((resolve) => other.once('exit', resolve))
  await new Promise((resolve) => other.once('message', resolve))
  writeSync(1, 'begin\n')
  for (let key = 0; key < Number(commits); key++) {
    await db.put(`k${key}`, { id: key })
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  if ((await ended) !== 0) throw new Error('the reader failed')
}

if (reader === 'self') await writeAndLook()
else if (reader === 'other') await writeForOther()
else {
  process.send?.('ready')
  await lookOnly()
  process.disconnect()
}
await db.close()
