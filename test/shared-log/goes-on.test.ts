/** S7, S15: a log that goes on under another identity, as the nodes that read it see it. */
import { describe, expect, test } from 'vitest'
import { encodeGenesis } from '../../src/shard/genesis.ts'
import { identityAt, parentOf } from '../../src/shard/lineage.ts'
import type { Node } from '../../src/shard/node.ts'
import { only, put, Stage, stateOf } from './scripted-log.ts'

async function level(...nodes: Node[]): Promise<void> {
  const last = Math.max(...nodes.map((node) => node.loop.state.position))
  await Promise.all(nodes.map((node) => node.reached(last)))
}

/** Puts on all nodes at once, each conditional on what its node last read. */
async function work(stage: Stage, nodes: readonly Node[]): Promise<number> {
  const draw = stage.kernel.random(`work/${stage.kernel.nowMs}`)
  let committed = 0
  for (let round = 0; round < 10; round++) {
    const fates = nodes.map((node) => {
      const readAt = draw.float() < 0.5 ? node.loop.flushed : -1
      return node.proposer.propose(only(put(node, `k${draw.int(0, 5)}`, round, readAt)))
    })
    for (const { verdict } of await Promise.all(fates)) if (verdict === 'committed') committed++
  }
  return committed
}

function genesisAfter({ loop: { state } }: Node, byte: number): Uint8Array {
  const genesis = { shards: state.shards, timeMs: 0, alone: false, parent: parentOf(state) }
  return encodeGenesis(new Uint8Array(16).fill(byte), genesis)
}

describe('S15: a log that goes on under another identity', () => {
  test('stops the nodes that run by name: what they send counts for nobody any more', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      await work(stage, [a, b])
      await level(a, b)
      stage.log.inject(genesisAfter(a, 7))
      const late = a.proposer.propose(only(put(a, 'late', 1)))
      await expect(late).rejects.toMatchObject({ code: 'OutcomeUnknown', applied: 'unknown' })
      await stage.sleep(100)
      for (const { loop } of [a, b]) expect(loop.halted).toMatchObject({ code: 'LogMismatch' })
    }))

  test.each([1, 2, 3])('is the same for all who open it, however often, seed %i', (seed) =>
    Stage.run(async (stage) => {
      let [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      expect(await work(stage, [a, b])).toBeGreaterThan(0)
      await level(a, b)
      const before = a.loop.state.position
      for (const byte of [7, 8]) {
        const old = stage.log.frames.at(-1) as Uint8Array
        const [first, second] = [genesisAfter(a, byte), genesisAfter(a, byte + 10)]
        for (const node of [a, b]) stage.kill(node)
        stage.log.inject(Uint8Array.of(1, 2, 3))
        stage.log.inject(first)
        // Too late, and of the log before: both are nobody's.
        stage.log.inject(second)
        stage.log.inject(old)
        a = await stage.started('a', a.store)
        b = await stage.started('b', b.store)
        expect(a.loop.state.identity).toEqual(new Uint8Array(16).fill(byte))
        expect(await work(stage, [a, b])).toBeGreaterThan(0)
        await level(a, b)
        expect(stateOf(a)).toEqual(stateOf(b))
      }
      stage.kill(b)
      b = await stage.started('b', b.store)
      await level(a, b)
      expect(stateOf(b)).toEqual(stateOf(a))
      expect(a.loop.state.epoch).toBe(3)
      expect(identityAt(a.loop.state, before)).toEqual(a.loop.state.origin)
    }, seed),
  )
})
