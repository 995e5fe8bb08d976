/** S6: after a barrier, whatever was acked before it began can be read here. */
import { describe, expect, test } from 'vitest'
import { encodeControl } from '../../src/log/entry-codec.ts'
import type { Node } from '../../src/shard/node.ts'
import { only, put, Stage, type Arrival } from './scripted-log.ts'

const kindOf = ({ entry }: Arrival): string | undefined => entry?.kind

function barriers(stage: Stage): number {
  return stage.log.arrivals.filter((arrival) => kindOf(arrival) === 'barrier').length
}

/** Whether it has resolved, a few turns from now. */
async function hasSettled(stage: Stage, call: Promise<unknown>): Promise<boolean> {
  let settled = false
  void call.then(() => (settled = true))
  await stage.sleep(5)
  return settled
}

async function pair(stage: Stage): Promise<[Node, Node]> {
  return Promise.all([stage.started('a'), stage.started('b')])
}

describe('S6: a barrier', () => {
  test('reaches every write that was acked before it, on whatever node', () =>
    Stage.run(async (stage) => {
      const [a, b] = await pair(stage)
      for (let i = 0; i < 20; i++) {
        const { position } = await a.proposer.propose(only(put(a, 'k', i)))
        expect(await b.barrier()).toBeGreaterThan(position)
        expect(b.loop.visible()).toBeGreaterThan(position)
      }
    }))

  test('is one entry for all the readers of a turn, and none where a write goes along', () =>
    Stage.run(async (stage) => {
      const [a] = await pair(stage)
      await Promise.all(Array.from({ length: 100 }, () => a.barrier()))
      expect(barriers(stage)).toBe(1)
      const write = a.proposer.propose(only(put(a, 'k', 1)))
      const positions = await Promise.all([a.barrier(), a.barrier()])
      const { position } = await write
      expect(positions).toEqual([position, position])
      expect(barriers(stage)).toBe(1)
    }))

  test('is not joined by a read that begins after it was sent, also when it is sent again', () =>
    Stage.run(async (stage) => {
      const [a, b] = await pair(stage)
      const held: Arrival[] = []
      stage.log.script = (arrival) => {
        if (kindOf(arrival) !== 'barrier') stage.log.take(arrival)
        else held.push(arrival)
      }
      const early = a.barrier()
      await stage.sleep(1)
      const { position } = await b.proposer.propose(only(put(b, 'k', 1)))
      const late = a.barrier()
      await stage.sleep(1)
      expect(held).toHaveLength(2)
      // The first one had its place before the write, and is rejected: sent again, it finds it.
      held[0]?.reject('OutcomeUnknown')
      await stage.sleep(500)
      expect(held[2]?.messageId).toBe(held[0]?.messageId)
      held[2]?.ack(held[2].place())
      expect(await hasSettled(stage, early)).toBe(true)
      expect(await hasSettled(stage, late)).toBe(false)
      held[1]?.ack(held[1].place())
      expect(await late).toBeGreaterThan(position)
    }))

  test('does not go along with a write that was sent before it began', () =>
    Stage.run(async (stage) => {
      const [a] = await pair(stage)
      const held: Arrival[] = []
      stage.log.script = (arrival) => {
        if (kindOf(arrival) === 'batch') held.push(arrival)
        else stage.log.take(arrival)
      }
      const write = a.proposer.propose(only(put(a, 'k', 1)))
      await stage.sleep(1)
      const read = a.barrier()
      held[0]?.ack(held[0].place())
      expect(await read).not.toBe((await write).position)
      expect(barriers(stage)).toBe(1)
    }))

  test('waits for its entry, whatever position an ack names', () =>
    Stage.run(async (stage) => {
      const [a, b] = await pair(stage)
      let held: Arrival | undefined
      stage.log.script = (arrival) => {
        if (kindOf(arrival) !== 'barrier') return stage.log.take(arrival)
        held = arrival
        arrival.ack(stage.log.frames.length + 1)
      }
      const read = a.barrier()
      await stage.sleep(1)
      await b.proposer.propose(only(put(b, 'k', 1)))
      expect(await hasSettled(stage, read)).toBe(false)
      held?.place()
      expect(await hasSettled(stage, read)).toBe(true)
    }))

  test('is served by an entry that was refused, too', () =>
    Stage.run(async (stage) => {
      const [a] = await pair(stage)
      let batches = 0
      stage.log.script = (arrival) => {
        // The first batch does not arrive for a while; the second one overtakes it.
        if (kindOf(arrival) === 'batch' && batches++ === 0) return
        stage.log.take(arrival)
      }
      const first = a.proposer.command({ type: 'trim', below: 0 })
      const second = a.proposer.command({ type: 'trim', below: 0 })
      await stage.sleep(5)
      const third = a.proposer.command({ type: 'trim', below: 0 })
      const read = a.barrier()
      expect(await hasSettled(stage, read)).toBe(true)
      expect(a.loop.state.sessions.get(a.proposer.session)?.number).toBe(0)
      const fates = await Promise.all([first, second, third])
      expect(await read).toBeLessThan(Math.min(...fates.map(({ position }) => position)))
    }))

  test('outlives the session whose batch it went along with', () =>
    Stage.run(async (stage) => {
      const [a, b] = await pair(stage)
      const held: Arrival[] = []
      stage.log.script = (arrival) => {
        if (kindOf(arrival) === 'batch' && held.length === 0) held.push(arrival)
        else stage.log.take(arrival)
      }
      const write = a.proposer.propose(only(put(a, 'k', 1)))
      const read = a.barrier()
      await stage.sleep(1)
      const { session } = a.proposer
      stage.log.inject(encodeControl(a.loop.state.identity, { kind: 'close', session }))
      expect((await write).position).toBe(await read)
      expect(b.loop.halted).toBeUndefined()
    }))

  test('ends when the caller aborts, and when the node closes', () =>
    Stage.run(async (stage) => {
      const [a] = await pair(stage)
      stage.log.script = () => undefined
      const abort = new AbortController()
      const aborted = a.barrier({ signal: abort.signal })
      abort.abort('enough')
      await expect(aborted).rejects.toMatchObject({ code: 'Cancelled' })
      const left = a.barrier()
      const ended = left.catch((cause: unknown) => cause)
      await a.close()
      expect(await ended).toMatchObject({ code: 'Closed' })
    }))
})
