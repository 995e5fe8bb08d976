// S7: nodes that were given different logs find it out by what they tell each other.
import { describe, expect, test } from 'vitest'
import { encodeHeartbeat } from '../../src/cluster/heartbeat.ts'
import { heartbeat } from '../../src/cluster/heartbeat-samples.contract.ts'
import { hex } from '../../src/core/bytes.ts'
import { isHoldfastError } from '../../src/core/errors.ts'
import { encodeControl } from '../../src/log/entry-codec.ts'
import { IDEMPOTENCY_DEFINITION } from '../../src/shard/definitions.ts'
import type { Node } from '../../src/shard/node.ts'
import { statusOf } from '../../src/table/status.ts'
import { only, put, Stage } from './scripted-log.ts'

const codeOf = (cause: unknown): string => (isHoldfastError(cause) ? cause.code : String(cause))

/** Starts nodes, and has `odd` of them given another entry than the others, which is nobody's. */
async function divided(
  stage: Stage,
  names: readonly string[],
  odd: (name: string) => number,
): Promise<Node[]> {
  const nodes: Node[] = []
  for (const name of names) nodes.push(await stage.started(name))
  await Promise.all(nodes.map((node, n) => node.proposer.propose(only(put(node, 'k', n)))))
  const position = stage.log.frames.length + 1
  stage.log.shows = (client, at, frame) =>
    at === position ? Uint8Array.of(...frame, odd(client)) : frame
  stage.log.inject(Uint8Array.of(7, 7, 7))
  await Promise.all(nodes.map((node) => node.reached(position)))
  return nodes
}

const isHalted = (node: Node): string | undefined => node.loop.halted?.code

describe('nodes of different histories', () => {
  test('the minority halts by name, and tells; the others go on', () =>
    Stage.run(async (stage) => {
      const nodes = await divided(stage, ['a', 'b', 'c'], (name) => (name === 'c' ? 1 : 0))
      const [a, b, c] = nodes as [Node, Node, Node]
      await stage.sleep(1_000)
      // The others know that they are more; this one waits for somebody to speak for it.
      expect(nodes.map(({ peers }) => peers?.withholds)).toEqual([false, false, true])
      await stage.sleep(9_000)
      expect(nodes.map(isHalted)).toEqual([undefined, undefined, 'HistoryDiverged'])
      expect(c.loop.halted?.details).toMatchObject({ agree: [], differ: ['a', 'b'] })
      expect(a.peers?.members().map(({ heartbeat }) => heartbeat.halted?.code)).toEqual([
        undefined,
        'HistoryDiverged',
      ])
      // It answers from what it has.
      expect(c.store.get(c.refOfKey(IDEMPOTENCY_DEFINITION, 'k').storeKey)).toBeDefined()
      for (const node of [a, b]) {
        await node.proposer.propose(only(put(node, 'later', 1)))
        expect(await node.barrier()).toBe(node.loop.flushed)
      }
    }))

  test('without a majority all halt, and none of them acks', () =>
    Stage.run(async (stage) => {
      const nodes = await divided(stage, ['a', 'b'], (name) => (name === 'b' ? 1 : 0))
      await stage.sleep(1_000)
      const calls = nodes.map((node) => node.proposer.propose(only(put(node, 'x', 1))))
      const ends = await Promise.all(calls.map((call) => call.then(() => 'acked', codeOf)))
      expect(ends).toEqual(['Halted', 'Halted'])
      expect(nodes.map(isHalted)).toEqual(['HistoryDiverged', 'HistoryDiverged'])
    }))

  test('nothing is acked while it is not known who is right', () =>
    Stage.run(async (stage) => {
      const names = ['a', 'b', 'c']
      const nodes = await divided(stage, names, (name) => names.indexOf(name))
      const [a] = nodes as [Node]
      await stage.sleep(1_000)
      expect(nodes.map(({ peers }) => peers?.withholds)).toEqual([true, true, true])
      const end = await a.barrier({ deadlineMs: 2_000 }).then(() => 'answered', codeOf)
      expect(end).not.toBe('answered')
      await stage.sleep(10_000)
      expect(nodes.map(isHalted)).toEqual(names.map(() => 'HistoryDiverged'))
    }))
})

