/** Copies after healing: right ones, and ones that lost, invented or brought back something. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkConvergence, checkFold, checkResurrection, type Copy } from './convergence.ts'
import type { Operation } from './history.ts'
import { counter, register, type CounterInput } from './models.ts'
import { happen, plansOf, randomOf, type Plan } from './sample-histories.contract.ts'
import type { RegisterInput } from './zones.ts'

type Write = Operation<RegisterInput, unknown>
type Added = Operation<CounterInput, number | undefined>

interface Settled {
  readonly history: Write[]
  readonly rows: Map<string, unknown>
}

/** Writes and deletes of unique values, and what is left of them. */
function settle(plans: readonly Plan[]): Settled {
  const rows = new Map<string, unknown>()
  const history = happen<RegisterInput, unknown>(plans, {
    ask: ({ key, kind }, index) => {
      if (kind === 0) return { kind: 'read', key: `k${key}` }
      return { kind: 'write', key: `k${key}`, value: kind === 1 ? undefined : index }
    },
    act: (input, takesEffect) => {
      if (input.kind === 'read') return rows.get(input.key)
      if (!takesEffect) return undefined
      if (input.value === undefined) rows.delete(input.key)
      else rows.set(input.key, input.value)
      return undefined
    },
    rest: () => undefined,
  })
  return { history, rows }
}

const copies = (...all: Iterable<readonly [string, unknown]>[]): Copy[] =>
  all.map((rows, i) => ({ name: `n${i + 1}`, rows }))
const copy = (rows: Iterable<readonly [string, unknown]>): Copy => ({ name: 'n1', rows })

describe('copies', () => {
  it('agree, or each row that differs is named', () => {
    fc.assert(
      fc.property(plansOf(40, 5), fc.nat(), fc.constantFrom(0, 1, 2), (plans, seed, damage) => {
        const { rows } = settle(plans)
        expect(checkConvergence(copies(rows, new Map(rows), [...rows].toReversed())).result).toBe(
          'ok',
        )
        const random = randomOf(seed)
        const [key, value] = [...rows][random(rows.size || 1)] ?? ['none', 0]
        const other = new Map(rows)
        if (damage === 0) other.set(key, { was: value })
        else if (damage === 1) other.set('extra', 1)
        else if (!other.delete(key)) return
        const { counts } = checkConvergence(copies(rows, rows, other))
        expect(counts).toEqual({ 'convergence:diverged': 1 })
      }),
    )
  })
})

describe('the fold of all acked operations', () => {
  it('is what is left, whichever of the unanswered ones took effect', () => {
    fc.assert(
      fc.property(plansOf(30), (plans) => {
        const { history, rows } = settle(plans)
        const verdict = checkFold(copy(rows), history, register)
        expect(verdict).toMatchObject({ result: 'ok', violations: [] })
      }),
      { numRuns: 300 },
    )
  })

  it('is not a value that was never there, an old one, or nothing: in all mutants', () => {
    const effective = [0, 0, 0]
    fc.assert(
      fc.property(plansOf(20, 4), fc.constantFrom(0, 1, 2), (plans, damage) => {
        const answered = plans.map((plan) => ({ ...plan, outcome: 'ok' as const, key: 0 }))
        const { history, rows } = settle(answered)
        const last = rows.get('k0')
        const writes = history.flatMap(({ input }) => (input.kind === 'write' ? [input.value] : []))
        const wrong = [
          999,
          writes.find((value) => value !== undefined && value !== last),
          undefined,
        ]
        const value = wrong[damage]
        if (value === last || (damage === 1 && value === undefined)) return
        effective[damage] = (effective[damage] ?? 0) + 1
        const left: [string, unknown][] = value === undefined ? [] : [['k0', value]]
        expect(checkFold(copy(left), history, register).counts).toEqual({ 'convergence:fold': 1 })
      }),
      { numRuns: 400 },
    )
    expect(Math.min(...effective)).toBeGreaterThan(20)
  })

  it('has an unanswered write at most once, and not before it was called', () => {
    const add = (outcome: 'ok' | 'unknown', call: number, by: number): Added => ({
      process: 'c',
      call,
      return: call + 1,
      outcome,
      input: { kind: 'add', key: 'x', by },
    })
    const history = [add('ok', 1, 1), add('unknown', 3, 10), add('unknown', 5, 100)]
    const holds = (value: number): string =>
      checkFold(copy([['x', value]]), history, counter).result
    expect([1, 11, 101, 111].map(holds)).toEqual(['ok', 'ok', 'ok', 'ok'])
    expect([0, 10, 21, 112].map(holds)).toEqual(Array.from({ length: 4 }, () => 'violation'))
    const [write, later] = ['a', 'b'].map((value, i) => ({
      ...at(value, 2 * i + 1),
      position: 2 - i,
    })) as [Write, Write]
    const unanswered: Write = { ...later, outcome: 'unknown', position: undefined }
    expect(checkFold(copy([['x', 'a']]), [write, unanswered], register).result).toBe('ok')
    expect(checkFold(copy([['x', 'b']]), [write, unanswered], register).result).toBe('ok')
    const acked = { ...write, call: 9, return: 10 }
    expect(checkFold(copy([['x', 'b']]), [acked, unanswered], register).result).toBe('ok')
    expect(
      checkFold(copy([['x', 'b']]), [at('c', 0), { ...acked, position: 3 }], register).result,
    ).toBe('violation')
    const before = { ...unanswered, call: 20 }
    expect(checkFold(copy([]), [{ ...acked, input: del }, before], register).result).toBe('ok')
    expect(checkFold(copy([['x', 'z']]), [acked, before], register).result).toBe('violation')
  })

  it('says unknown when there are too many to try', () => {
    const history = Array.from({ length: 12 }, (_, i): Added => ({
      process: `c${i}`,
      call: i,
      return: i,
      outcome: 'unknown',
      input: { kind: 'add', key: 'x', by: 3 ** i },
    }))
    const verdict = checkFold(copy([['x', 2]]), history, counter, { statesMax: 100 })
    expect(verdict).toMatchObject({ result: 'unknown', unknown: 1, checks: 1 })
    expect(checkFold(copy([['x', 2]]), history, counter).result).toBe('violation')
  })
})

