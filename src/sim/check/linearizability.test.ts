/** The checker is checked: against every order tried one by one, and with faults that it must find. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { certainty, type Operation } from './history.ts'
import { checkLinearizable, explainedByPositions } from './linearizability.ts'
import { casRegister, counter, register } from './models.ts'
import type { CounterInput, Model } from './models.ts'
import {
  changeOne,
  happen,
  plansOf,
  randomOf,
  type Behaviour,
  type Mutation,
} from './sample-histories.contract.ts'
import { registerConflict, type CasInput, type RegisterInput } from './zones.ts'

type Cas = Operation<CasInput, unknown>
/** Without the short way for unique values. */
const searched = { ...register, conflict: () => undefined }
type Counted = Operation<CounterInput, number | undefined>

function registers(): Behaviour<CasInput, unknown> {
  const state = new Map<string, unknown>()
  return {
    ask: ({ key, kind, value }) => {
      const name = `k${key}`
      if (kind < 3) return { kind: 'read', key: name }
      if (kind < 4) return { kind: 'write', key: name, value: value === 0 ? undefined : value }
      if (kind < 5) return { kind: 'cas', key: name, expected: value, value: value + 1 }
      return value === 0 ? { kind: 'remove', key: name } : { kind: 'swap', key: name, value }
    },
    act: (input, takesEffect) => {
      const now = state.get(input.key)
      if (input.kind === 'read') return now
      const { output, after } = written(input, now)
      if (takesEffect) state.set(input.key, after)
      return output
    },
    rest: () => undefined,
  }
}

/** What a write replies, and leaves. */
function written(
  input: Exclude<CasInput, { kind: 'read' }>,
  now: unknown,
): { readonly output: unknown; readonly after: unknown } {
  switch (input.kind) {
    case 'write':
      return { output: undefined, after: input.value }
    case 'swap':
      return { output: now, after: now === undefined ? undefined : input.value }
    case 'remove':
      return { output: now !== undefined, after: undefined }
    case 'cas': {
      const output = now === input.expected
      return { output, after: output ? input.value : now }
    }
  }
}

/** One register, and no value twice. */
function uniqueRegisters(): Behaviour<CasInput, unknown> {
  let state: unknown
  return {
    ask: ({ kind }, index) =>
      kind < 3 ? { kind: 'read', key: 'x' } : { kind: 'write', key: 'x', value: index },
    act: (input, takesEffect) => {
      if (input.kind !== 'write') return state
      if (takesEffect) state = input.value
      return undefined
    },
    rest: () => undefined,
  }
}

function counters(): Behaviour<CounterInput, number | undefined> {
  const state = new Map<string, number>()
  return {
    ask: ({ key, kind, value }) =>
      kind < 3
        ? { kind: 'read', key: `k${key}` }
        : { kind: 'add', key: `k${key}`, by: kind < 5 ? value + 1 : 10 * (value + 1) },
    act: (input, takesEffect) => {
      const now = state.get(input.key) ?? 0
      if (input.kind === 'read') return now
      if (takesEffect) state.set(input.key, now + input.by)
      // Large additions are not told their result.
      return input.by >= 10 ? undefined : now + input.by
    },
    rest: () => undefined,
  }
}

/** Tries every order. */
function hasOrder<S, I, O>(
  model: Model<S, I, O>,
  left: readonly Operation<I, O>[],
  state: S = model.init,
): boolean {
  if (left.every((one) => certainty(one) === 'unknown')) return true
  const mayBeNext = (one: Operation): boolean =>
    left.every((other) => certainty(other) === 'unknown' || other.return >= one.call)
  return left.filter(mayBeNext).some((one) => {
    const known = certainty(one) === 'ok'
    const reply = known ? { known, output: one.output as O } : ({ known: false } as const)
    const next = model.step(state, one.input, reply)
    const rest = left.filter((other) => other !== one)
    return next !== undefined && hasOrder(model, rest, next.state)
  })
}

function isLinearizable<S, I extends { key: string }, O>(
  model: Model<S, I, O>,
  history: readonly Operation<I, O>[],
): boolean {
  const keys = new Set(history.map(({ input }) => input.key))
  return [...keys].every((key) =>
    hasOrder(
      model,
      history.filter((one) => one.input.key === key && certainty(one) !== 'failed'),
    ),
  )
}

const withoutPositions = <T extends Operation>(history: readonly T[]): T[] =>
  history.map((one) => ({ ...one, position: undefined }))

const isYesOrNo = ({ kind }: CasInput): boolean => kind === 'cas' || kind === 'remove'

