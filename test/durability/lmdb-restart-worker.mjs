/**
 * Kills a writer as soon as its commit is readable, and acks what the next process reads:
 * `lmdb-restart-worker.mjs <folder> <mode> <rounds> [sync-at-open]`.
 */
import { fork } from 'node:child_process'
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { lastBatch, openRows, putBatch } from './lmdb-rows.mjs'

const [folder = '.', mode = 'synced', rounds = '5', role = ''] = process.argv.slice(2)
const path = join(folder, 'data.mdb')

async function writeThenDie() {
  const db = openRows(folder, mode)
  const id = lastBatch(db) + 1
  for (let more = 0; more < 3; more++) await putBatch(db, id + more)
  void putBatch(db, id + 3)
  for (;;) {
    for (let look = 0; look < 1_000; look++) {
      db.resetReadTxn()
      if (lastBatch(db) === id + 3) process.kill(process.pid, 'SIGKILL')
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function reopenAndAck() {
  const writer = fork(process.argv[1] ?? '', [folder, mode, rounds, 'write'])
  await new Promise((resolve) => writer.once('exit', resolve))
  const db = openRows(folder, mode)
  if (role === 'sync-at-open') {
    const fd = openSync(path, 'r+')
    fdatasyncSync(fd)
    closeSync(fd)
  }
  const last = lastBatch(db)
  for (; acked < last; acked++) writeSync(1, `ack ${acked + 1}\n`)
  await db.close()
}

let acked = -1
if (role === 'write') await writeThenDie()
else for (let round = 0; round < Number(rounds); round++) await reopenAndAck()
