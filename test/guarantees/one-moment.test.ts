/** User code never acts, and never settles, on a state that never was (S4). */
import { afterEach, describe, expect, test } from 'vitest'
import { strong, unvalidated } from '../../src/index.ts'
import { cleanUp, FaultyStore, later, onBothStores, openInside, sleep, within } from './harness.ts'

interface Cell {
  k: string
  v: number
}
const cells = strong({ row: unvalidated<Cell>(), key: 'k', indexes: { byV: 'v' } })

onBothStores('a transaction that only reads', (openAt) => {
  test('sees one state although others write between its reads', async () => {
    const db = await openAt({ cells })
    await db.cells.putMany([
      { k: 'x', v: 0 },
      { k: 'y', v: 0 },
    ])
    let done = false
    const writer = (async () => {
      for (let v = 1; !done; v++) {
        await db.transact(async (tx) => {
          await tx.cells.put({ k: 'x', v })
          await tx.cells.put({ k: 'y', v })
        })
        // Whoever reads over several turns must have a chance between two writes.
        await sleep(v % 5)
      }
    })()
    const pauses = [later, () => sleep(0), () => Promise.resolve(), () => sleep(1)]
    const torn: string[] = []
    for (let i = 0; i < 300; i++) {
      const pause = pauses[i % pauses.length] as () => Promise<void>
      const seen = await db.transact(async (tx) => {
        const x = (await tx.cells.get('x'))?.v
        await pause()
        const y = (await tx.cells.get('y'))?.v
        return { x, y }
      })
      if (seen.x !== seen.y) torn.push(`${seen.x} and ${seen.y}`)
    }
    done = true
    await writer
    expect(torn).toEqual([])
  })

  test('sees a row that it reads twice unchanged', async () => {
    const db = await openAt({ cells })
    await db.cells.put({ k: 'x', v: 0 })
    let first = true
    const seen = await db.transact(async (tx) => {
      const a = (await tx.cells.get('x'))?.v
      if (first) await db.cells.put({ k: 'x', v: 1 })
      first = false
      const b = (await tx.cells.get('x'))?.v
      return [a, b]
    })
    expect(seen[0]).toBe(seen[1])
  })

  test('settles what it throws only over one state', async () => {
    const db = await openAt({ cells })
    await db.cells.putMany([
      { k: 'x', v: 0 },
      { k: 'y', v: 0 },
    ])
    let first = true
    const run = db.transact(async (tx) => {
      const x = (await tx.cells.get('x'))?.v
      if (first) {
        first = false
        await db.transact(async (other) => {
          await other.cells.put({ k: 'x', v: 1 })
          await other.cells.put({ k: 'y', v: 1 })
        })
      }
      const y = (await tx.cells.get('y'))?.v
      if (x !== y) throw new Error('a state that never was')
      return x
    })
    expect(await run).toBe(1)
  })
})

describe('a state that is visible before it is reported', () => {
  cleanUp()
  let store: FaultyStore | undefined
  afterEach(() => store?.letGo())

  test('is not mixed with the one before', async () => {
    store = new FaultyStore()
    const { db } = await openInside({ cells }, { store })
    await db.cells.putMany([
      { k: 'x', v: 0 },
      { k: 'y', v: 0 },
    ])
    let attempts = 0
    const seen = await db.transact(async (tx) => {
      const held = store as FaultyStore
      const x = (await tx.cells.get('x'))?.v
      if (attempts++ === 0) {
        held.hold()
        void db.transact(async (other) => {
          await other.cells.put({ k: 'x', v: 1 })
          await other.cells.put({ k: 'y', v: 1 })
        })
        await sleep(5)
      }
      const y = (await tx.cells.get('y'))?.v
      return [x, y]
    })
    store.letGo()
    expect(seen[0]).toBe(seen[1])
  })

  test('does not keep a reader of one hot row from ever settling', async () => {
    const { db } = await openInside({ cells })
    await db.cells.put({ k: 'x', v: 0 })
    let done = false
    const writers = Array.from({ length: 64 }, async () => {
      while (!done) await db.cells.increment('x', {})
    })
    for (let i = 0; i < 50; i++)
      await within(
        2_000,
        db.transact((tx) => tx.cells.get('x')),
      )
    done = true
    await Promise.all(writers)
    expect((await db.cells.get('x'))?.k).toBe('x')
  })
})

test.each(['rows', 'a range of an index', 'a table'])(
  'reads of %s from before the window are not taken for one state',
  async (what) => {
    const { db, node } = await openInside({ cells })
    await node.proposer.command({ type: 'window', size: { entries: 4, writes: 1000 } })
    await db.cells.putMany([
      { k: 'x', v: 0 },
      { k: 'y', v: 0 },
    ])
    let attempts = 0
    const seen = await db.transact(async (tx) => {
      const first =
        what === 'rows'
          ? (await tx.cells.get('x'))?.v
          : what === 'a table'
            ? (await tx.cells.query({ lt: 'xx' }).toArray()).at(-1)?.v
            : (await tx.cells.query({ index: 'byV', gte: 1 }).toArray()).length
      if (attempts++ === 0) {
        await db.transact(async (other) => {
          await other.cells.put({ k: 'x', v: 1 })
          await other.cells.put({ k: 'y', v: 1 })
        })
        // Enough entries that the window forgets the keys.
        for (let i = 0; i < 1_200; i++) await db.cells.put({ k: `a${i}`, v: -1 })
      }
      return [first, (await tx.cells.get('y'))?.v]
    })
    expect(seen).toEqual(what === 'a range of an index' ? [2, 1] : [1, 1])
    await db.close()
  },
)

test('a transaction that writes is stale, and tried again, when its reads are older than the window', async () => {
  const { db, node } = await openInside({ cells })
  await node.proposer.command({ type: 'window', size: { entries: 4, writes: 1000 } })
  await db.cells.put({ k: 'x', v: 0 })
  let attempts = 0
  await db.transact(async (tx) => {
    const x = (await tx.cells.get('x'))?.v ?? 0
    if (attempts++ === 0) for (let i = 0; i < 8; i++) await db.cells.put({ k: `o${i}`, v: i })
    await tx.cells.put({ k: 'x', v: x + 1 })
  })
  expect(attempts).toBe(2)
  expect((await db.cells.get('x'))?.v).toBe(1)
  await db.close()
})