describe('a node that halted', () => {
  test('keeps others from acking until they have read what it had', () =>
    Stage.run(async (stage) => {
      const a = await stage.started('a')
      const b = await stage.started('b')
      stage.log.lag('b')
      await a.proposer.propose(only(put(a, 'k', 1)))
      const call = b.proposer.propose(only(put(b, 'k', 2)))
      let isAcked = false
      void call.then(() => (isAcked = true))
      await a.proposer.propose(only(put(a, 'k', 3)))
      a.loop.halt(new Error('as scripted'))
      await stage.sleep(600)
      expect(b.peers?.withholds).toBe(true)
      // It is given all but the last one.
      const { last } = { last: stage.log.frames.length }
      const whole = stage.log.frames.splice(last - 1)
      stage.log.catchUp('b')
      await b.reached(last - 1)
      await stage.sleep(600)
      expect([isAcked, b.peers?.withholds]).toEqual([false, true])
      for (const frame of whole) stage.log.inject(frame)
      await call
      expect(b.peers?.withholds).toBe(false)
      expect(b.loop.halted).toBeUndefined()
    }))

  test('has calls that wait for it end at their deadlines, by what is known of them', () =>
    Stage.run(async (stage) => {
      const a = await stage.started('a')
      const b = await stage.started('b')
      await a.proposer.propose(only(put(a, 'k', 1)))
      stage.log.lag('b')
      const deadlineMs = 3_000
      const sent = b.proposer.propose(only(put(b, 'k', 2)), { deadlineMs }).catch(codeOf)
      const read = b.barrier({ deadlineMs }).catch(codeOf)
      await a.proposer.propose(only(put(a, 'k', 3)))
      a.loop.halt(new Error('as scripted'))
      await stage.sleep(600)
      // It reads its own entry back, and not yet the one behind it.
      const whole = stage.log.frames.splice(stage.log.frames.length - 1)
      stage.log.catchUp('b')
      await b.reached(stage.log.frames.length)
      const before = stage.log.frames.length
      const later = b.proposer.propose(only(put(b, 'k', 4)), { deadlineMs }).catch(codeOf)
      expect([await sent, await read]).toEqual(['OutcomeUnknown', 'DeadlineExceeded'])
      expect(await later).toBe('DeadlineExceeded')
      expect(stage.log.frames.length).toBe(before)
      for (const frame of whole) stage.log.inject(frame)
      await b.reached(before + whole.length)
      expect((await b.proposer.propose(only(put(b, 'k', 5)))).verdict).toBe('committed')
    }))

  test('has an aborted call that waits for it told as sent, also when its session ended since', () =>
    Stage.run(async (stage) => {
      const a = await stage.started('a')
      const b = await stage.started('b')
      const { session } = b.proposer
      stage.log.lag('b')
      const aborter = new AbortController()
      const { signal } = aborter
      const call = b.proposer.propose(only(put(b, 'k', 2)), { signal }).then(() => 'acked', codeOf)
      await stage.sleep(10)
      // As a copy of the node's folder does when it is opened elsewhere.
      stage.log.inject(encodeControl(b.loop.state.identity, { kind: 'close', session }))
      const last = stage.log.frames.length
      await a.proposer.propose(only(put(a, 'k', 3)))
      a.loop.halt(new Error('as scripted'))
      await stage.sleep(600)
      stage.log.frames.splice(last)
      stage.log.catchUp('b')
      await b.reached(last)
      expect(b.peers?.withholds).toBe(true)
      aborter.abort()
      expect(await call).toBe('Aborted')
    }))

  test('of another log is waited for by nobody', () =>
    Stage.run(async (stage) => {
      const a = await stage.started('a')
      const at = { position: 1_000, entries: '00', decisions: '00' }
      const halted = { code: 'LogReset', message: 'as scripted' }
      const tell = async (log: string): Promise<unknown> => {
        a.bus?.publish('heartbeat', encodeHeartbeat(heartbeat('z', { log, halted, at })))
        await stage.sleep(100)
        return a.peers?.withholds
      }
      expect(await tell('ff')).toBe(false)
      const { nodes, copies, problems } = statusOf(a, undefined, [])
      expect([nodes.map(({ name, lag }) => [name, lag]), copies]).toEqual([[['a', 0]], 1])
      expect(problems.map(({ what }) => what)).toEqual([
        'node z reads another log of this database, and does not count',
      ])
      expect(await tell(hex(a.loop.state.identity))).toBe(true)
      expect(await tell('ff')).toBe(false)
      await a.proposer.propose(only(put(a, 'k', 1)))
    }))

  test('is told of by its heartbeats, with where it stopped', () =>
    Stage.run(async (stage) => {
      const a = await stage.started('a')
      const b = await stage.started('b')
      await a.proposer.propose(only(put(a, 'k', 1)))
      await b.reached(stage.log.frames.length)
      a.loop.halt(new Error('as scripted'))
      await stage.sleep(20_000)
      expect(b.peers?.members()).toMatchObject([
        {
          state: 'alive',
          heartbeat: { name: 'a', halted: { code: 'Bug' }, at: { position: b.loop.flushed } },
        },
      ])
      await b.proposer.propose(only(put(b, 'k', 2)))
    }))
})
