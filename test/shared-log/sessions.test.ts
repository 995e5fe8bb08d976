/** S3, S7, S9, S15: exactly once over a log that several nodes share and that answers badly. */
import { describe, expect, test } from 'vitest'
import { isHoldfastError } from '../../src/core/errors.ts'
import { encodeBatch, encodeControl } from '../../src/log/entry-codec.ts'
import type { Batch } from '../../src/log/entry.ts'
import type { Node } from '../../src/shard/node.ts'
import { only, put, Stage, stateOf, type Arrival } from './scripted-log.ts'

const isBatch = ({ entry }: Arrival): boolean => entry?.kind === 'batch'

/** Handles the first `count` batches so, and everything else as a log in order does. */
function first(stage: Stage, count: number, handle: (arrival: Arrival, nth: number) => void): void {
  let seen = 0
  stage.log.script = (arrival) => {
    if (isBatch(arrival) && seen < count) handle(arrival, seen++)
    else stage.log.take(arrival)
  }
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'none'
  } catch (cause) {
    if (!isHoldfastError(cause)) throw cause
    return `${cause.code}, applied ${cause.applied}`
  }
}

/** Batches of one node, as they lie in the log. */
function batchesIn(stage: Stage): Batch[] {
  return stage.log.entries().flatMap(({ entry }) => (entry.kind === 'batch' ? [entry] : []))
}

async function alike(...nodes: Node[]): Promise<void> {
  const last = Math.max(...nodes.map((node) => node.loop.state.position))
  await Promise.all(nodes.map((node) => node.reached(last)))
  const [one, ...others] = nodes.map(stateOf)
  for (const other of others) expect(other).toEqual(one)
}

describe('S3: a numbered batch', () => {
  test('whose ack was lost is sent again unchanged, applied once, and its caller told', () =>
    Stage.run(async (stage) => {
      const node = await stage.started('a')
      first(stage, 1, (arrival) => {
        arrival.place()
        arrival.reject('OutcomeUnknown')
      })
      const fate = await node.proposer.propose(only(put(node, 'k', 1)))
      expect(fate.verdict).toBe('committed')
      await stage.sleep(10_000)
      expect(batchesIn(stage)).toHaveLength(1)
    }))

  test('that was refused for a moment is sent again with the same id and the same bytes', () =>
    Stage.run(async (stage) => {
      const node = await stage.started('a')
      first(stage, 3, (arrival) => arrival.reject('LogUnavailable'))
      await node.proposer.propose(only(put(node, 'k', 1)))
      const sent = stage.log.arrivals.filter(isBatch)
      expect(sent).toHaveLength(4)
      expect(new Set(sent.map(({ messageId }) => messageId)).size).toBe(1)
      expect(new Set(sent.map(({ frame }) => Buffer.from(frame).toString('hex'))).size).toBe(1)
    }))

  test('that the log has twice, because its ids were forgotten, is applied once', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      first(stage, 2, (arrival, nth) => {
        const position = arrival.place()
        if (nth === 1) arrival.ack(position)
        else arrival.reject('OutcomeUnknown')
      })
      const applied: number[] = []
      b.loop.listen({
        halted: () => undefined,
        applied: ({ decision }) => {
          if (decision.kind === 'batch' && decision.admission === 'apply')
            applied.push(decision.batch.number)
        },
      })
      const fate = await a.proposer.propose(only(put(a, 'k', 1)))
      for (const { frame, messageId } of stage.log.arrivals.filter(isBatch)) {
        stage.log.inject(frame, messageId)
      }
      const later = await a.proposer.propose(only(put(a, 'k', 2)))
      expect(batchesIn(stage).length).toBeGreaterThan(2)
      expect(later.position).toBeGreaterThan(fate.position)
      expect(a.loop.state.sessions.get(a.proposer.session)?.number).toBe(2)
      await alike(a, b)
      expect(applied).toEqual([1, 2])
    }))

  test('that overtook the one before it is refused, and sent again behind it', () =>
    Stage.run(async (stage) => {
      const node = await stage.started('a')
      first(stage, 1, (arrival) => arrival.reject('LogUnavailable'))
      const fates: Promise<{ position: number }>[] = []
      for (let i = 0; i < 5; i++) {
        // Each its own entry: commands go alone, and each turn's entries go together.
        fates.push(node.proposer.command({ type: 'trim', below: 0 }))
      }
      const positions = (await Promise.all(fates)).map(({ position }) => position)
      expect(positions).toEqual([...positions].sort((x, y) => x - y))
      const applied = node.loop.state.sessions.get(node.proposer.session)
      expect(applied?.number).toBe(5)
      const attempts = stage.log.arrivals
        .filter(isBatch)
        .map(({ entry, messageId }) => `${(entry as Batch).number}.${messageId.at(-1)}`)
      // The first keeps its id: nothing was read of it. The others were read, and refused.
      expect(attempts.slice(0, 6)).toEqual(['1.1', '2.1', '3.1', '4.1', '5.1', '1.1'])
      expect(attempts.slice(6)).toEqual(['2.2', '3.2', '4.2', '5.2'])
    }))

  test('that was acked and is not in the log is sent again, with another id', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      first(stage, 1, (arrival) => arrival.ack(stage.log.frames.length + 1))
      const lost = a.proposer.propose(only(put(a, 'k', 1)))
      await stage.sleep(1)
      await b.proposer.propose(only(put(b, 'other', 1)))
      expect((await lost).verdict).toBe('committed')
      const ids = stage.log.arrivals
        .filter((arrival) => arrival.client === 'a' && isBatch(arrival))
        .map(({ messageId }) => messageId.at(-1))
      expect(ids).toEqual(['1', '2'])
    }))

  test('names log, session, number, attempt and digest to the engine', () =>
    Stage.run(async (stage) => {
      const node = await stage.started('a')
      await node.proposer.propose(only(put(node, 'k', 1)))
      const { messageId } = stage.log.arrivals.find(isBatch) as Arrival
      const digest = Buffer.from((batchesIn(stage)[0] as Batch).digest).toString('hex')
      const identity = Buffer.from(node.loop.state.identity).toString('hex')
      expect(messageId).toBe(`${identity}.${node.proposer.session}.1.${digest}.1`)
    }))
})

