/** The checker is checked: it takes what is right, and names what is not. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { History, type Operation } from './history.ts'
import {
  changeOne,
  happen,
  plansOf,
  randomOf,
  type Behaviour,
  type Mutation,
  type Plan,
} from './sample-histories.contract.ts'
import { checkSerializable } from './serializability.ts'
import type { Step, Transaction, Unique } from './transactions.ts'

let events = 0
const did = (...output: Step[]): Transaction => ({
  process: `c${events}`,
  call: ++events,
  return: ++events,
  outcome: 'ok',
  input: undefined,
  output,
})
const failed = (...steps: Step[]): Transaction => ({ ...did(...steps), outcome: 'failed' })
const unknown = (...steps: Step[]): Transaction => ({ ...did(...steps), outcome: 'unknown' })
const read = (key: string, ...list: number[]): Step => ({ kind: 'read', key, list })
const append = (key: string, value: number): Step => ({ kind: 'append', key, value })
const get = (key: string, value: number | null): Step => ({ kind: 'get', key, value })
const set = (key: string, before: number | null, value: number): Step => ({
  kind: 'set',
  key,
  before,
  value,
})
const blind = (key: string, value: number): Step => ({ kind: 'set', key, value })
/** As if all had been under way at once: real time says nothing. */
const atOnce = (...list: Transaction[]): Transaction[] =>
  list.map((one) => ({ ...one, call: 0, return: 1_000_000 }))
/** As if one client had done it all, under a clock that stands still. */
const byOne = (...list: Transaction[]): Transaction[] =>
  list.map((one) => ({ ...one, process: 'c', call: 0, return: 0 }))

const namesOf = (history: readonly Transaction[]): string[] =>
  Object.keys(checkSerializable(history).counts).toSorted()

const RIGHT: Record<string, Transaction[]> = {
  'a serial history': [
    did(append('x', 1), read('x', 1)),
    did(read('x', 1), append('y', 1)),
    failed(append('x', 9)),
    did(set('r', null, 1)),
    did(get('r', 1), set('r', 1, 2), get('r', 2)),
    did(read('x', 1), read('y', 1), get('r', 2)),
  ],
  'an unknown append, seen or not': [
    unknown(append('x', 1)),
    unknown(append('x', 2)),
    did(read('x')),
    did(read('x', 2)),
  ],
  'appends behind the last read': [did(read('x')), did(append('x', 1)), did(append('x', 2))],
  'an append to what it read last': [did(append('x', 1)), did(read('x', 1), append('x', 2))],
  'writes of a register in no known order': [
    did(get('r', null), blind('r', 1)),
    did(blind('r', 2)),
  ],
}

it.each(Object.entries(RIGHT))('%s is right', (_, history) => {
  expect(namesOf(history)).toEqual([])
  expect(namesOf(atOnce(...history))).toEqual([])
})

