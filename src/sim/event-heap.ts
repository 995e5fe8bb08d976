/** A binary heap of events by time, then by their seeded tie-break, then by age. */
import type { Owner } from './scope.ts'

export interface Event {
  atMs: number
  tie: number
  order: number
  readonly label: string
  readonly owner: Owner
  readonly run: () => void
  cancelled: boolean
  /** Who scheduled it, when that is recorded. */
  readonly site: Error | undefined
}

export class EventHeap {
  readonly #events: Event[] = []

  get size(): number {
    return this.#events.length
  }

  push(event: Event): void {
    const events = this.#events
    let at = events.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = events[parent] as Event
      if (!precedes(event, above)) break
      events[at] = above
      at = parent
    }
    events[at] = event
  }

  pop(): Event | undefined {
    const events = this.#events
    const first = events[0]
    const last = events.pop()
    if (first === undefined || last === undefined || events.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= events.length) break
      const right = events[child + 1]
      if (right !== undefined && precedes(right, events[child] as Event)) child++
      const below = events[child] as Event
      if (!precedes(below, last)) break
      events[at] = below
      at = child
    }
    events[at] = last
    return first
  }
}

function precedes(a: Event, b: Event): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs
  if (a.tie !== b.tie) return a.tie < b.tie
  return a.order < b.order
}