describe('S3: a session', () => {
  test('that somebody closed is abandoned: what was not applied goes on in the next, once', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      const old = a.proposer.session
      const held: Arrival[] = []
      first(stage, 2, (arrival) => held.push(arrival))
      const one = a.proposer.command({ type: 'trim', below: 0 })
      const two = a.proposer.propose(only(put(a, 'k', 7)))
      await stage.sleep(5)
      expect(held).toHaveLength(2)
      const close = encodeControl(a.loop.state.identity, { kind: 'close', session: old })
      stage.log.inject(close)
      // They were on their way, and come too late.
      await stage.sleep(5)
      for (const arrival of held) arrival.ack(arrival.place())
      const fates = await Promise.all([one, two])
      expect(fates[1].verdict).toBe('committed')
      expect(a.proposer.session).toBeGreaterThan(old)
      expect(a.loop.state.sessions.get(old)?.number).toBe(0)
      expect(a.loop.state.sessions.get(a.proposer.session)?.number).toBe(2)
      await alike(a, b)
    }))

  test('whose number was applied with bytes of another is closed, and the next one goes on', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      const old = a.proposer.session
      // A forked machine: the same session, other bytes.
      const { frame } = encodeBatch(a.loop.state.identity, {
        session: old,
        number: 1,
        settledBelow: 1,
        carried: a.loop.state,
        nonce: new Uint8Array(16).fill(9),
        timeMs: 1,
        commands: [],
        transactions: [only(put(a, 'k', 666))],
      })
      let held: Arrival | undefined
      first(stage, 1, (arrival) => (held = arrival))
      const fate = a.proposer.propose(only(put(a, 'mine', 1)))
      await stage.sleep(5)
      stage.log.inject(frame)
      held?.ack(held.place())
      expect((await fate).verdict).toBe('committed')
      expect(a.proposer.session).toBeGreaterThan(old)
      expect(a.loop.state.sessions.get(old)).toMatchObject({ open: false, number: 1 })
      expect(a.loop.state.sessions.get(a.proposer.session)).toMatchObject({ number: 1 })
      await alike(a, b)
    }))

  test('is opened once, although the entry that opens it comes twice', () =>
    Stage.run(async (stage) => {
      stage.log.script = (arrival) => {
        if (arrival.entry?.kind !== 'open') return stage.log.take(arrival)
        arrival.place()
        arrival.place()
        arrival.reject('OutcomeUnknown')
      }
      const node = await stage.started('a')
      await stage.sleep(5_000)
      expect([...node.loop.state.sessions.keys()]).toEqual([node.proposer.session])
    }))

  test('of an earlier incarnation is closed at the next start, those of other nodes stay open', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      const [old, other] = [a.proposer.session, b.proposer.session]
      await a.proposer.propose(only(put(a, 'k', 1)))
      stage.kill(a)
      const again = await stage.started('a', a.store)
      expect(again.id).toBe(a.id)
      expect(again.id).not.toBe(b.id)
      const open = [...again.loop.state.sessions.values()].filter((session) => session.open)
      expect(open.map(({ id }) => id).sort((x, y) => x - y)).toEqual([
        other,
        again.proposer.session,
      ])
      expect(again.loop.state.sessions.get(old)?.open).toBe(false)
      const fate = await b.proposer.propose(only(put(b, 'k', 2)))
      expect(fate.verdict).toBe('committed')
      await alike(again, b)
    }))

  test('is closed when its node closes', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      const { session } = a.proposer
      await a.close()
      await b.barrier()
      expect(b.loop.state.sessions.get(session)?.open).toBe(false)
    }))
})

