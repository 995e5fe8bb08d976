// S7, S15: a history goes on under a new log, from exactly one place, and what was said of it stays true.
import { describe, expect, it } from 'vitest'
import type { Bytes } from '../core/bytes.ts'
import { DIGEST_BYTES } from '../core/hash.ts'
import { encodeControl } from '../log/entry-codec.ts'
import { encodeGenesis, type Parent } from './genesis.ts'
import { endOf, identityAt, parentOf, presentName } from './lineage.ts'
import { decodeState, emptyState, encodeState, type LogState } from './log-state.ts'
import { decide, type Decision } from './state-machine.ts'
import { Window } from './window.ts'

const id = (byte: number): Bytes => new Uint8Array(DIGEST_BYTES).fill(byte)
const [FIRST, SECOND, THIRD] = [id(1), id(2), id(3)]
const STRAY = Buffer.from('nobody knows')

class Machine {
  state: LogState = emptyState()
  window = new Window(0)

  next(frame: Bytes): Decision['kind'] {
    return decide(this.state, this.window, this.state.position + 1, frame).kind
  }

  /** An entry that counts for the log with this identity, and for no other. */
  barrier(identity: Bytes): Decision['kind'] {
    return this.next(encodeControl(identity, { kind: 'barrier', nonce: id(9) }))
  }

  goOn(identity: Bytes, parent: Partial<Parent> = {}): Decision['kind'] {
    const whole = { ...parentOf(this.state), ...parent }
    return this.next(encodeGenesis(identity, { shards: 4, timeMs: 1, alone: false, parent: whole }))
  }

  stored(): Machine {
    const machine = new Machine()
    machine.state = decodeState(encodeState(this.state), undefined)
    machine.window = new Window(machine.state.windowFloor)
    return machine
  }

  /** At position 3, in its first log. */
  static founded(): Machine {
    const machine = new Machine()
    machine.next(encodeGenesis(FIRST, { shards: 4, timeMs: 1, alone: true }))
    machine.barrier(FIRST)
    machine.barrier(FIRST)
    return machine
  }
}

describe('a genesis that names its parent', () => {
  it('takes the history over: what is of the log before counts no more', () => {
    const machine = Machine.founded()
    expect(machine.goOn(SECOND)).toBe('genesis')
    expect(machine.state).toMatchObject({ identity: SECOND, epoch: 2, alone: false, shards: 4 })
    expect(machine.barrier(FIRST)).toBe('foreign')
    expect(machine.barrier(SECOND)).toBe('barrier')
  })

  it('is the first one that does: another of the same place, or its own again, is a no-op', () => {
    const machine = Machine.founded()
    const parent = parentOf(machine.state)
    machine.goOn(SECOND)
    expect(machine.goOn(THIRD, parent)).toBe('foreign')
    expect(machine.goOn(SECOND, parent)).toBe('foreign')
    expect(machine.state).toMatchObject({ identity: SECOND, epoch: 2 })
  })

  it.each<[string, Partial<Parent>]>([
    ['an earlier position', { position: 2 }],
    ['a later position', { position: 4 }],
    ['another log', { identity: THIRD }],
    ['other entries', { entryChain: id(8) }],
    ['other decisions', { decisionChain: id(8) }],
  ])('is a no-op where it names %s', (_, parent) => {
    const machine = Machine.founded()
    expect(machine.goOn(SECOND, parent)).toBe('foreign')
    expect(machine.state).toMatchObject({ identity: FIRST, epoch: 1 })
  })

  it('founds nothing where there is no history', () => {
    const machine = new Machine()
    expect(machine.goOn(SECOND)).toBe('foreign')
    expect(machine.state.shards).toBe(0)
  })

  it("counts behind frames that are nobody's, also when the node was stored between them", () => {
    let machine = Machine.founded()
    const parent = parentOf(machine.state)
    for (let i = 0; i < 3; i++) {
      expect(machine.next(STRAY)).toBe('foreign')
      expect(parentOf(machine.state)).toEqual(parent)
      machine = machine.stored()
    }
    expect(machine.goOn(SECOND, parent)).toBe('genesis')
  })

  it('does not count once the log before it went on', () => {
    const machine = Machine.founded()
    const parent = parentOf(machine.state)
    machine.barrier(FIRST)
    expect(machine.goOn(SECOND, parent)).toBe('foreign')
  })

  it('that is damaged, or no genesis of ours inside, is a no-op and halts nobody', () => {
    const machine = Machine.founded()
    const genesis = { shards: 4, timeMs: 1, alone: false, parent: 5 as unknown as Parent }
    expect(machine.next(encodeGenesis(SECOND, genesis))).toBe('foreign')
    const damaged = Uint8Array.from(encodeGenesis(SECOND, { ...genesis }))
    damaged[damaged.length - 1] = 0xc1
    expect(machine.next(damaged)).toBe('foreign')
  })

  it("leaves the window empty: nobody's earlier read can be judged", () => {
    const machine = Machine.founded()
    machine.goOn(SECOND)
    expect(machine.state.windowFloor).toBe(machine.state.position)
  })
})

describe('a history of several logs', () => {
  /** Logs end at 3 and 6; the third one goes on. */
  function threeLogs(): Machine {
    const machine = Machine.founded()
    machine.goOn(SECOND)
    machine.barrier(SECOND)
    machine.barrier(SECOND)
    machine.goOn(THIRD)
    return machine.stored()
  }

  it('is stored and read back as it was, and one of a single log as it always was', () => {
    const { state } = threeLogs()
    expect(decodeState(encodeState(state), undefined)).toEqual(state)
    expect(encodeState(Machine.founded().state)[4]).toBe(1)
    expect(encodeState(state)[4]).toBe(2)
  })

  it('knows which log an entry is of', () => {
    const { state } = threeLogs()
    const identities = [3, 4, 6, 7].map((position) => identityAt(state, position))
    expect(identities).toEqual([FIRST, SECOND, SECOND, THIRD])
  })

  it('knows how far each log of it goes, by the name in tokens', () => {
    const names: string[] = []
    const machine = Machine.founded()
    for (const next of [SECOND, THIRD, id(4)]) {
      names.push(presentName(machine.state))
      machine.goOn(next)
    }
    expect(names.map((name) => endOf(machine.state, name))).toEqual([3, 4, 5])
    expect(endOf(machine.state, presentName(machine.state))).toBe(Number.POSITIVE_INFINITY)
    const copy = Machine.founded()
    copy.goOn(id(5))
    expect(endOf(copy.state, names[1] as string)).toBeUndefined()
    expect(endOf(machine.state, presentName(copy.state))).toBeUndefined()
  })

  it('forgets logs of long ago, and never takes another for one of them', () => {
    const machine = Machine.founded()
    const first = presentName(machine.state)
    for (let i = 10; i < 40; i++) machine.goOn(id(i))
    expect(endOf(machine.state, first)).toBeUndefined()
    expect(machine.state).toMatchObject({ epoch: 31, origin: FIRST })
    const last = machine.stored()
    expect(last.state.past).toHaveLength(16)
  })
})
