// S8, S7: what the log no longer has comes from peers, whatever lies in it, and from sound ones alone.
import { describe, expect, test } from 'vitest'
import { findPeers } from '../../src/shard/catch-up/peers.ts'
import { encodeGenesis } from '../../src/shard/genesis.ts'
import { parentOf } from '../../src/shard/lineage.ts'
import type { Node } from '../../src/shard/node.ts'
import { only, put, Stage, stateOf } from './scripted-log.ts'

async function writes(node: Node, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await node.proposer.propose(only(put(node, `k${n % 7}`, n)))
}

/** Waits until `node` has what `of` has. */
async function expectSame(node: Node, of: Node): Promise<void> {
  await node.reached(of.loop.state.position)
  await of.reached(node.loop.state.position)
  expect(stateOf(node)).toEqual(stateOf(of))
}

describe('entries that the log no longer has', () => {
  test('come from a peer past frames that are empty', () =>
    Stage.run(async (stage) => {
      const a = await stage.started('a')
      await writes(a, 5)
      stage.log.inject(new Uint8Array())
      await writes(a, 5)
      stage.log.trim(stage.log.frames.length)
      await expectSame(await stage.started('b'), a)
    }))

  test('come from a peer whose history went on under another log, also to who has a part of it', () =>
    Stage.run(async (stage) => {
      let [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      await writes(a, 5)
      const early = b.store
      stage.kill(b)
      await writes(a, 5)
      const { shards } = a.loop.state
      for (const byte of [7, 8]) {
        const genesis = { shards, timeMs: 0, alone: false, parent: parentOf(a.loop.state) }
        stage.kill(a)
        stage.log.inject(encodeGenesis(new Uint8Array(16).fill(byte), genesis))
        a = await stage.started('a', a.store)
        await writes(a, 5)
      }
      stage.log.trim(stage.log.frames.length)
      b = await stage.started('b', early)
      await expectSame(b, a)
    }))
})

describe('a peer whose history is in doubt', () => {
  test('gives nothing of it', () =>
    Stage.run(async (stage) => {
      const names = ['a', 'b', 'c']
      const nodes: Node[] = []
      for (const name of names) nodes.push(await stage.started(name))
      await writes(nodes[0] as Node, 5)
      const bus = await stage.bus('asker')
      const asked = async (): Promise<string[]> => {
        const offers = await findPeers(stage.env, bus, 'asker')
        return offers.map(({ incarnation }) => incarnation).toSorted()
      }
      const told = (...of: Node[]): string[] => of.map(({ incarnation }) => incarnation).toSorted()
      expect(await asked()).toEqual(told(...nodes))
      const [a, b, c] = nodes as [Node, Node, Node]
      const position = stage.log.frames.length + 1
      stage.log.shows = (client, at, frame) =>
        at === position && client === 'c' ? Uint8Array.of(1) : frame
      stage.log.inject(Uint8Array.of(7, 7, 7))
      await stage.sleep(2_000)
      expect(c.loop.halted).toBeUndefined()
      expect(await asked()).toEqual(told(a, b))
      await stage.sleep(10_000)
      expect(c.loop.halted?.code).toBe('HistoryDiverged')
      expect(await asked()).toEqual(told(a, b))
      // Who begins now is of the majority's history.
      stage.log.trim(stage.log.frames.length)
      await expectSame(await stage.started('d'), a)
    }))
})