const del = { kind: 'write', key: 'x', value: undefined } as const
const at = (value: unknown, call: number): Write => ({
  process: 'c',
  call,
  return: call + 1,
  outcome: 'ok',
  input: { kind: 'write', key: 'x', value },
})

describe('a resurrection', () => {
  it('is never seen where copies hold what took effect last', () => {
    fc.assert(
      fc.property(plansOf(40), (plans) => {
        const { history, rows } = settle(plans)
        expect(checkResurrection(copies(rows, rows), history).result).toBe('ok')
      }),
      { numRuns: 300 },
    )
  })

  it('is a row that came back after the delete that followed all its writes: in all mutants', () => {
    let effective = 0
    fc.assert(
      fc.property(plansOf(20, 3), fc.nat({ max: 1 }), (plans, at) => {
        const answered = plans.map((plan) => ({ ...plan, outcome: 'ok' as const, key: 0 }))
        const { history, rows } = settle(answered)
        const writes = history.filter(({ input }) => input.kind === 'write')
        if (writes.length === 0 || rows.has('k0')) return
        effective++
        const back = new Map<string, unknown>([['k0', 'old']])
        const views = at === 0 ? copies(back, rows) : copies(rows, back)
        expect(checkResurrection(views, history).counts).toEqual({ resurrection: 1 })
      }),
      { numRuns: 400 },
    )
    expect(effective).toBeGreaterThan(30)
  })

  it('needs a delete that is acked, and behind every write that may have been applied', () => {
    const remove = { ...at('', 9), input: del }
    const back = copies([['x', 1]])
    const resultOf = (...history: Write[]): string => checkResurrection(back, history).result
    expect(resultOf(at(1, 1), remove)).toBe('violation')
    expect(resultOf(at(1, 1), { ...remove, outcome: 'unknown' })).toBe('ok')
    expect(resultOf(at(1, 1), { ...remove, survived: false })).toBe('ok')
    expect(resultOf(at(1, 1), remove, at(2, 20))).toBe('ok')
    expect(resultOf({ ...at(1, 1), process: 'other' }, remove)).toBe('ok')
    expect(resultOf({ ...at(1, 1), outcome: 'unknown' }, remove)).toBe('ok')
    expect(resultOf({ ...at(1, 1), outcome: 'failed' }, at(1, 3), remove)).toBe('violation')
    const placed = [
      { ...at(1, 1), process: 'other', position: 4 },
      { ...remove, position: 5 },
    ]
    expect(resultOf(...placed)).toBe('violation')
    const all = checkResurrection(back, [{ ...at(1, 1), process: 'other' }, remove], () => true)
    expect(all.result).toBe('violation')
  })
})
