// S7: a lost log goes on from the highest place that all agree on; nothing is given up unasked.
import { describe, expect, it } from 'vitest'
import type { Bytes } from '../../core/bytes.ts'
import { digest, DIGEST_BYTES } from '../../core/hash.ts'
import { planRefound, type Report } from './plan.ts'

interface Shape {
  /** A letter for each entry applied. */
  readonly entries: string
  readonly known?: readonly string[]
  /** The first entry that is kept. */
  readonly keptFrom?: number
  readonly decisions?: number
}

function report(node: string, { entries, known = [], keptFrom = 1, decisions = 0 }: Shape): Report {
  let chain: Bytes = new Uint8Array(DIGEST_BYTES)
  for (const letter of entries) chain = digest(chain, Buffer.from(letter))
  return {
    node,
    dir: `/${node}`,
    position: entries.length,
    entryChain: chain,
    decisionChain: new Uint8Array(DIGEST_BYTES).fill(decisions),
    known,
    entry: (at) =>
      at < keptFrom || at > entries.length ? undefined : Buffer.from(entries[at - 1] as string),
  }
}

const nodes = (reports: readonly Report[]): string[] => reports.map(({ node }) => node)
const refused = { code: 'LossNotAccepted' }

describe('where a lost log goes on', () => {
  it('is the highest place that a folder has; the others get what they lack', () => {
    const plan = planRefound(
      [
        report('a', { entries: 'xyz' }),
        report('b', { entries: 'xyzuv' }),
        report('c', { entries: 'xyzuv' }),
        report('d', { entries: '' }),
      ],
      [],
    )
    expect(plan.source.position).toBe(5)
    expect(nodes(plan.level).toSorted()).toEqual(['b', 'c'])
    expect(nodes(plan.behind).toSorted()).toEqual(['a', 'd'])
    expect(plan.over).toEqual([])
  })

  it('is not decided while the folder of a known node is missing, unless that is accepted', () => {
    const a = report('a', { entries: 'xy', known: ['a', 'b', 'c'] })
    const b = report('b', { entries: 'xyz', known: ['a', 'b', 'd'] })
    expect(() => planRefound([a, b], ['c'])).toThrow(expect.objectContaining(refused) as Error)
    expect(planRefound([a, b], ['c', 'd']).source.node).toBe('b')
    expect(() => planRefound([], [])).toThrow(
      expect.objectContaining({ code: 'NotFound' }) as Error,
    )
  })

  it('is not decided over two histories, whichever is longer; one side has to be given up', () => {
    const a = report('a', { entries: 'xyz' })
    const b = report('b', { entries: 'xyqr' })
    expect(() => planRefound([a, b], [])).toThrow(expect.objectContaining(refused) as Error)
    const without = planRefound([a, b], ['b'])
    expect([without.source.node, nodes(without.over)]).toEqual(['a', ['b']])
    expect(planRefound([a, b], ['a']).source.node).toBe('b')
  })

  it('takes other decisions over the same entries for another history', () => {
    const a = report('a', { entries: 'xyz', decisions: 1 })
    const b = report('b', { entries: 'xyz', decisions: 2 })
    expect(() => planRefound([a, b], [])).toThrow(expect.objectContaining(refused) as Error)
  })

  it('leaves out who is too far behind for what the others have kept', () => {
    const a = report('a', { entries: 'xyzuv', keptFrom: 4 })
    const plan = planRefound(
      [a, report('b', { entries: 'xyz' }), report('c', { entries: 'x' })],
      [],
    )
    expect([nodes(plan.behind), nodes(plan.over)]).toEqual([['b'], ['c']])
  })
})