describe('S9: a log without an answer', () => {
  test('leaves outcomes unknown at the deadline, refuses at once after 10 s, and goes on by itself', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      stage.log.script = (arrival) => arrival.reject('LogUnavailable')
      const before = stage.kernel.nowMs
      const sent = codeOf(a.proposer.propose(only(put(a, 'k', 1))))
      await stage.sleep(9_000)
      // Younger than 10 s: it waits, behind the first one.
      const waiting = a.proposer.propose(only(put(a, 'k', 2)))
      const read = codeOf(a.barrier({ deadlineMs: 3_000 }))
      await stage.sleep(1_500)
      const refused = 'LogUnavailable, applied no'
      expect(await codeOf(a.proposer.propose(only(put(a, 'k', 3))))).toBe(refused)
      expect(await codeOf(a.barrier())).toBe(refused)
      expect(stage.kernel.nowMs - before).toBeLessThan(10_600)
      expect(await read).toBe('DeadlineExceeded, applied no')
      expect(await sent).toBe('OutcomeUnknown, applied unknown')
      stage.log.script = (arrival) => stage.log.take(arrival)
      expect((await waiting).verdict).toBe('committed')
      // What was unknown was applied in the end: its number could not be left out.
      expect(a.loop.state.sessions.get(a.proposer.session)?.number).toBe(2)
      expect(await codeOf(a.proposer.propose(only(put(a, 'k', 4))))).toBe('none')
      await alike(a, b)
    }))

  test('leaves what was sent unknown when the node closes before its deadline', () =>
    Stage.run(async (stage) => {
      const node = await stage.started('a')
      stage.log.script = () => undefined
      const sent = codeOf(node.proposer.propose(only(put(node, 'k', 1)), { deadlineMs: 60_000 }))
      await stage.sleep(5)
      const unsent = codeOf(node.proposer.propose(only(put(node, 'k', 2)), { deadlineMs: 60_000 }))
      await node.close()
      expect(await sent).toBe('OutcomeUnknown, applied unknown')
      expect(await unsent).toBe('Closed, applied no')
    }))

  test('leaves what was never sent not applied', () =>
    Stage.run(async (stage) => {
      const node = await stage.started('a')
      stage.log.script = () => undefined
      const sent = codeOf(node.proposer.propose(only(put(node, 'k', 1)), { deadlineMs: 1_000 }))
      await stage.sleep(5)
      const staged = codeOf(node.proposer.propose(only(put(node, 'k', 2)), { deadlineMs: 1_000 }))
      expect(await sent).toBe('OutcomeUnknown, applied unknown')
      expect(await staged).toBe('DeadlineExceeded, applied no')
      stage.log.script = (arrival) => stage.log.take(arrival)
      expect((await node.proposer.propose(only(put(node, 'k', 3)))).verdict).toBe('committed')
      expect(batchesIn(stage).map(({ number }) => number)).toEqual([1, 2])
    }))
})