const WRONG: [string, string[], Transaction[]][] = [
  ['an aborted read', ['G1a'], [failed(append('x', 1)), did(read('x', 1))]],
  ['an aborted register', ['G1a'], [failed(set('r', null, 1)), did(get('r', 1))]],
  ['a read of nothing ever written', ['garbage-read'], [did(read('x', 7))]],
  ['a lost append', ['lost-append'], [did(append('x', 1)), did(read('x'))]],
  [
    'an intermediate read',
    ['G-single', 'G1b'],
    atOnce(did(append('x', 1), append('x', 2)), did(read('x', 1)), did(read('x', 1, 2))),
  ],
  [
    'an intermediate register',
    ['G1b'],
    atOnce(did(set('r', null, 1), set('r', 1, 2)), did(get('r', 1))),
  ],
  [
    'forked reads',
    ['incompatible-order'],
    atOnce(did(append('x', 1)), did(append('x', 2)), did(read('x', 1, 2)), did(read('x', 2))),
  ],
  ['a value twice', ['duplicate-append'], [did(append('x', 1)), did(read('x', 1, 1))]],
  ['an unread write of its own', ['internal'], [did(append('x', 1), read('x')), did(read('x', 1))]],
  ['two reads in one', ['internal'], [did(append('x', 1)), did(read('x', 1), read('x'))]],
  ['a read of what it wrote later', ['internal'], [did(read('x', 1), append('x', 1))]],
  ['two gets in one', ['internal'], [did(set('r', null, 1)), did(get('r', 1), get('r', null))]],
  [
    'write skew',
    ['G2'],
    atOnce(
      did(read('x'), append('y', 1)),
      did(read('y'), append('x', 1)),
      did(read('x', 1), read('y', 1)),
    ),
  ],
  [
    'write skew before the last reads',
    ['G2'],
    atOnce(did(read('x'), append('x', 1)), did(read('x'), append('x', 2))),
  ],
  [
    'a torn read',
    ['G-single'],
    atOnce(
      did(append('x', 1), append('y', 1)),
      did(read('x', 1), read('y')),
      did(read('x', 1), read('y', 1)),
    ),
  ],
  [
    'appends in two orders',
    ['G0'],
    atOnce(
      did(append('x', 1), append('y', 1)),
      did(append('x', 2), append('y', 2)),
      did(read('x', 1, 2)),
      did(read('y', 2, 1)),
    ),
  ],
  [
    'each having read the other',
    ['G1c'],
    atOnce(did(append('x', 1), read('y', 1)), did(append('y', 1), read('x', 1))),
  ],
  ['a stale read', ['G-single-realtime'], [did(append('x', 1)), did(read('x')), did(read('x', 1))]],
  [
    'a stale read of its own',
    ['G-single-process'],
    byOne(did(append('x', 1)), did(read('x')), did(read('x', 1))),
  ],
  ['an early read', ['G1c-realtime'], [did(read('x', 1)), did(append('x', 1))]],
  [
    'an unknown that was read early',
    ['G1c-realtime'],
    [did(read('x', 1)), unknown(append('x', 1))],
  ],
  [
    'an order against real time',
    ['G0-realtime'],
    [did(append('x', 1)), did(append('x', 2)), did(read('x', 2, 1))],
  ],
  [
    'a lost update of a register',
    ['lost-update'],
    atOnce(did(set('r', null, 1)), did(set('r', null, 2))),
  ],
  [
    'a stale register',
    ['G-single-realtime'],
    [did(set('r', null, 1)), did(set('r', 1, 2)), did(get('r', 1))],
  ],
  ['a register as never written', ['G-single-realtime'], [did(blind('r', 1)), did(get('r', null))]],
  [
    'registers and lists against each other',
    ['G-single'],
    atOnce(did(set('r', null, 1), append('x', 1)), did(get('r', 1), read('x')), did(read('x', 1))),
  ],
]

it.each(WRONG)('%s is found, and named', (_, names, history) => {
  expect(namesOf(history)).toEqual(names.map((name) => `strict-serializability:${name}`))
})

it('a value written twice is a fault of the workload', () => {
  expect(namesOf([did(append('x', 1)), did(append('x', 1))])).toEqual([
    'history:value-written-twice',
  ])
})

it('the order asked for is the order kept', () => {
  const stale = [did(append('x', 1)), did(read('x')), did(read('x', 1))]
  expect(checkSerializable(stale, { order: 'process' }).result).toBe('ok')
  const own = stale.map((one) => ({ ...one, process: 'c' }))
  expect(checkSerializable(own, { order: 'process' }).counts).toEqual({
    'serializability:G-single-process': 1,
  })
  expect(checkSerializable(own, { order: 'none' }).result).toBe('ok')
})

it('the shortest cycle is shown, with who did what', () => {
  const history = atOnce(
    did(append('a', 1), read('b')),
    did(append('b', 1), read('c')),
    did(append('c', 1), read('a'), read('d')),
    did(append('d', 1), read('c')),
    did(read('a', 1), read('b', 1), read('c', 1), read('d', 1)),
  )
  const { violations } = checkSerializable(history)
  expect(violations).toHaveLength(1)
  expect(violations[0]?.property).toBe('strict-serializability:G2')
  expect(violations[0]?.operations).toHaveLength(2)
  expect(violations[0]?.message).toMatch(/^c\d+ at 0 -rw \w-> c\d+ at 0 -rw \w-> c\d+ at 0$/)
})

