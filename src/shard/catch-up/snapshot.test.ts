import { describe, expect, it } from 'vitest'
import type { Bus } from '../../bus/bus.ts'
import { openLocalHub } from '../../bus/local-bus.ts'
import type { Bytes } from '../../core/bytes.ts'
import { systemEnv as env } from '../../core/system-env.ts'
import { encodeState } from '../log-state.ts'
import { Node } from '../node.ts'
import { openMemoryLog } from '../../log/memory-log.ts'
import { openMemoryStore } from '../../store/memory-store.ts'
import type { Store } from '../../store/store.ts'
import { only, put } from '../../../test/shared-log/scripted-log.ts'
import { CHANGE_SPACE, ROW_SPACE } from '../layout.ts'
import { restoreWindow } from '../restore-window.ts'
import { findPeers } from './peers.ts'
import { decodePiece, PieceQueue } from './snapshot-pieces.ts'
import { receiveSnapshot } from './snapshot-receiver.ts'

/** A node with rows, and what an empty store becomes of its snapshot, its pieces changed on the way. */
async function received(
  change: (key: Bytes, value: Bytes) => Bytes | undefined = (_, value) => value,
): Promise<{ readonly giver: Node; readonly store: Store }> {
  const hub = openLocalHub(env)
  const options = { env, store: openMemoryStore(env), openLog: () => openMemoryLog(env) }
  const giver = new Node({ ...options, bus: hub.connect() })
  await giver.start(4)
  const bus = hub.connect()
  try {
    for (let n = 0; n < 300; n++) await giver.proposer.propose(only(put(giver, `k${n}`, n)))
    const [offer] = await findPeers(env, bus, 'asker')
    if (offer === undefined) throw new Error('nobody answered')
    const store = openMemoryStore(env)
    const changed: Bus = Object.assign(Object.create(bus) as Bus, {
      request: async (...asked: Parameters<Bus['request']>) =>
        resealed(await bus.request(...asked), change),
    })
    await receiveSnapshot({ bus: changed, asker: 'asker', offer, store })
    return { giver, store }
  } finally {
    await giver.close().catch(() => undefined)
    await bus.close()
  }
}

async function resealed(
  bytes: Bytes,
  change: (key: Bytes, value: Bytes) => Bytes | undefined,
): Promise<Bytes> {
  const { records, isLast } = decodePiece(bytes)
  const queue = new PieceQueue()
  for (const [key, value] of records) {
    const changed = change(key, value)
    if (changed !== undefined) queue.add('rows', key, changed)
  }
  if (!isLast) throw new Error('the samples fit one piece')
  queue.end()
  return queue.next()
}

const notWhole = { code: 'StoreCorrupt' }

describe('a snapshot of a peer', () => {
  it('gives state, rows and window as the peer has them', async () => {
    const { giver, store } = await received()
    const state = giver.loop.state
    const window = restoreWindow(store, state)
    expect(window.fingerprint()).toEqual(giver.loop.window.fingerprint())
    expect(encodeState(state).length).toBeGreaterThan(0)
    let rows = 0
    store.scan({ gte: Uint8Array.of(ROW_SPACE), lt: Uint8Array.of(ROW_SPACE + 1) }, () => {
      rows++
    })
    expect(rows).toBe(300)
  })

  it('is refused when a row is missing, or is not what was written', async () => {
    let seen = 0
    const without = (key: Bytes, value: Bytes): Bytes | undefined =>
      key[0] === ROW_SPACE && seen++ === 7 ? undefined : value
    await expect(received(without)).rejects.toMatchObject(notWhole)
    const damaged = (key: Bytes, value: Bytes): Bytes =>
      key[0] === ROW_SPACE ? Buffer.concat([value.subarray(0, -1), Uint8Array.of(1)]) : value
    await expect(received(damaged)).rejects.toMatchObject(notWhole)
  })

  it('is refused without the entries that later ones are judged by', async () => {
    const without = (key: Bytes, value: Bytes): Bytes | undefined =>
      key[0] === 0x02 ? undefined : value
    await expect(received(without)).rejects.toMatchObject(notWhole)
    let records = 0
    const one = (key: Bytes, value: Bytes): Bytes | undefined =>
      key[0] === CHANGE_SPACE && records++ === 3 ? undefined : value
    await expect(received(one)).rejects.toMatchObject(notWhole)
  })

  it('is refused when a piece is not what was sent', () => {
    const queue = new PieceQueue()
    queue.add('rows', Uint8Array.of(1), Uint8Array.of(2))
    queue.end()
    return queue.next().then((piece) => {
      for (let at = 0; at < piece.length; at++) {
        const flipped = Uint8Array.from(piece)
        flipped[at] = (flipped[at] ?? 0) ^ 1
        expect(() => decodePiece(flipped)).toThrow(/not what was sent/)
      }
    })
  })
})