/** Any of these may leave a history right: the judge tries every order. */
const casMutations: Record<string, Mutation<Cas>> = {
  'another answer': (history, random) =>
    changeOne(
      history,
      random,
      (one) => one.outcome === 'ok' && one.input.kind !== 'write',
      (one) => ({ ...one, output: isYesOrNo(one.input) ? one.output !== true : random(5) }),
    ),
  'a failed one that did it': (history, random) =>
    changeOne(
      history,
      random,
      (one) => one.outcome === 'ok' && one.input.kind === 'write',
      (one) => ({ ...one, outcome: 'failed' }),
    ),
  'an answered one that did nothing': (history, random) =>
    changeOne(
      history,
      random,
      (one) => one.outcome !== 'ok' && one.input.kind === 'write',
      (one) => ({ ...one, outcome: 'ok', position: history.length + 1 }),
    ),
  'another time': (history, random) =>
    changeOne(
      history,
      random,
      (one) => one.outcome === 'ok',
      (one) => {
        const by = random(2) === 0 ? -12 : 12
        return { ...one, call: one.call + by, return: one.return + by }
      },
    ),
  'an effect dropped': (history, random) =>
    changeOne(
      history,
      random,
      (one) => one.outcome === 'ok' && one.input.kind !== 'read',
      () => undefined,
    ),
}

describe('linearizability', () => {
  it('passes registers that take effect between call and return, and counts their keys', () => {
    fc.assert(
      fc.property(plansOf(60), (plans) => {
        const history = happen(plans, registers())
        const keys = new Set(history.map(({ input }) => input.key)).size
        const passed = { result: 'ok', unknown: 0, violations: [], checks: keys }
        expect(checkLinearizable(history, casRegister)).toMatchObject(passed)
        expect(checkLinearizable(withoutPositions(history), casRegister)).toMatchObject(passed)
      }),
      { numRuns: 300 },
    )
  })

  it('passes counters, whether they tell the new count or not', () => {
    fc.assert(
      fc.property(plansOf(40), (plans) => {
        const history = happen(plans, counters())
        expect(checkLinearizable(history, counter).result).toBe('ok')
        expect(checkLinearizable(withoutPositions(history), counter).result).toBe('ok')
      }),
      { numRuns: 300 },
    )
  })

  it.each(Object.entries(casMutations))('of registers finds every effective: %s', (_, mutate) => {
    let effective = 0
    fc.assert(
      fc.property(plansOf(8, 4), fc.nat(), (plans, seed) => {
        const random = randomOf(seed)
        const mutant = mutate(happen(plans, registers()), random)
        if (mutant === undefined) return
        const expected = isLinearizable(casRegister, mutant) ? 'ok' : 'violation'
        if (expected === 'violation') effective++
        expect(checkLinearizable(mutant, casRegister).result).toBe(expected)
        expect(checkLinearizable(withoutPositions(mutant), casRegister).result).toBe(expected)
      }),
      { numRuns: 600 },
    )
    expect(effective).toBeGreaterThan(3)
  })

  it('of counters finds every effective wrong count', () => {
    let effective = 0
    fc.assert(
      fc.property(plansOf(8, 4), fc.nat(), (plans, seed) => {
        const random = randomOf(seed)
        const told = ({ output }: Counted): boolean => output !== undefined
        const mutant = changeOne(happen(plans, counters()), random, told, (one) => ({
          ...one,
          output: (one.output ?? 0) + 1 + random(4),
        }))
        if (mutant === undefined) return
        const expected = isLinearizable(counter, mutant) ? 'ok' : 'violation'
        if (expected === 'violation') effective++
        expect(checkLinearizable(mutant, counter).result).toBe(expected)
        expect(checkLinearizable(withoutPositions(mutant), counter).result).toBe(expected)
      }),
      { numRuns: 500 },
    )
    expect(effective).toBeGreaterThan(100)
  })

  it('of registers with unique values is judged the short way, alike', () => {
    const judged = [0, 0]
    fc.assert(
      fc.property(plansOf(9, 3), fc.nat(), (plans, seed) => {
        const random = randomOf(seed)
        const history = happen(plans, uniqueRegisters())
        const isRead = ({ outcome, input }: Cas): boolean =>
          outcome === 'ok' && input.kind === 'read'
        const mutate = casMutations['another time'] ?? (() => undefined)
        const mutant = [
          changeOne(history, random, isRead, (one) => ({ ...one, output: random(9) })),
          mutate(history, random),
        ][random(2)]
        if (mutant === undefined) return
        const known = mutant.filter(({ outcome }) => outcome === 'ok')
        const unknown = mutant.filter(
          ({ outcome, input }) => outcome === 'unknown' && input.kind === 'write',
        )
        const expected = isLinearizable(register, mutant as Operation<RegisterInput, unknown>[])
        expect(registerConflict(known, unknown)?.length === 0).toBe(expected)
        judged[Number(expected)] = (judged[Number(expected)] ?? 0) + 1
      }),
      { numRuns: 1_500 },
    )
    expect(Math.min(...judged)).toBeGreaterThan(100)
  })

  it('finds one stale read in a long history, and shows where', () => {
    const history = longHistory(5_000)
    expect(checkLinearizable(history, register).result).toBe('ok')
    const stale = history.findLastIndex(({ input }) => input.kind === 'read')
    const mutant = history.map((one, i) => (i === stale ? { ...one, output: 0 } : one))
    expect(checkLinearizable(mutant, register).violations[0]?.operations.length).toBeLessThan(7)
    for (const each of [mutant, withoutPositions(mutant)]) {
      const { result, violations, counts } = checkLinearizable(each, searched)
      expect({ result, counts }).toEqual({ result: 'violation', counts: { linearizability: 1 } })
      expect(violations[0]?.operations.length).toBeLessThan(20)
      expect(violations[0]?.timeline).toMatch(/^> {2}c\d +\d+\.\.\d+ +read key="x" -> 0/m)
    }
  })
})