/** Transactions over two lists and two registers, at one moment each; the last reads everything. */
function lists(): Behaviour<Plan, readonly Step[]> {
  const now = new Map<string, readonly Unique[]>()
  const registers = new Map<string, Unique>()
  let values = 0
  return {
    ask: (plan) => plan,
    act: (plan, takesEffect) => {
      const [own, ownRegisters] = [new Map(now), new Map(registers)]
      const steps: Step[] = []
      for (let i = 0; i <= plan.value; i++) {
        const key = `k${(plan.key + i) % 2}`
        const kind = (plan.kind + i * 3) % 5
        const list = own.get(key) ?? []
        const before = ownRegisters.get(key) ?? null
        const value = ++values
        if (kind <= 1) steps.push({ kind: 'read', key, list })
        if (kind === 2) steps.push({ kind: 'append', key, value })
        if (kind === 2) own.set(key, [...list, value])
        if (kind === 3) steps.push({ kind: 'get', key, value: before })
        if (kind === 4) steps.push({ kind: 'set', key, before, value })
        if (kind === 4) ownRegisters.set(key, value)
      }
      if (takesEffect) for (const [key, list] of own) now.set(key, list)
      if (takesEffect) for (const [key, value] of ownRegisters) registers.set(key, value)
      return steps
    },
    rest: (steps) => steps.filter(({ kind }) => kind === 'append' || kind === 'set'),
  }
}

function transacted(plans: readonly Plan[]): Transaction[] {
  const history: Operation<Plan, readonly Step[]>[] = happen(plans, lists())
  return [...history, finalReads(history)]
}

function finalReads(history: readonly Transaction[]): Transaction {
  const steps = effectsOf(history)
  const call = Math.max(0, ...history.map((one) => one.return)) + 100
  return { ...did(...steps), process: 'final', call, return: call + 1 }
}

/** What is left in the end: told by the longest reads and last writes among what took effect. */
function effectsOf(history: readonly Transaction[]): Step[] {
  const behaviour = lists()
  for (const { input, outcome } of history) {
    const plan = input as Plan
    behaviour.act(plan, outcome === 'ok' || (outcome === 'unknown' && plan.applied))
  }
  const look = { value: 1, waits: [0, 0, 0], process: 0, outcome: 'ok', applied: true } as const
  return [0, 1].flatMap((key) => [
    ...behaviour.act({ ...look, key, kind: 0, value: 0 }, false),
    ...behaviour.act({ ...look, key, kind: 3, value: 0 }, false),
  ])
}

/** Whether some order explains it: tries every one. */
function hasOrder(
  left: readonly Transaction[],
  state: ReadonlyMap<string, readonly Unique[]> = new Map(),
): boolean {
  if (left.every(({ outcome }) => outcome === 'unknown')) return true
  return left
    .filter((one) => left.every((other) => other.outcome === 'unknown' || other.return >= one.call))
    .some((one) => {
      const after = new Map(state)
      const rest = left.filter((other) => other !== one)
      return (one.output ?? []).every((step) => replay(after, step)) && hasOrder(rest, after)
    })
}

function replay(state: Map<string, readonly Unique[]>, step: Step): boolean {
  const space = step.kind === 'read' || step.kind === 'append' ? 'l' : 'r'
  const key = space + step.key
  const list = state.get(key) ?? []
  const value = list.at(-1) ?? null
  switch (step.kind) {
    case 'read':
      return step.list.join() === list.join()
    case 'get':
      return step.value === value
    case 'append':
      state.set(key, [...list, step.value])
      return true
    case 'set':
      state.set(key, [...list, step.value])
      return step.before === value
  }
}

const isSerializable = (history: readonly Transaction[]): boolean =>
  hasOrder(history.filter(({ outcome }) => outcome !== 'failed'))

const hasKind =
  (...kinds: Step['kind'][]) =>
  ({ outcome, output = [] }: Transaction): boolean =>
    outcome === 'ok' && output.some(({ kind }) => kinds.includes(kind))

/** Changes one step of one kind in one transaction. */
const changeStep =
  (
    kind: Step['kind'],
    change: (step: Step, random: (below: number) => number) => Step[],
  ): Mutation<Transaction> =>
  (history, random) =>
    changeOne(history, random, hasKind(kind), (one) => {
      const steps = one.output ?? []
      const places = [...steps.keys()].filter((i) => steps[i]?.kind === kind)
      const place = places[random(places.length)]
      return {
        ...one,
        output: steps.flatMap((step, i) => (i === place ? change(step, random) : [step])),
      }
    })

const changeList = (
  change: (list: readonly Unique[], random: (below: number) => number) => readonly Unique[],
) =>
  changeStep('read', (step, random) =>
    step.kind === 'read' ? [{ ...step, list: change(step.list, random) }] : [],
  )

