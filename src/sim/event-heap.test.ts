import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EventHeap, type Event } from './event-heap.ts'

const owner = { name: 'a', alive: true, paused: false }

function event(atMs: number, tie: number, order: number): Event {
  const run = (): void => undefined
  return { atMs, tie, order, label: '', owner, run, cancelled: false, site: undefined }
}

describe('event heap', () => {
  it('gives events by time, then tie-break, then age, however pushes and pops mix', () => {
    // A pair is pushed, null pops.
    const moves = fc.array(fc.option(fc.tuple(fc.nat(5), fc.nat(3)), { freq: 3 }))
    fc.assert(
      fc.property(moves, (moves) => {
        const heap = new EventHeap()
        let model: Event[] = []
        for (const [order, move] of moves.entries()) {
          if (move === null) {
            const [first, ...rest] = model
            expect(heap.pop()).toBe(first)
            model = rest
          } else {
            const pushed = event(move[0], move[1], order)
            heap.push(pushed)
            model = [...model, pushed].toSorted(
              (a, b) => a.atMs - b.atMs || a.tie - b.tie || a.order - b.order,
            )
          }
          expect(heap.size).toBe(model.length)
        }
        for (const left of model) expect(heap.pop()).toBe(left)
        expect(heap.pop()).toBeUndefined()
      }),
      { numRuns: 500 },
    )
  })
})
