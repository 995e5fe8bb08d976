// Which backups lead to a moment: the newest base that does, by increments that follow one another.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chainTo, type Target } from './catalog.ts'
import type { Manifest } from './manifest.ts'

const mark = (position: number) => ({
  position,
  entryChain: `chain ${position}`,
  decisionChain: `decisions ${position}`,
  timeMs: 1_000 * position,
})

function base(position: number, more: Partial<Manifest> = {}): Manifest {
  return {
    format: 1,
    id: `base ${position}`,
    kind: 'base',
    identity: 'a',
    madeMs: 1_000 * position + 500,
    sequence: 0,
    to: mark(position),
    shards: 1,
    parts: [],
    tables: [],
    ...more,
  }
}

function increment(from: number, to: number, more: Partial<Manifest> = {}): Manifest {
  const id = `increment ${from} ${to}`
  return base(to, { id, kind: 'increment', from: mark(from), ...more })
}

function idsTo(manifests: readonly Manifest[], target: Target): string[] {
  const chain = chainTo({ manifests }, target)
  return [chain.base, ...chain.increments].map(({ id }) => id)
}

describe('the way to a moment', () => {
  const all = [base(10), increment(10, 20), increment(20, 30), base(30), increment(30, 40)]

  test('ends with what was made last, without a target', () => {
    expect(idsTo(all, {})).toEqual(['base 30', 'increment 30 40'])
    expect(idsTo(all.slice(0, 3), {})).toEqual(['base 10', 'increment 10 20', 'increment 20 30'])
  })

  test('begins with the newest base that does not lie behind the position', () => {
    expect(idsTo(all, { position: 10 })).toEqual(['base 10'])
    expect(idsTo(all, { position: 11 })).toEqual(['base 10', 'increment 10 20'])
    expect(idsTo(all, { position: 29 })).toEqual(['base 10', 'increment 10 20', 'increment 20 30'])
    expect(idsTo(all, { position: 30 })).toEqual(['base 30'])
    expect(chainTo({ manifests: all }, { position: 11 }).position).toBe(11)
  })

  test('is found by time, up to when the last backup was made', () => {
    // What came at the very same time may be behind the base.
    expect(idsTo(all, { timeMs: 10_000 })).toEqual(['base 10', 'increment 10 20'])
    expect(idsTo(all, { timeMs: 15_000 })).toEqual(['base 10', 'increment 10 20'])
    expect(idsTo(all, { timeMs: 40_499 })).toEqual(['base 30', 'increment 30 40'])
    expect(() => idsTo(all, { timeMs: 40_501 })).toThrow(/does not reach so far/)
    expect(() => idsTo(all, { timeMs: 9_999 })).toThrow(/reaches back so far/)
  })

  test('by time goes through every increment that may have something from before it', () => {
    // The clock of the machine that backs up runs ahead: base 10 says that it was made at 35,000.
    const ahead = [base(10, { madeMs: 35_000 }), increment(10, 20), increment(20, 30)]
    expect(idsTo(ahead, { timeMs: 25_000 })).toEqual([
      'base 10',
      'increment 10 20',
      'increment 20 30',
    ])
    expect(idsTo(ahead, { timeMs: 34_000 })).toHaveLength(3)
  })

  test('ends with what was made last, whatever the clock said', () => {
    const back = [
      base(10, { sequence: 1, madeMs: 90_000 }),
      increment(10, 20, { sequence: 2, madeMs: 80_000 }),
      increment(20, 30, { sequence: 3, madeMs: 70_000 }),
    ]
    expect(idsTo(back, {})).toHaveLength(3)
    expect(idsTo(back, { timeMs: 60_000 })).toHaveLength(3)
    // In a stream nothing is numbered.
    const inStream = back.map((manifest) => ({ ...manifest, sequence: 0 }))
    expect(idsTo(inStream, {})).toHaveLength(3)
    const restored = base(25, { identity: 'b', sequence: 4, madeMs: 1 })
    expect(idsTo([...back, restored], {})).toEqual(['base 25'])
  })

  test('leaves alone a history that the database itself has left', () => {
    // Its file was put back as it was at 15, and went on.
    const old = [base(10, { sequence: 1 }), increment(10, 40, { sequence: 2 })]
    const anew = base(30, { sequence: 3, startsAnew: true, id: 'anew' })
    const all = [...old, anew, increment(30, 50, { sequence: 4 })]
    expect(idsTo(all, {})).toEqual(['anew', 'increment 30 50'])
    expect(() => idsTo(all, { position: 20 })).toThrow(/reaches back so far/)
    const named = { backup: 'increment 10 40', position: 20 }
    expect(idsTo(all, named)).toEqual(['base 10', 'increment 10 40'])
    expect(chainTo({ manifests: all }, named).position).toBe(20)
    expect(() => idsTo(all, { ...named, position: 41 })).toThrow(/does not reach so far/)
  })

  test('is found among very many increments', () => {
    const many = [base(1)]
    for (let at = 1; at < 30_000; at++) many.push(increment(at, at + 1))
    expect(idsTo(many, {})).toHaveLength(30_000)
    expect(idsTo(many, { position: 2 })).toEqual(['base 1', 'increment 1 2'])
    expect(idsTo(many, { timeMs: 5_000 })).toHaveLength(6)
  })

  test('is refused where an increment is missing, or is of another history', () => {
    const gap = [base(10), increment(20, 30)]
    expect(() => idsTo(gap, {})).toThrow(/begins behind position 20/)
    const fork = [
      base(10),
      increment(10, 20),
      increment(20, 30, { from: { position: 20, entryChain: 'x' } }),
    ]
    expect(() => idsTo(fork, { position: 25 })).toThrow(/reaches back so far/)
    const unknown = increment(20, 30, { from: { position: 20 } })
    expect(idsTo([base(10), increment(10, 20), unknown], { position: 25 })).toHaveLength(3)
    expect(() => idsTo([base(10, { identity: 'b' }), increment(10, 20)], {})).toThrow(
      /begins behind/,
    )
  })

  test('does not go in circles by increments without entries', () => {
    const still = [base(10), increment(10, 20), increment(20, 20, { id: 'still' })]
    const other = increment(20, 20, { id: 'still too' })
    expect(idsTo([...still, other, increment(20, 30)], {})).toEqual([
      'base 10',
      'increment 10 20',
      'increment 20 30',
    ])
    expect(idsTo([...still, other], {})).toEqual(['base 10', 'increment 10 20', 'still too'])
  })

  test('goes to the backup that is named, whatever came later', () => {
    expect(idsTo(all, { backup: 'increment 20 30' })).toEqual([
      'base 10',
      'increment 10 20',
      'increment 20 30',
    ])
    expect(() => idsTo(all, { backup: 'none' })).toThrow(/no backup is called none/)
    expect(() => idsTo([], {})).toThrow(/there is no backup/)
  })

  test('covers every position between the first base and the end, in order and without gaps', () => {
    const kinds = fc.array(
      fc.record({ length: fc.integer({ min: 0, max: 5 }), full: fc.boolean() }),
      {
        minLength: 1,
        maxLength: 12,
      },
    )
    fc.assert(
      fc.property(kinds, (rounds) => {
        const manifests = [base(10)]
        let at = 10
        for (const [i, { length, full }] of rounds.entries()) {
          const madeMs = 1_000_000 + i
          manifests.push(increment(at, at + length, { id: `i${i}`, madeMs }))
          at += length
          if (full) manifests.push(base(at, { id: `b${i}`, madeMs }))
        }
        for (let position = 10; position <= at; position++) {
          const chain = chainTo({ manifests }, { position })
          let reached = chain.base.to.position
          for (const { from, to } of chain.increments) {
            expect(from?.position).toBe(reached)
            reached = to.position
          }
          expect(chain.base.to.position).toBeLessThanOrEqual(position)
          expect(reached).toBeGreaterThanOrEqual(position)
          const bases = manifests.filter(
            ({ kind, to }) => kind === 'base' && to.position <= position,
          )
          expect(chain.base.to.position).toBe(bases.at(-1)?.to.position)
        }
      }),
    )
  })
})