describe('S15: a new log', () => {
  test('is founded once by nodes that all start on it, and frames before it are nothing', () =>
    Stage.run(async (stage) => {
      stage.log.inject(Uint8Array.from(Buffer.from('a stray message of somebody else')))
      // Each has looked, and found nothing, when the first genesis gets its place.
      const held: Arrival[] = []
      stage.log.script = (arrival) => {
        if (arrival.entry?.kind !== 'genesis') stage.log.take(arrival)
        else if (held.push(arrival) === 3) for (const one of held) stage.log.take(one)
      }
      const nodes = await Promise.all(['a', 'b', 'c'].map((name) => stage.started(name)))
      const identities = nodes.map((node) => Buffer.from(node.loop.state.identity).toString('hex'))
      expect(new Set(identities).size).toBe(1)
      const offered = stage.log.entries().filter(({ entry }) => entry.kind === 'genesis')
      expect(offered).toHaveLength(3)
      const fates = await Promise.all(
        nodes.map((node) => node.proposer.propose(only(put(node, node.id, 1)))),
      )
      expect(fates.map(({ verdict }) => verdict)).toEqual(Array(3).fill('committed'))
      // The stray, and two geneses that came late.
      expect(nodes[0]?.loop.state.foreign).toBe(3)
      await alike(...nodes)
    }))

  test('that others founded is joined, and offered no other genesis', () =>
    Stage.run(async (stage) => {
      await stage.started('a')
      await stage.started('b')
      const offered = stage.log.entries().filter(({ entry }) => entry.kind === 'genesis')
      expect(offered).toHaveLength(1)
    }))
})

describe('S7: a node halts', () => {
  test('at an ack for a place that was taken before it sent', () =>
    Stage.run(async (stage) => {
      const node = await stage.started('a')
      first(stage, 1, (arrival) => arrival.ack(node.loop.state.position))
      const sent = codeOf(node.proposer.propose(only(put(node, 'k', 1))))
      // What is in the log may be applied, by others.
      expect(await sent).toBe('OutcomeUnknown, applied unknown')
      expect(await codeOf(node.proposer.propose(only(put(node, 'k', 2))))).toBe(
        'Halted, applied no',
      )
      expect(node.loop.halted?.message).toMatch(/went back/)
      expect(await codeOf(node.barrier())).toBe('Halted, applied no')
    }))

  test('at an entry that carries another history, also one from a while ago', () =>
    Stage.run(async (stage) => {
      const [a, b] = await Promise.all([stage.started('a'), stage.started('b')])
      const { position, entryChain } = a.loop.state
      const carried = { position, entryChain, decisionChain: new Uint8Array(16).fill(1) }
      for (let i = 0; i < 20; i++) await a.proposer.propose(only(put(a, 'k', i)))
      const draft = {
        session: b.proposer.session,
        number: 1,
        settledBelow: 1,
        nonce: new Uint8Array(16).fill(9),
        timeMs: 1,
        commands: [],
        transactions: [],
      }
      stage.log.inject(encodeBatch(a.loop.state.identity, { ...draft, carried }).frame)
      await stage.sleep(100)
      expect(a.loop.halted?.message).toMatch(/another history/)
      expect(b.loop.halted?.code).toBe('EntryCorrupt')
    }))

  test('at an entry that carries a position that is not below its own', () =>
    Stage.run(async (stage) => {
      const node = await stage.started('a')
      const { position, ...chains } = node.loop.state
      const draft = {
        session: node.proposer.session,
        number: 1,
        settledBelow: 1,
        carried: { ...chains, position: position + 1 },
        nonce: new Uint8Array(16).fill(9),
        timeMs: 1,
        commands: [],
        transactions: [],
      }
      stage.log.inject(encodeBatch(node.loop.state.identity, draft).frame)
      await stage.sleep(100)
      expect(node.loop.halted?.message).toMatch(/the log went back/)
    }))
})
