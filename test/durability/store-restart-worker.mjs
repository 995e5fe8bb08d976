/**
 * Kills a writer as soon as its commit is readable, and acks what the next process reads in the
 * store; with `reading` in a snapshot of one who only reads, as a backup does:
 * `store-restart-worker.mjs <folder> <rounds> [reading]`.
 */
import { fork } from 'node:child_process'
import { writeSync } from 'node:fs'
import { systemEnv } from '../../dist/core/system-env.js'
import { openLmdbReader } from '../../dist/store/lmdb-reader.js'
import { openLmdbStore } from '../../dist/store/lmdb-store.js'
import { StoreBatch } from '../../dist/store/store.js'

const [folder = '.', rounds = '5', role = ''] = process.argv.slice(2)

/** @param {number} id */
const keyOf = (id) => Buffer.from(`row ${String(id).padStart(6, '0')}`)

/** @param {import('../../dist/store/store.js').StoreReader} store */
function lastIn(store) {
  let last = -1
  store.scan({ reverse: true, limit: 1 }, (key) => {
    last = Number(Buffer.from(key).toString().slice(4))
  })
  return last
}

/**
 * @param {import('../../dist/store/store.js').Store} store
 * @param {number} id
 */
function writeRow(store, id) {
  const batch = new StoreBatch()
  batch.put(keyOf(id), Buffer.alloc(300, id))
  return store.write(batch)
}

async function writeThenDie() {
  const store = openLmdbStore({ env: systemEnv, dir: folder })
  const id = lastIn(store) + 1
  for (let more = 0; more < 3; more++) await writeRow(store, id + more)
  void writeRow(store, id + 3)
  for (;;) {
    for (let look = 0; look < 200; look++) {
      if (store.get(keyOf(id + 3)) !== undefined) process.kill(process.pid, 'SIGKILL')
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function reopenAndAck() {
  const writer = fork(process.argv[1] ?? '', [folder, rounds, 'write'])
  await new Promise((resolve) => writer.once('exit', resolve))
  const store = openLmdbStore({ env: systemEnv, dir: folder })
  const last = lastIn(store)
  for (; acked < last; acked++) writeSync(1, `ack ${acked + 1}\n`)
  await store.close()
}

async function readAndAck() {
  const writer = fork(process.argv[1] ?? '', [folder, rounds, 'write'])
  await new Promise((resolve) => writer.once('exit', resolve))
  const store = openLmdbReader(folder)
  const last = lastIn(store.snapshot())
  for (; acked < last; acked++) writeSync(1, `ack ${acked + 1}\n`)
  await store.close()
}

let acked = -1
if (role === 'write') await writeThenDie()
else {
  const read = role === 'reading' ? readAndAck : reopenAndAck
  for (let round = 0; round < Number(rounds); round++) await read()
}
