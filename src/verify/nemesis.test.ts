import { describe, expect, it } from 'vitest'
import { drawFrom } from '../sim/draw.ts'
import {
  NEMESES,
  NO_PROGRESS,
  planRound,
  type Injection,
  type Lane,
  type Nemesis,
} from './nemesis.ts'

const FIELD = {
  kinds: NEMESES,
  nodes: ['node-1', 'node-2', 'node-3'],
  servers: ['nats-1', 'nats-2', 'nats-3'],
}
const ROUND_MS = 20_000

/** The faults of several rounds. */
function rounds(
  seed: number,
  count: number,
  kinds: readonly Nemesis[] = NEMESES,
): readonly Injection[][] {
  const draw = drawFrom(seed)
  let progress = NO_PROGRESS
  return Array.from({ length: count }, (_, i) => {
    const plan = planRound(draw, draw.fork(`${i}`), { ...FIELD, kinds }, ROUND_MS, progress)
    progress = plan.progress
    return [...plan.injections]
  })
}

const ofLane = (injections: readonly Injection[], lane: Lane): Injection[] =>
  injections.filter((one) => one.lane === lane)

describe('the faults of a round', () => {
  it('follow from the seed alone', () => {
    expect(rounds(7, 3)).toEqual(rounds(7, 3))
    expect(rounds(7, 3)).not.toEqual(rounds(8, 3))
  })

  it('are one at a time in each lane, and over when the round is', () => {
    for (let seed = 1; seed <= 50; seed++) {
      for (const injections of rounds(seed, 3)) {
        for (const lane of ['node', 'server'] as const) {
          let freeMs = 0
          for (const { atMs, forMs } of ofLane(injections, lane)) {
            expect(atMs).toBeGreaterThanOrEqual(freeMs)
            freeMs = atMs + forMs
            expect(freeMs).toBeLessThanOrEqual(ROUND_MS)
          }
        }
      }
    }
  })

  it('are of every kind before one comes again', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const all = rounds(seed, 6).flat()
      for (const lane of ['node', 'server'] as const) {
        const kinds = ofLane(all, lane).map(({ harm }) => harm.kind)
        const possible = new Set(kinds)
        const cycle = kinds.slice(0, possible.size)
        expect(new Set(cycle)).toEqual(possible)
      }
      expect(new Set(all.map(({ harm }) => harm.kind))).toEqual(new Set(NEMESES))
    }
  })

  it('are of those kinds alone that were asked for', () => {
    const all = rounds(3, 4, ['kill-server', 'slow']).flat()
    expect(new Set(all.map(({ harm }) => harm.kind))).toEqual(new Set(['kill-server', 'slow']))
    expect(rounds(3, 4, []).flat()).toEqual([])
  })

  it('never touch a second server, but to lose the quorum, and never a second node', () => {
    const kindsOf = (lane: Lane): Set<string> =>
      new Set(ofLane(rounds(5, 10).flat(), lane).map(({ harm }) => harm.kind))
    expect(kindsOf('node')).not.toContain('quorum-loss')
    expect([...kindsOf('server')].filter((kind) => kind.endsWith('-node'))).toEqual([])
    for (const { harm, target } of ofLane(rounds(5, 10).flat(), 'server')) {
      if (harm.kind === 'partition') expect(harm.others ?? []).not.toContain(target)
    }
  })
})
