/** Invariants that hold in every read: money is conserved, and unique values have one owner. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkBank, type Balances } from './bank.ts'
import type { Operation } from './history.ts'
import { changeOne, randomOf } from './sample-histories.contract.ts'
import { checkUnique, type UniqueView } from './unique.ts'

const done = <T>(output: T, i: number): Operation<unknown, T> => ({
  process: 'c',
  call: 2 * i,
  return: 2 * i + 1,
  outcome: 'ok',
  input: undefined,
  output,
})

const NAMES = ['a', 'b', 'c']
const bank = { accounts: NAMES, total: 30 }
const transfers = fc.array(
  fc.record({ from: fc.nat(2), to: fc.nat(2), amount: fc.integer({ min: 1, max: 8 }) }),
  { minLength: 1, maxLength: 30 },
)

function transferred(plans: readonly { from: number; to: number; amount: number }[]) {
  let now: Record<string, number> = { a: 10, b: 10, c: 10 }
  return plans.map(({ from, to, amount }, i): Operation<unknown, Balances | undefined> => {
    const [source = '', target = ''] = [NAMES[from], NAMES[to]]
    if ((now[source] ?? 0) >= amount && source !== target)
      now = { ...now, [source]: (now[source] ?? 0) - amount, [target]: (now[target] ?? 0) + amount }
    // Some reads are never answered, whatever they would have said.
    return i % 5 === 4 ? { ...done({ a: -1 }, i), outcome: 'unknown' } : done(now, i)
  })
}

const BANK_DAMAGES: Record<string, (balances: Balances) => Balances> = {
  'bank:total': (balances) => ({ ...balances, a: (balances['a'] ?? 0) + 1 }),
  'bank:overdraft': (balances) => ({
    ...balances,
    a: -1,
    b: (balances['b'] ?? 0) + (balances['a'] ?? 0) + 1,
  }),
  'bank:accounts': (balances) => ({ ...balances, d: 0 }),
}

describe('a bank', () => {
  it('has the same total in every read, whatever is transferred', () => {
    fc.assert(
      fc.property(transfers, (plans) => {
        expect(checkBank(transferred(plans), bank).result).toBe('ok')
      }),
    )
  })

  it.each(Object.entries(BANK_DAMAGES))('is found out in every mutant: %s', (property, damage) => {
    let effective = 0
    fc.assert(
      fc.property(transfers, fc.nat(), (plans, seed) => {
        const mutant = changeOne(
          transferred(plans),
          randomOf(seed),
          ({ outcome }) => outcome === 'ok',
          (one) => ({ ...one, output: damage(one.output ?? {}) }),
        )
        if (mutant === undefined) return
        effective++
        expect(checkBank(mutant, bank).counts).toEqual({ [property]: 1 })
      }),
    )
    expect(effective).toBeGreaterThan(50)
  })

  it('allows debts where it is told to', () => {
    const history = [done({ a: -5, b: 35, c: 0 }, 0)]
    expect(checkBank(history, bank).counts).toEqual({ 'bank:overdraft': 1 })
    expect(checkBank(history, { ...bank, overdraft: true }).result).toBe('ok')
  })
})

const claims = fc.array(
  fc.record({
    row: fc.nat(4),
    value: fc.option(fc.constantFrom('x', 'y', 'z'), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 30 },
)

function claimed(plans: readonly { row: number; value: string | undefined }[]) {
  const rows = new Map<string, string | undefined>()
  return plans.map(({ row, value }, i) => {
    const isTaken = value !== undefined && [...rows.values()].includes(value)
    if (!isTaken) rows.set(`r${row}`, value)
    const index = [...rows].flatMap(([key, value]) =>
      value === undefined ? [] : [[value, key] as const],
    )
    return done<UniqueView>({ rows: [...rows], index }, i)
  })
}

const UNIQUE_DAMAGES: Record<string, (view: UniqueView) => UniqueView> = {
  'unique:two-owners': ({ rows, index = [] }) => {
    const [[value] = ['']] = index
    return { rows: [...rows, ['twin', value]], index: [...index, [value, 'twin']] }
  },
  'unique:row-without-index': ({ rows, index = [] }) => ({ rows, index: [...index].slice(1) }),
  'unique:index-without-row': ({ rows, index = [] }) => ({ rows, index: [...index, ['w', 'r9']] }),
}

describe('unique values', () => {
  it('have one owner in every read, and an index that agrees', () => {
    fc.assert(
      fc.property(claims, (plans) => {
        const history = claimed(plans)
        expect(checkUnique(history)).toMatchObject({ result: 'ok', checks: history.length })
      }),
    )
  })

  it.each(Object.entries(UNIQUE_DAMAGES))(
    'are found out in every mutant: %s',
    (property, damage) => {
      let effective = 0
      fc.assert(
        fc.property(claims, fc.nat(), (plans, seed) => {
          const mutant = changeOne(
            claimed(plans),
            randomOf(seed),
            ({ output }) => [...(output?.index ?? [])].length > 0,
            (one) => ({ ...one, output: damage(one.output ?? { rows: [] }) }),
          )
          if (mutant === undefined) return
          effective++
          expect(checkUnique(mutant).counts).toEqual({ [property]: 1 })
        }),
      )
      expect(effective).toBeGreaterThan(50)
    },
  )

  it('are looked at without an index too', () => {
    const rows = [
      ['r1', 'x'],
      ['r2', 'x'],
      ['r3', undefined],
      ['r4', undefined],
    ] as const
    expect(checkUnique([done({ rows }, 0)]).counts).toEqual({ 'unique:two-owners': 1 })
  })
})