/** Two clients that overlap all the time, over unique values. */
function longHistory(length: number): Operation<RegisterInput, unknown>[] {
  let now: unknown
  return Array.from({ length }, (_, i) => {
    const base = { process: `c${i % 2}`, call: 2 * i, return: 2 * i + 3, outcome: 'ok' as const }
    if (i % 3 > 0) return { ...base, input: { kind: 'read', key: 'x' }, output: now, position: i }
    now = i
    return { ...base, input: { kind: 'write', key: 'x', value: i }, position: i }
  })
}

describe('the order of positions', () => {
  it('is proof where every reply has one, without a search', () => {
    fc.assert(
      fc.property(plansOf(60), (plans) => {
        const answered = plans.map((plan) => ({ ...plan, outcome: 'ok' as const, key: 0 }))
        const history = happen(answered, registers())
        expect(explainedByPositions(casRegister, history, [])).toBe(true)
        expect(checkLinearizable(history, casRegister, { stepsMax: 0 }).result).toBe('ok')
      }),
    )
  })

  it('takes in a write that was never answered where a read saw it', () => {
    const write = { kind: 'write', key: 'x', value: 7 } as const
    const unknown = { ...at('c1', 1, 2), outcome: 'unknown', input: write } as const
    const read = { ...at('c2', 3, 4), input: READ, output: 7, position: 5 } as const
    expect(explainedByPositions(register, [read], [unknown])).toBe(true)
    expect(explainedByPositions(register, [read], [{ ...unknown, call: 5 }])).toBe(false)
  })

  it('is no witness against real time: the search decides', () => {
    const write = { kind: 'write', key: 'x', value: 1 } as const
    const late = { ...at('c1', 1, 2), input: write, position: 9 } as const
    const early = { ...at('c2', 3, 4), input: READ, output: undefined, position: 3 } as const
    expect(explainedByPositions(register, [late, early], [])).toBe(false)
    expect(checkLinearizable([late, early], register).result).toBe('violation')
    // A read may lag behind other keys, as long as its own value is the latest.
    const lagging = { ...early, output: 1, position: 9 } as const
    const laggingMore = { ...at('c2', 5, 6), input: READ, output: 1, position: 8 } as const
    expect(checkLinearizable([late, lagging, laggingMore], register).result).toBe('ok')
  })
})

const READ = { kind: 'read', key: 'x' } as const
const at = (process: string, call: number, end: number) =>
  ({ process, call, return: end, outcome: 'ok' }) as const

describe('a search', () => {
  it('that is out of budget says unknown, and counts it', () => {
    const history = withoutPositions(longHistory(100))
    const { result, unknown, checks } = checkLinearizable(history, searched, { stepsMax: 10 })
    expect({ result, unknown, checks }).toEqual({ result: 'unknown', unknown: 1, checks: 1 })
  })

  it('takes an ack that no disk remembers as unknown', () => {
    const write = { kind: 'write', key: 'x', value: 1 } as const
    const history = [
      { ...at('c1', 1, 2), input: write },
      { ...at('c2', 3, 4), input: READ, output: undefined },
    ]
    expect(checkLinearizable(history, register).result).toBe('violation')
    const forgotten = history.map((one, i) => (i === 0 ? { ...one, survived: false } : one))
    expect(checkLinearizable(forgotten, register).result).toBe('ok')
  })

  it('copes with many writes that were never answered', () => {
    const writes = Array.from({ length: 12 }, (_, i) => ({
      ...at(`u${i}`, i, i),
      outcome: 'unknown' as const,
      input: { kind: 'write', key: 'x', value: i } as const,
    }))
    const reads = Array.from({ length: 300 }, (_, i) => ({
      ...at('c', 100 + 2 * i, 101 + 2 * i),
      input: READ,
      output: Math.floor(i / 25),
    }))
    expect(checkLinearizable([...writes, ...reads], searched).result).toBe('ok')
    const wrong = [
      ...reads.slice(0, -1),
      { ...reads[299], ...at('c', 900, 901), input: READ, output: 3 },
    ]
    expect(checkLinearizable([...writes, ...wrong], searched).result).toBe('violation')
  })
})
