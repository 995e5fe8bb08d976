/** Effects of requests that were answered, refused and lost on the way. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkEffects, type EffectInput, type EffectRequest } from './effects.ts'
import { happen, plansOf, randomOf, type Plan } from './sample-histories.contract.ts'

interface Run {
  readonly requests: EffectRequest[]
  readonly effects: string[]
}

function run(plans: readonly Plan[]): Run {
  const effects: string[] = []
  const requests = happen<EffectInput, undefined>(plans, {
    ask: ({ key }, index) => ({ id: `id${index}`, key: `k${key}` }),
    act: ({ id }, takesEffect) => {
      if (takesEffect) effects.push(id)
      return undefined
    },
  })
  return { requests, effects }
}

type Damage = (run: Run, random: (below: number) => number) => Run | undefined

const applied = ({ requests, effects }: Run, i: number): EffectRequest | undefined =>
  requests.find(({ input }) => input.id === effects[i])

/** Two neighbours of one key, one of which had returned before the other one was called. */
function orderedPair(run: Run): number | undefined {
  const at = run.effects.findIndex((_, i) => {
    const [a, b] = [applied(run, i), applied(run, i + 1)]
    if (a === undefined || b === undefined || a.outcome !== 'ok') return false
    return a.return < b.call && a.input.key === b.input.key
  })
  return at < 0 ? undefined : at
}

/** Each is effective, or undefined where there is nothing to damage. */
const DAMAGES: Record<string, Damage> = {
  'exactly-once:lost': ({ requests, effects }, random) => {
    const acked = requests.filter(({ outcome }) => outcome === 'ok')
    const id = acked[random(acked.length || 1)]?.input.id
    return id === undefined ? undefined : { requests, effects: effects.filter((one) => one !== id) }
  },
  'exactly-once:duplicated': ({ requests, effects }, random) => {
    const id = effects[random(effects.length || 1)]
    return id === undefined ? undefined : { requests, effects: [...effects, id] }
  },
  'exactly-once:phantom': ({ requests, effects }, random) => ({
    requests,
    effects: effects.toSpliced(random(effects.length + 1), 0, 'nobody-asked'),
  }),
  'exactly-once:failed-applied': ({ requests, effects }, random) => {
    const failed = requests.filter(({ outcome }) => outcome === 'failed')
    const id = failed[random(failed.length || 1)]?.input.id
    // In a place of its own, so that it breaks no order besides.
    const alone = requests.map((one) =>
      one.input.id === id ? { ...one, input: { ...one.input, key: 'its own' } } : one,
    )
    return id === undefined ? undefined : { requests: alone, effects: [...effects, id] }
  },
  'exactly-once:reordered': (run) => {
    const at = orderedPair(run)
    if (at === undefined) return undefined
    const [a = '', b = ''] = run.effects.slice(at, at + 2)
    return { requests: run.requests, effects: run.effects.toSpliced(at, 2, b, a) }
  },
}

describe('exactly-once effects', () => {
  it('are what a right run has, unknown outcomes and all', () => {
    fc.assert(
      fc.property(plansOf(60), (plans) => {
        const { requests, effects } = run(plans)
        const verdict = checkEffects(requests, effects)
        expect(verdict).toMatchObject({ result: 'ok', checks: requests.length, violations: [] })
      }),
    )
  })

  it.each(Object.entries(DAMAGES))('name it in every damaged run: %s', (property, damage) => {
    let [effective, killed] = [0, 0]
    fc.assert(
      fc.property(plansOf(30), fc.nat(), (plans, seed) => {
        const damaged = damage(run(plans), randomOf(seed))
        if (damaged === undefined) return
        effective++
        const { counts } = checkEffects(damaged.requests, damaged.effects)
        if (Object.keys(counts).join() === property) killed++
      }),
      { numRuns: 300 },
    )
    expect(killed).toBe(effective)
    expect(effective).toBeGreaterThan(50)
  })

  it('forgive the loss of an ack that no disk remembers, but no second effect of it', () => {
    const request = requestOf('a', 1, 2)
    expect(checkEffects([request], []).counts).toEqual({ 'exactly-once:lost': 1 })
    const forgotten = { ...request, survived: false }
    expect(checkEffects([forgotten], []).result).toBe('ok')
    expect(checkEffects([forgotten], ['a', 'a']).counts).toEqual({ 'exactly-once:duplicated': 1 })
  })

  it('keep the order of real time, of processes, or none', () => {
    const requests = [requestOf('a', 1, 2), { ...requestOf('b', 3, 4), process: 'other' }]
    const counts = { 'exactly-once:reordered': 1 }
    expect(checkEffects(requests, ['b', 'a']).counts).toEqual(counts)
    expect(checkEffects(requests, ['b', 'a'], { order: 'process' }).result).toBe('ok')
    const ofOne = requests.map((request) => ({ ...request, process: 'c' }))
    expect(checkEffects(ofOne, ['b', 'a'], { order: 'process' }).counts).toEqual(counts)
    expect(checkEffects(ofOne, ['b', 'a'], { order: 'none' }).result).toBe('ok')
  })

  it('need an id of its own for each request', () => {
    const twice = [requestOf('a', 1, 2), requestOf('a', 3, 4)]
    expect(checkEffects(twice, ['a']).counts).toEqual({ 'history:id-used-twice': 1 })
  })
})

function requestOf(id: string, call: number, end: number): EffectRequest {
  return { process: 'c', call, return: end, outcome: 'ok', input: { id, key: 'k' } }
}
