/** S4, S8: a node that restarted decides as one that did not. */
import { describe, expect, test } from 'vitest'
import { entryKey } from '../../src/log/entry-store.ts'
import type { Node } from '../../src/shard/node.ts'
import { StoreBatch } from '../../src/store/store.ts'
import { only, put, Stage, stateOf } from './scripted-log.ts'

async function level(...nodes: Node[]): Promise<void> {
  const last = Math.max(...nodes.map((node) => node.loop.state.position))
  await Promise.all(nodes.map((node) => node.reached(last)))
}

/** Small enough that entries leave it all the time. */
const SIZE = { entries: 6, writes: 12 }

/** Puts, some of them conditional on reads that are older than others. */
async function work(stage: Stage, nodes: readonly Node[], rounds: number): Promise<string[]> {
  const draw = stage.kernel.random(`work/${stage.kernel.nowMs}`)
  const verdicts: string[] = []
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      nodes.map(async (node) => {
        const ops = Array.from({ length: draw.int(1, 3) }, () => {
          const readAt = Math.max(0, node.loop.flushed - draw.int(0, 12))
          return put(node, `k${draw.int(0, 9)}`, round, draw.float() < 0.6 ? readAt : -1)
        })
        const unique = ops.filter(({ key }, i) =>
          ops.slice(0, i).every((other) => Buffer.compare(other.key, key) !== 0),
        )
        verdicts.push((await node.proposer.propose(only(...unique))).verdict)
        // Refused, for there is no such table; but whoever read it is told.
        if (draw.float() < 0.2) {
          await node.proposer.command({ type: 'drop', table: draw.int(1, 3) })
        }
      }),
    )
  }
  return verdicts
}

describe('S8: the window of a node that restarted', () => {
  test.each([1, 2, 3, 4, 5])('is that of a node that did not, seed %i', (seed) =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      await a.proposer.command({ type: 'window', size: SIZE })
      const verdicts = await work(stage, [a, b], 25)
      await level(a, b)
      stage.kill(b)
      const again = await stage.started('b', b.store)
      await level(a, again)
      expect(stateOf(again)).toEqual(stateOf(a))
      verdicts.push(...(await work(stage, [a, again], 25)))
      await level(a, again)
      expect(stateOf(again)).toEqual(stateOf(a))
      // What is tested came up: all that can become of a transaction.
      expect(new Set(verdicts)).toEqual(new Set(['committed', 'conflict', 'stale']))
      expect(a.loop.state.windowFloor).toBeGreaterThan(0)
    }, seed),
  )

  test('judges what was read before the restart, and before its own session', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      const before = (await a.proposer.propose(only(put(a, 'k', 1)))).position
      const after = (await a.proposer.propose(only(put(a, 'k', 2)))).position
      await level(a, b)
      stage.kill(b)
      const again = await stage.started('b', b.store)
      const lost = await again.proposer.propose(only(put(again, 'k', 3, before)))
      const won = await again.proposer.propose(only(put(again, 'k', 3, after)))
      expect([lost.verdict, won.verdict]).toEqual(['conflict', 'committed'])
      await level(a, again)
      expect(stateOf(again)).toEqual(stateOf(a))
    }))

  test('finds the entries it is made of: no trim takes them', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      await a.proposer.command({ type: 'window', size: SIZE })
      await work(stage, [a, b], 10)
      await a.proposer.command({ type: 'trim', below: a.loop.flushed })
      await level(a, b)
      expect(a.loop.state.trimmed).toBe(a.loop.state.windowFloor + 1)
      await Promise.all([a.janitor.run(), b.janitor.run()])
      stage.kill(b)
      const again = await stage.started('b', b.store)
      await level(a, again)
      expect(stateOf(again)).toEqual(stateOf(a))
    }))

  test('says so when one of them is gone', () =>
    Stage.run(async (stage) => {
      const a = await stage.started('a')
      const { position } = await a.proposer.propose(only(put(a, 'k', 1)))
      stage.kill(a)
      await removeEntry(a, position)
      await expect(stage.started('a', a.store)).rejects.toMatchObject({ code: 'StoreCorrupt' })
    }))
})

async function removeEntry(node: Node, position: number): Promise<void> {
  const batch = new StoreBatch()
  batch.remove(entryKey(position, 0))
  await node.store.write(batch)
}