/** Any of these may leave a history right: the judge tries every order. */
const MUTATIONS: Record<string, Mutation<Transaction>> = {
  'a read without its last value': changeList((list) => list.slice(0, -1)),
  'a read without its first value': changeList((list) => list.slice(1)),
  'a read in another order': changeList((list) => list.toReversed()),
  'a read of a value more': changeList((list, random) => [...list, 1 + random(12)]),
  'a get of another value': changeStep('get', (step, random) =>
    step.kind === 'get' ? [{ ...step, value: random(8) === 0 ? null : 1 + random(12) }] : [],
  ),
  'a set over another value': changeStep('set', (step, random) =>
    step.kind === 'set' ? [{ ...step, before: random(3) === 0 ? null : 1 + random(12) }] : [],
  ),
  'an append dropped': changeStep('append', () => []),
  'a set dropped': changeStep('set', () => []),
  'another time': (history, random) =>
    changeOne(
      history,
      random,
      ({ outcome }) => outcome === 'ok',
      (one) => {
        const by = (random(2) === 0 ? -1 : 1) * (5.5 + random(20))
        return { ...one, call: one.call + by, return: one.return + by }
      },
    ),
  'a failed one that did it': (history, random) =>
    changeOne(history, random, hasKind('append', 'set'), (one) => ({
      ...one,
      outcome: 'failed',
    })),
  'an answered one that did nothing': (history, random) =>
    changeOne(
      history,
      random,
      ({ outcome }) => outcome !== 'ok',
      (one) => ({
        ...one,
        outcome: 'ok',
      }),
    ),
}

describe('random transactions', () => {
  it('pass, whatever was failed, unknown or at the same time', () => {
    fc.assert(
      fc.property(plansOf(80), (plans) => {
        const { result, violations } = checkSerializable(transacted(plans))
        expect({ result, violations }).toEqual({ result: 'ok', violations: [] })
      }),
      { numRuns: 200 },
    )
  })

  it.each(Object.entries(MUTATIONS))(
    'with %s are found out whenever no order explains them',
    (_, mutate) => {
      let effective = 0
      fc.assert(
        fc.property(plansOf(6, 3), fc.nat(), (plans, seed) => {
          const mutant = mutate(transacted(plans), randomOf(seed))
          if (mutant === undefined) return
          const expected = isSerializable(mutant) ? 'ok' : 'violation'
          if (expected === 'violation') effective++
          const { result, counts } = checkSerializable(mutant)
          expect({ result, counts }).toMatchObject({ result: expected })
          for (const property of Object.keys(counts))
            expect(property).toMatch(/^strict-serializability:/)
        }),
        { numRuns: 500 },
      )
      expect(effective).toBeGreaterThan(3)
    },
  )
})

it('20,000 transactions are judged, right ones and a cycle among them', () => {
  const history = longHistory(20_000)
  expect(namesOf(history)).toEqual([])
  const at = history.findLastIndex(({ output }) => output?.[0]?.kind === 'read')
  const torn = history.map((one, i) =>
    i === at
      ? { ...one, output: one.output?.map((step, at) => (at === 0 ? earlier(step) : step)) }
      : one,
  )
  expect(namesOf(torn)).toEqual(['strict-serializability:G-single'])
})

const earlier = (step: Step): Step =>
  step.kind === 'read' ? { ...step, list: step.list.slice(0, -1) } : step

/** Ten clients; each transaction appends to two lists or reads two; lists are left at 100 values. */
function longHistory(length: number): Transaction[] {
  const history = new History<undefined, readonly Step[]>()
  const now = new Map<string, number[]>()
  const open: (() => void)[] = []
  for (let i = 0; i < length; i++) {
    const call = history.call(`c${i % 10}`, undefined)
    const keys = [`a${Math.floor(i / 300)}`, `b${Math.floor(i / 300)}`]
    const steps = keys.map((key): Step => {
      const list = now.get(key) ?? []
      if (i % 3 > 0) return { kind: 'read', key, list }
      now.set(key, [...list, i])
      return { kind: 'append', key, value: i }
    })
    open.push(() => call.ok(steps))
    if (open.length === 10) open.shift()?.()
  }
  for (const settle of open) settle()
  return [...history.operations]
}
