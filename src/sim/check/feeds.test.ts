/** Consumers that crash, resume and start over, on a feed that is right and on damaged ones. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkFeed, type FeedChange, type FeedEvent } from './feeds.ts'
import { randomOf } from './sample-histories.contract.ts'

const change: fc.Arbitrary<Omit<FeedChange, 'position'> & { step: number }> = fc.record({
  step: fc.nat({ max: 2 }),
  ordinal: fc.constant(0),
  key: fc.constantFrom('a', 'b', 'c'),
  value: fc.option(fc.record({ v: fc.nat() }), { nil: undefined }),
})

const truth = fc.array(change, { minLength: 3, maxLength: 30, size: 'max' }).map((changes) => {
  let [position, ordinal] = [1, -1]
  return changes.map(({ step, key, value }): FeedChange => {
    ordinal = step === 0 ? ordinal + 1 : 0
    position += step
    return { position, ordinal, key, value }
  })
})

function rowsAt(changes: readonly FeedChange[], position: number): Map<string, unknown> {
  const rows = new Map<string, unknown>()
  for (const { key, value, position: at } of changes) {
    if (at > position) break
    if (value === undefined) rows.delete(key)
    else rows.set(key, value)
  }
  return rows
}

/** Reads to the end, resuming now and then from a place that it had, or from a snapshot. */
function consume(changes: readonly FeedChange[], random: (below: number) => number): FeedEvent[] {
  const events: FeedEvent[] = [{ kind: 'open', after: undefined }]
  let resumes = 4
  for (let at = 0; at < changes.length;) {
    const what = resumes > 0 ? random(10) : 9
    const behind = changes[random(at + 1) - 1]
    if (what === 0) {
      resumes--
      events.push({ kind: 'open', after: behind })
      at = behind === undefined ? 0 : changes.indexOf(behind) + 1
    } else if (what === 1) {
      resumes--
      const position = changes[at]?.position ?? 0
      events.push({ kind: 'trimmed', horizon: position + 1 })
      events.push({ kind: 'snapshot', position, rows: rowsAt(changes, position) })
      at = changes.findLastIndex((one) => one.position === position) + 1
    } else events.push({ kind: 'change', change: changes[at++] as FeedChange })
  }
  return [...events, { kind: 'caught-up', position: changes.at(-1)?.position ?? 0 }]
}

type Change = FeedEvent & { readonly kind: 'change' }
type Damage = (
  events: readonly FeedEvent[],
  random: (below: number) => number,
) => FeedEvent[] | undefined

const placesOf = (events: readonly FeedEvent[], kind: FeedEvent['kind']): number[] =>
  [...events.keys()].filter((i) => events[i]?.kind === kind)

/** Each is effective, or undefined where there is nothing to damage. */
const DAMAGES: Record<string, Damage> = {
  'feed:gap': (events) => {
    // One in the middle: another one follows it at once.
    const at = events.findIndex(
      (one, i) => one.kind === 'change' && events[i + 1]?.kind === 'change',
    )
    return at < 0 ? undefined : events.toSpliced(at, 1)
  },
  'feed:incomplete': (events) => {
    if (events.at(-2)?.kind !== 'change') return undefined
    return events.toSpliced(-2, 1)
  },
  'feed:duplicate': (events, random) => {
    const places = placesOf(events, 'change')
    const at = places[random(places.length || 1)]
    return at === undefined ? undefined : events.toSpliced(at, 0, events[at] as FeedEvent)
  },
  'feed:phantom': (events, random) => {
    const [at] = placesOf(events, 'change')
    if (at === undefined) return undefined
    const { change } = events[at] as Change
    const nowhere = { ...change, ordinal: 100 + random(9) }
    return events.toSpliced(at, 0, { kind: 'change', change: nowhere })
  },
  'feed:wrong-change': (events, random) => {
    const places = placesOf(events, 'change')
    const at = places[random(places.length || 1)]
    if (at === undefined) return undefined
    const { change } = events[at] as Change
    const other = random(2) === 0 ? { ...change, key: 'other' } : { ...change, value: { v: -1 } }
    return events.toSpliced(at, 1, { kind: 'change', change: other })
  },
  'feed:snapshot': (events, random) => {
    const places = placesOf(events, 'snapshot')
    const at = places[random(places.length || 1)]
    if (at === undefined) return undefined
    const snapshot = events[at] as FeedEvent & { readonly kind: 'snapshot' }
    const rows = new Map(snapshot.rows)
    const [first] = rows.keys()
    if (first === undefined || random(2) === 0) rows.set('extra', { v: 1 })
    else rows.delete(first)
    return events.toSpliced(at, 1, { ...snapshot, rows })
  },
  'feed:horizon': (events, random) => {
    const at = 1 + random(events.length)
    return events.toSpliced(at, 0, { kind: 'trimmed', horizon: -1 })
  },
}

describe('a feed', () => {
  it('is right when complete and in order, across resumes, trims and snapshots', () => {
    fc.assert(
      fc.property(truth, fc.nat(), (changes, seed) => {
        const events = consume(changes, randomOf(seed))
        const verdict = checkFeed(changes, events)
        expect(verdict).toMatchObject({ result: 'ok', checks: events.length, violations: [] })
      }),
      { numRuns: 300 },
    )
  })

  it.each(Object.entries(DAMAGES))('is damaged, in every damaged one: %s', (property, damage) => {
    let [effective, killed] = [0, 0]
    fc.assert(
      fc.property(truth, fc.nat(), (changes, seed) => {
        const random = randomOf(seed)
        const damaged = damage(consume(changes, random), random)
        if (damaged === undefined) return
        effective++
        if (Object.keys(checkFeed(changes, damaged).counts).join() === property) killed++
      }),
      { numRuns: 300 },
    )
    expect(killed).toBe(effective)
    expect(effective).toBeGreaterThan(50)
  })

  it('may be refused in the middle of a trimmed position, not behind one', () => {
    const changes = [0, 1].map((ordinal) => ({ position: 5, ordinal, key: 'a', value: ordinal }))
    const refusal = { kind: 'trimmed', horizon: 5 } as const
    expect(checkFeed(changes, [{ kind: 'open', after: changes[0] }, refusal]).result).toBe('ok')
    const behind = [{ kind: 'open', after: changes[1] } as const, refusal]
    expect(checkFeed(changes, behind).counts).toEqual({ 'feed:horizon': 1 })
  })
})
