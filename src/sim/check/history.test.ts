/** What a recorder keeps, how verdicts add up, and how they are shown. */
import { describe, expect, it } from 'vitest'
import { canonical, same } from './canonical.ts'
import { certainty, History, overAt } from './history.ts'
import { combineVerdicts, Findings, timeline, VIOLATIONS_KEPT } from './verdict.ts'

describe('a history', () => {
  it('keeps calls in their order, with outcomes, positions and times', () => {
    let now = 10
    const history = new History<string, number>(() => now++)
    const first = history.call('c1', 'a')
    const second = history.call('c2', 'b')
    second.ok(7, { position: 3 })
    first.failed()
    history.call('c2', 'c')
    expect(history.operations).toMatchObject([
      {
        process: 'c1',
        input: 'a',
        call: 1,
        return: 4,
        outcome: 'failed',
        callMs: 10,
        returnMs: 13,
      },
      { process: 'c2', input: 'b', call: 2, return: 3, outcome: 'ok', output: 7, position: 3 },
      { process: 'c2', input: 'c', call: 5, return: Infinity, outcome: 'unknown' },
    ])
  })

  it('takes one outcome for each call', () => {
    const call = new History<string, number>().call('c', 'a')
    call.unknown()
    expect(() => call.ok(1)).toThrow(/one outcome/)
  })

  it('counts an ack that no disk remembers as unknown, and as never over', () => {
    const history = new History<string, number>()
    const call = history.call('c', 'a')
    call.ok(1)
    expect(history.operations.map(certainty)).toEqual(['ok'])
    call.ackLost()
    expect(history.operations.map(certainty)).toEqual(['unknown'])
    expect(history.operations.map(overAt)).toEqual([Infinity])
  })

  it('is shown as a line for each operation', () => {
    const history = new History<object, unknown>()
    const write = history.call('c1', { kind: 'write', key: 'x', value: 1 })
    const read = history.call('client-2', { kind: 'read', key: 'x' })
    write.unknown()
    read.ok([1], { position: 8 })
    expect(timeline(history.operations, history.operations[1])).toBe(
      [
        '   c1        1..   write key="x" value=1 -> unknown',
        '>  client-2  2..4  read key="x" -> [1] @8',
      ].join('\n'),
    )
  })
})

describe('a verdict', () => {
  it('is never ok when a part was out of budget, and a violation when one was found', () => {
    const [right, unsure, wrong] = [new Findings(), new Findings(), new Findings()]
    right.checked(3)
    unsure.outOfBudget()
    wrong.found('p', 'message')
    const verdicts = [right, unsure, wrong].map((findings) => findings.verdict())
    expect(verdicts.map(({ result }) => result)).toEqual(['ok', 'unknown', 'violation'])
    expect(combineVerdicts(verdicts.slice(0, 2)).result).toBe('unknown')
    expect(combineVerdicts(verdicts)).toMatchObject({
      result: 'violation',
      checks: 3,
      unknown: 1,
      counts: { p: 1 },
    })
  })

  it('counts everything and keeps a few', () => {
    const findings = new Findings()
    for (let i = 0; i < 50; i++) findings.found('p', `${i}`)
    expect(findings.verdict().counts).toEqual({ p: 50 })
    expect(findings.verdict().violations).toHaveLength(VIOLATIONS_KEPT)
  })
})

describe('values', () => {
  it('are equal by content, whatever the order of their fields', () => {
    const equal: [unknown, unknown][] = [
      [
        { a: 1, b: [new Date(5), null] },
        { b: [new Date(5), null], a: 1, c: undefined },
      ],
      [
        new Map([
          ['a', 1],
          ['b', 2],
        ]),
        new Map([
          ['b', 2],
          ['a', 1],
        ]),
      ],
      [new Set([1, 2]), new Set([2, 1])],
      [Uint8Array.of(1, 2), Uint8Array.of(1, 2)],
      [Number.NaN, Number.NaN],
      [0, -0],
    ]
    expect(equal.filter(([a, b]) => !same(a, b))).toEqual([])
    const all = [
      1,
      '1',
      1n,
      true,
      null,
      undefined,
      [1],
      ['1'],
      { a: 1 },
      {},
      new Date(1),
      new Set([1]),
    ]
    expect(new Set(all.map(canonical)).size).toBe(all.length)
  })
})
