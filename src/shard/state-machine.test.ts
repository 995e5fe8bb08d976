import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hex, type Bytes } from '../core/bytes.ts'
import { crc32, DIGEST_BYTES, digest64 } from '../core/hash.ts'
import { encodeBatch, encodeControl, type BatchDraft } from '../log/entry-codec.ts'
import { prefixOf, type Op, type Transaction } from '../log/entry.ts'
import { HIDDEN_TABLES, type TableDefinition } from './definitions.ts'
import {
  decodeState,
  emptyState,
  encodeDefinitions,
  encodeState,
  type LogState,
} from './log-state.ts'
import { VERDICTS } from './resolver.ts'
import { decide, decodeVerdicts, encodeVerdicts, type Decision } from './state-machine.ts'
import { Window } from './window.ts'

const IDENTITY = new Uint8Array(16).fill(3)
const NONCE = new Uint8Array(16).fill(5)
const GENESIS = encodeControl(IDENTITY, {
  kind: 'genesis',
  value: { shards: 4, timeMs: 100, alone: false },
})
const OPEN = encodeControl(IDENTITY, {
  kind: 'open',
  value: { nonce: NONCE, node: IDENTITY, incarnation: NONCE, timeMs: 5 },
})
/** A frame as another process has it. */
const received = (frame: Bytes): Bytes => Uint8Array.from(frame)

class Machine {
  state: LogState = emptyState()
  readonly window = new Window(0)

  next(frame: Bytes): Decision {
    return decide(this.state, this.window, this.state.position + 1, frame)
  }

  /** With a genesis and a session, which is number 2. */
  static founded(): Machine {
    const machine = new Machine()
    machine.next(GENESIS)
    machine.next(OPEN)
    return machine
  }

  draft(fields: Partial<BatchDraft>): BatchDraft {
    return {
      session: 2,
      number: 1,
      settledBelow: 1,
      carried: this.state,
      nonce: NONCE,
      timeMs: 200,
      commands: [],
      transactions: [],
      ...fields,
    }
  }

  batch(fields: Partial<BatchDraft>): Bytes {
    return received(encodeBatch(IDENTITY, this.draft(fields)).frame)
  }
}

function put(table: number, key: Bytes, version: number, readAt: Op['readAt'] = -1): Op {
  const digest = { hi: 0, lo: 0 }
  digest64(key, 0, key.length, table, digest)
  const body = Uint8Array.of(0, 0, 0, 0, 0x80)
  return {
    kind: 'put',
    table,
    version,
    shard: 0,
    ...digest,
    prefix: prefixOf(key),
    adds: [],
    readAt,
    key,
    body,
  }
}

const only = (...ops: Op[]): Transaction => ({ reads: [], guard: undefined, ops })
const TABLE = HIDDEN_TABLES + 5
const KEY = Uint8Array.of(1)

describe('the first entries', () => {
  it('are nothing before the genesis, which names the log', () => {
    const machine = new Machine()
    expect(machine.next(OPEN).kind).toBe('foreign')
    expect(machine.next(Uint8Array.of(1, 2, 3)).kind).toBe('foreign')
    expect(machine.next(GENESIS).kind).toBe('genesis')
    expect(hex(machine.state.identity)).toBe(hex(IDENTITY))
    expect(machine.state.shards).toBe(4)
    const other = encodeControl(NONCE, {
      kind: 'genesis',
      value: { shards: 9, timeMs: 1, alone: false },
    })
    expect(machine.next(other).kind).toBe('foreign')
    expect(machine.next(GENESIS).kind).toBe('foreign')
    expect(machine.state.shards).toBe(4)
  })

  it('come without a gap', () => {
    const machine = Machine.founded()
    expect(() => decide(machine.state, machine.window, 4, OPEN)).toThrow(/gap/)
    expect(() => decide(machine.state, machine.window, 2, OPEN)).toThrow(/gap/)
  })
})

