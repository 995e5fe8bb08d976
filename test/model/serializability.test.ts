/** The checker is checked: it takes what is right, and names what is not. */
import { expect, test } from 'vitest'
import { checkSerializable, type Step, type Transacted } from './serializability.ts'

let events = 0
const did = (...steps: Step[]): Transacted => ({
  from: ++events,
  to: ++events,
  outcome: 'ok',
  steps,
})
const failed = (...steps: Step[]): Transacted => ({ ...did(...steps), outcome: 'failed' })
const read = (key: string, ...list: number[]): Step => ({ kind: 'read', key, list })
const append = (key: string, value: number): Step => ({ kind: 'append', key, value })
const get = (key: string, value: number): Step => ({ kind: 'get', key, value })
const set = (key: string, before: number, value: number): Step => ({
  kind: 'set',
  key,
  before,
  value,
})
/** As if all had been under way at once: real time says nothing. */
const atOnce = (...list: Transacted[]): Transacted[] =>
  list.map((one) => ({ ...one, from: 0, to: 1_000_000 }))

test('a serial history is right', () => {
  const history = [
    did(append('x', 1), read('x', 1)),
    did(read('x', 1), append('y', 1)),
    failed(append('x', 9)),
    did(set('r', 0, 1)),
    did(get('r', 1), set('r', 1, 2)),
    did(read('x', 1), read('y', 1), get('r', 2)),
  ]
  expect(checkSerializable(history)).toEqual([])
  expect(checkSerializable(atOnce(...history))).toEqual([])
})

const WRONG: [string, RegExp, Transacted[]][] = [
  ['an aborted read', /failed/, [failed(append('x', 1)), did(read('x', 1))]],
  ['a read of nothing ever written', /nobody/, [did(read('x', 7))]],
  ['a lost append', /lost/, [did(append('x', 1)), did(read('x'))]],
  [
    'an intermediate read',
    /wrote over/,
    atOnce(did(append('x', 1), append('x', 2)), did(read('x', 1)), did(read('x', 1, 2))),
  ],
  [
    'forked reads',
    /no beginning/,
    atOnce(did(append('x', 1)), did(append('x', 2)), did(read('x', 1, 2)), did(read('x', 2))),
  ],
  ['a value twice', /twice/, [did(append('x', 1)), did(read('x', 1, 1))]],
  ['an unread write of its own', /its own/, [did(append('x', 1), read('x')), did(read('x', 1))]],
  [
    'write skew',
    /cycle/,
    atOnce(
      did(read('x'), append('y', 1)),
      did(read('y'), append('x', 1)),
      did(read('x', 1), read('y', 1)),
    ),
  ],
  [
    'a torn read',
    /cycle/,
    atOnce(
      did(append('x', 1), append('y', 1)),
      did(read('x', 1), read('y')),
      did(read('x', 1), read('y', 1)),
    ),
  ],
  ['a stale read', /cycle/, [did(append('x', 1)), did(read('x')), did(read('x', 1))]],
  [
    'an order against real time',
    /cycle/,
    [did(append('x', 1)), did(append('x', 2)), did(read('x', 2, 1))],
  ],
  [
    'a lost update of a register',
    /both replaced/,
    atOnce(did(set('r', 0, 1)), did(set('r', 0, 2))),
  ],
  ['a stale register', /cycle/, [did(set('r', 0, 1)), did(set('r', 1, 2)), did(get('r', 1))]],
  [
    'registers and lists against each other',
    /cycle/,
    atOnce(did(set('r', 0, 1), append('x', 1)), did(get('r', 1), read('x')), did(read('x', 1))),
  ],
]

test.each(WRONG)('%s is found', (_, named, history) => {
  expect(checkSerializable(history).join('\n')).toMatch(named)
})
