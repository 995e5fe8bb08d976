// C1: who lives, by the heartbeats that came and those that did not.
import { describe, expect, it } from 'vitest'
import { Kernel } from '../sim/kernel.ts'
import { heartbeat } from './heartbeat-samples.contract.ts'
import { DEAD_MS, Membership } from './membership.ts'
import { Arrivals } from './phi.ts'

const EVERY_MS = 500

/** States of `b` at each heartbeat and each tick, by arrivals in milliseconds. */
function statesOver(arrivals: readonly number[], untilMs: number): string[] {
  const membership = new Membership(EVERY_MS)
  const seen: string[] = []
  let next = 0
  for (let nowMs = 0; nowMs <= untilMs; nowMs += 50) {
    if (nowMs % EVERY_MS === 0) membership.ticked(nowMs)
    const [before] = membership.members(nowMs)
    if (before !== undefined) seen.push(before.state)
    while ((arrivals[next] ?? Number.POSITIVE_INFINITY) <= nowMs) {
      membership.heard(heartbeat('b'), arrivals[next++] as number)
    }
  }
  return seen
}

describe('phi', () => {
  it('rises with the silence, and is small while heartbeats are due', () => {
    const arrivals = new Arrivals(EVERY_MS, 0)
    for (let n = 1; n <= 50; n++) arrivals.arrived(n * EVERY_MS, true)
    const phis = [0, 250, 500, 1_000, 2_000, 4_000].map((ms) => arrivals.phi(25_000 + ms))
    expect(phis).toEqual(phis.toSorted((a, b) => a - b))
    expect(phis[2]).toBeCloseTo(Math.log10(2), 5)
    expect(phis[4]).toBeGreaterThan(8)
    expect(arrivals.phi(25_000 + 1e9)).toBeLessThan(1_000)
  })

  it('is slower to suspect who was always irregular', () => {
    const [regular, irregular] = [new Arrivals(EVERY_MS, 0), new Arrivals(EVERY_MS, 0)]
    for (let n = 1; n <= 100; n++) {
      regular.arrived(n * EVERY_MS, true)
      irregular.arrived(n * EVERY_MS + (n % 2 === 0 ? 0 : 450), true)
    }
    expect(irregular.phi(52_000)).toBeLessThan(regular.phi(52_000) / 2)
  })

  it('forgets intervals of long ago', () => {
    const arrivals = new Arrivals(EVERY_MS, 0)
    let nowMs = 0
    for (let n = 0; n < 30; n++) arrivals.arrived((nowMs += 3_000), true)
    const slow = arrivals.phi(nowMs + 2_500)
    for (let n = 0; n < 100; n++) arrivals.arrived((nowMs += EVERY_MS), true)
    expect(slow).toBeLessThan(1)
    expect(arrivals.phi(nowMs + 2_500)).toBeGreaterThan(8)
  })
})

describe('a member', () => {
  it.each(Array.from({ length: 20 }, (_, i) => i + 1))(
    'does not flap while its heartbeats jitter by 200 ms, seed %i',
    (seed) => {
      const draw = new Kernel(seed).random('jitter')
      const arrivals = Array.from({ length: 400 }, (_, n) => n * EVERY_MS + 200 * draw.float())
      const states = statesOver(arrivals, 399 * EVERY_MS)
      expect(states.length).toBeGreaterThan(3_000)
      expect(new Set(states)).toEqual(new Set(['alive']))
    },
  )

  it('that pauses is suspected, then dead, and alive when it is heard again', () => {
    const before = Array.from({ length: 20 }, (_, n) => n * EVERY_MS)
    const after = Array.from({ length: 5 }, (_, n) => 30_000 + n * EVERY_MS)
    const states = statesOver([...before, ...after], 32_000)
    const changes = states.filter((state, i) => state !== states[i - 1])
    expect(changes).toEqual(['alive', 'suspect', 'dead', 'alive'])
  })

  it('is not blamed for a pause of whoever listens', () => {
    const membership = new Membership(EVERY_MS)
    let nowMs = 0
    for (; nowMs <= 10_000; nowMs += EVERY_MS) {
      membership.heard(heartbeat('b'), nowMs)
      membership.ticked(nowMs)
    }
    nowMs += 60_000
    expect(membership.members(nowMs)).toMatchObject([{ state: 'alive' }])
    // It is gone indeed.
    for (let n = 0; n * EVERY_MS <= DEAD_MS + 1_000; n++) membership.ticked((nowMs += EVERY_MS))
    expect(membership.members(nowMs)).toMatchObject([{ state: 'dead' }])
  })

  it('that says good-bye is gone, and one that is dead for an hour', () => {
    const membership = new Membership(EVERY_MS)
    membership.ticked(0)
    for (const node of ['c', 'a', 'b']) membership.heard(heartbeat(node), 0)
    expect(membership.members(0).map((member) => member.heartbeat.node)).toEqual(['a', 'b', 'c'])
    membership.heard(heartbeat('a', { leaves: true, incarnation: 'a#0' }), 10)
    expect(membership.members(10)).toHaveLength(3)
    membership.heard(heartbeat('a', { leaves: true }), 10)
    expect(membership.members(10).map((member) => member.heartbeat.node)).toEqual(['b', 'c'])
    for (let nowMs = 0; nowMs < 3_700_000; nowMs += 1_000) membership.ticked(nowMs)
    expect(membership.members(3_700_000)).toEqual([])
  })

  it('that starts again is measured anew', () => {
    const membership = new Membership(EVERY_MS)
    membership.ticked(0)
    membership.heard(heartbeat('a'), 0)
    for (let nowMs = 0; nowMs < 20_000; nowMs += EVERY_MS) membership.ticked(nowMs)
    expect(membership.members(20_000)).toMatchObject([{ state: 'dead' }])
    membership.heard(heartbeat('a', { incarnation: 'a#2' }), 20_000)
    expect(membership.members(20_000)).toMatchObject([{ state: 'alive', silentMs: 0 }])
  })
})