describe('batches', () => {
  it('are applied once, in the order of their numbers, under an open session', () => {
    const machine = Machine.founded()
    const admission = (fields: Partial<BatchDraft>): string => {
      const decision = machine.next(machine.batch(fields))
      return decision.kind === 'batch' ? decision.admission : decision.kind
    }
    const one = machine.batch({ number: 1 })
    expect(machine.next(one)).toMatchObject({ admission: 'apply' })
    expect(machine.next(one)).toMatchObject({ admission: 'repeated' })
    expect(admission({ number: 3 })).toBe('gap')
    expect(admission({ number: 2 })).toBe('apply')
    expect(admission({ session: 1, number: 1 })).toBe('closed')
    expect(admission({ number: 1, nonce: IDENTITY })).toBe('forked')
    expect(admission({ number: 3 })).toBe('closed')
    const close = encodeControl(IDENTITY, { kind: 'close', session: 2 })
    expect(machine.next(close)).toEqual({ kind: 'closed', session: 2 })
  })

  it('of another history halt, and so do those that went back', () => {
    const machine = Machine.founded()
    const wrong = { ...machine.state, entryChain: new Uint8Array(DIGEST_BYTES).fill(9) }
    expect(() => machine.next(machine.batch({ carried: wrong }))).toThrow(/another history/)
    const decided = { ...machine.state, decisionChain: new Uint8Array(DIGEST_BYTES).fill(9) }
    expect(() => machine.next(machine.batch({ carried: decided }))).toThrow(/another history/)
    const ahead = { ...machine.state, position: 3 }
    expect(() => machine.next(machine.batch({ carried: ahead }))).toThrow(/went back/)
    const damaged = machine.batch({})
    damaged[40] = (damaged[40] as number) ^ 1
    expect(() => machine.next(damaged)).toThrow(/checksum/)
  })

  it('are judged against the definitions that are current', () => {
    const machine = Machine.founded()
    const definition: TableDefinition = {
      id: 7,
      name: 't',
      version: 2,
      kind: 'strong',
      key: ['id'],
      partition: 1,
      indexes: [],
      nextIndex: 1,
      ttl: '',
      rowVersion: 0,
      oldestRowVersion: 0,
      validated: false,
    }
    const define = { type: 'define', expect: 0, definition } as never
    machine.next(machine.batch({ commands: [define] }))
    const transactions = [only(put(7, KEY, 1)), only(put(7, KEY, 2)), only(put(8, KEY, 1))]
    expect(machine.next(machine.batch({ number: 2, transactions }))).toMatchObject({
      verdicts: ['definition', 'committed', 'definition'],
    })
    const second = machine.next(machine.batch({ number: 3, commands: [define] }))
    expect(second).toMatchObject({ commands: [{ ok: false, reason: 'version' }] })
    const drop = { type: 'drop', table: 7 } as never
    expect(machine.next(machine.batch({ number: 4, commands: [drop, drop] }))).toMatchObject({
      commands: [{ ok: true }, { ok: false, reason: 'unknown' }],
    })
  })

  it('are decided alike by who made them and by who receives them', () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 3, max: 2 })
    const op = fc
      .tuple(key, fc.integer({ min: -1, max: 6 }))
      .map(([bytes, back]) => ({ bytes, back }))
    const history = fc.array(fc.array(fc.array(op, { maxLength: 3 }), { maxLength: 4 }), {
      maxLength: 12,
    })
    fc.assert(
      fc.property(history, (entries) => {
        const [made, got] = [Machine.founded(), Machine.founded()]
        for (const [i, transactions] of entries.entries()) {
          const { frame } = encodeBatch(
            IDENTITY,
            made.draft({
              number: i + 1,
              transactions: transactions.map((ops) =>
                only(
                  ...ops.map(({ bytes, back }) =>
                    put(TABLE, bytes, 1, back < 0 ? -1 : Math.max(2, made.state.position - back)),
                  ),
                ),
              ),
            }),
          )
          made.next(frame)
          got.next(received(frame))
        }
        expect(hex(got.state.decisionChain)).toBe(hex(made.state.decisionChain))
        expect(hex(got.state.entryChain)).toBe(hex(made.state.entryChain))
        expect(hex(encodeState(got.state))).toBe(hex(encodeState(made.state)))
      }),
      { numRuns: 100 },
    )
  })
})

describe('state', () => {
  const definitions = (): TableDefinition => ({
    id: 7,
    name: 't',
    version: 3,
    kind: 'strong',
    key: ['a', 'b'],
    partition: 2,
    indexes: [
      { id: 1, name: 'i', fields: ['x'], unique: true, hidden: HIDDEN_TABLES + 9, state: 'ready' },
    ],
    nextIndex: 2,
    ttl: 'at',
    rowVersion: 4,
    oldestRowVersion: 3,
    validated: true,
  })

  it('is read as it was written', () => {
    const machine = Machine.founded()
    machine.next(machine.batch({ transactions: [only(put(TABLE, KEY, 1))] }))
    machine.state.definitions.set(7, definitions())
    machine.state.definitionsVersion = 12
    machine.state.trimmed = 2
    const record = encodeState(machine.state)
    const again = decodeState(record, encodeDefinitions(machine.state))
    expect(hex(encodeState(again))).toBe(hex(record))
    expect(again.definitions).toEqual(machine.state.definitions)
    expect(again.definitionsVersion).toBe(12)
    expect(again.position).toBe(3)
    // And both go on alike.
    const next = machine.batch({ number: 2 })
    expect(decide(again, new Window(3), 4, next)).toMatchObject({ admission: 'apply' })
  })

  it('is refused after any flip of any byte', () => {
    const { state } = Machine.founded()
    state.definitions.set(7, definitions())
    const [record, list] = [encodeState(state), encodeDefinitions(state)]
    for (let at = 0; at < record.length; at++) {
      const damaged = received(record)
      damaged[at] = (damaged[at] as number) ^ 0x10
      expect(() => decodeState(damaged, list)).toThrow(/damaged/)
    }
    for (let at = 0; at < list.length; at++) {
      const damaged = received(list)
      damaged[at] = (damaged[at] as number) ^ 0x10
      expect(() => decodeState(record, damaged)).toThrow(/damaged/)
    }
    for (let length = 0; length < record.length; length++)
      expect(() => decodeState(received(record.subarray(0, length)), list)).toThrow(
        /damaged|past the end/,
      )
  })

  it('of a newer format is refused in words', () => {
    const record = received(encodeState(Machine.founded().state))
    record[4] = 99
    new DataView(record.buffer).setUint32(0, crc32(record, 4), true)
    expect(() => decodeState(record, undefined)).toThrow(/format 99, written by a newer Holdfast/)
  })
})

describe('verdicts', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...VERDICTS), { maxLength: 2_000 }),
        fc.nat({ max: 1_000 }),
        (verdicts, run) => {
          const list = [...verdicts, ...Array.from({ length: run }, () => 'committed' as const)]
          expect(decodeVerdicts(encodeVerdicts(list))).toEqual(list)
        },
      ),
    )
  })
})
