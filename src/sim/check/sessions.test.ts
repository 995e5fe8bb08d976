/** Sessions over one log whose readers lag, and over two replicas: right ones pass, broken ones do not. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { plansOf, randomOf, type Plan } from './sample-histories.contract.ts'
import { checkSessions, type SessionOperation } from './sessions.ts'

/** Every read is served as late as its session allows; a write comes behind everything. */
function lagging(plans: readonly Plan[]): SessionOperation[] {
  const floors = new Map<string, number>()
  let position = 0
  return plans.map(({ process, kind, waits, outcome, applied }, i) => {
    const name = `s${process}`
    const isWrite = kind > 2
    if (isWrite && (outcome === 'ok' || applied)) position++
    const floor = floors.get(name) ?? 0
    const seen = isWrite ? position : floor + ((waits[0] * (position - floor)) >> 3)
    if (outcome === 'ok') floors.set(name, seen)
    return {
      process: name,
      call: 2 * i,
      return: 2 * i + 1,
      outcome,
      input: { kind: isWrite ? 'write' : 'read' },
      output: outcome === 'ok' ? { version: seen } : undefined,
    }
  })
}

const versionOf = ({ output }: SessionOperation): number => output?.version as number
const asVector = (one: SessionOperation): SessionOperation =>
  one.outcome === 'ok' ? { ...one, output: { version: { a: versionOf(one), b: 7 } } } : one

/** What is broken at `i` when its version falls below those of what its session did before. */
function brokenAt(history: readonly SessionOperation[], i: number, version: number): string[] {
  const { process, input } = history[i] as SessionOperation
  const before = history
    .slice(0, i)
    .filter((one) => one.process === process && one.outcome === 'ok')
  const isBelow = (kind: string): boolean =>
    before.some((one) => {
      if (one.input.kind !== kind) return false
      return input.kind === 'read' ? version < versionOf(one) : version <= versionOf(one)
    })
  const names =
    input.kind === 'read'
      ? { write: 'read-your-writes', read: 'monotonic-reads' }
      : { write: 'monotonic-writes', read: 'writes-follow-reads' }
  return [
    ...(isBelow('write') ? [`session:${names.write}`] : []),
    ...(isBelow('read') ? [`session:${names.read}`] : []),
  ]
}

describe('session guarantees', () => {
  it('hold where every reply is at or above what its session knows', () => {
    fc.assert(
      fc.property(plansOf(60), (plans) => {
        const history = lagging(plans)
        const checks = history.filter(({ outcome }) => outcome === 'ok').length
        expect(checkSessions(history)).toMatchObject({ result: 'ok', checks })
        expect(checkSessions(history.map(asVector)).result).toBe('ok')
      }),
    )
  })

  it('each broken one is named, in all mutants', () => {
    const killed = new Map<string, number>()
    fc.assert(
      fc.property(plansOf(20, 5), fc.nat(), (plans, seed) => {
        const history = lagging(plans)
        const random = randomOf(seed)
        const last = history.findLastIndex(({ outcome }) => outcome === 'ok')
        const version = random(8)
        const broken = last < 0 ? [] : brokenAt(history, last, version)
        const mutant = history.map((one, i) => (i === last ? { ...one, output: { version } } : one))
        expect(Object.keys(checkSessions(mutant).counts).toSorted()).toEqual(broken.toSorted())
        for (const name of broken) killed.set(name, (killed.get(name) ?? 0) + 1)
      }),
      { numRuns: 1_000 },
    )
    expect([...killed.keys()].toSorted()).toEqual([
      'session:monotonic-reads',
      'session:monotonic-writes',
      'session:read-your-writes',
      'session:writes-follow-reads',
    ])
    expect(Math.min(...killed.values())).toBeGreaterThan(10)
  })

  it('bind nothing that the session did at the same time, or never heard of', () => {
    const write = done('write', 1, 10, { version: 5 })
    expect(checkSessions([write, done('read', 2, 3, { version: 1 })]).result).toBe('ok')
    expect(checkSessions([write, done('read', 11, 12, { version: 1 })]).result).toBe('violation')
    const unknown = { ...write, outcome: 'unknown' as const }
    expect(checkSessions([unknown, done('read', 11, 12, { version: 1 })]).result).toBe('ok')
    const forgotten = { ...write, survived: false }
    expect(checkSessions([forgotten, done('read', 11, 12, { version: 1 })]).result).toBe('ok')
  })

  it('compare versions by component, by key where asked, and by position without a version', () => {
    const write = done('write', 1, 2, { version: { a: 1, b: 4 } })
    const counts = { 'session:read-your-writes': 1 }
    expect(checkSessions([write, done('read', 3, 4, { version: { a: 9, b: 3 } })]).counts).toEqual(
      counts,
    )
    expect(checkSessions([write, done('read', 3, 4, { version: { a: 9 } })]).counts).toEqual(counts)
    const x = {
      ...done('write', 1, 2, undefined),
      input: { kind: 'write', key: 'x' },
      position: 4,
    } as const
    const y = {
      ...done('read', 3, 4, undefined),
      input: { kind: 'read', key: 'y' },
      position: 3,
    } as const
    expect(checkSessions([x, y]).counts).toEqual(counts)
    expect(checkSessions([x, y], { scope: 'key' }).result).toBe('ok')
  })

  it('need no order in which a history is told', () => {
    const one = done('write', 1, 2, { version: 5 })
    const other = done('read', 3, 4, { version: 1 })
    expect(checkSessions([other, one]).counts).toEqual(checkSessions([one, other]).counts)
  })
})

function done(
  kind: 'read' | 'write',
  call: number,
  end: number,
  output: SessionOperation['output'],
): SessionOperation {
  return { process: 's', call, return: end, outcome: 'ok', input: { kind }, output }
}
