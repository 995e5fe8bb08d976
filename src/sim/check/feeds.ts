/** A feed against the true sequence of changes (S12): complete, in order, without gaps. */
import { same } from './canonical.ts'
import { Findings, short, type Verdict } from './verdict.ts'

/** A place in the sequence: the position of an entry, and which of its ops. */
export interface Place {
  readonly position: number
  readonly ordinal: number
}

export interface FeedChange extends Place {
  readonly key: string
  /** The row after it; undefined: it was deleted. */
  readonly value: unknown
}

/** What a consumer met, in order. */
export type FeedEvent =
  /** Opened the feed, or resumed it, behind a place; undefined: from the beginning. */
  | { readonly kind: 'open'; readonly after: Place | undefined }
  /** Was given all rows as they were at a position, and goes on from there. */
  | {
      readonly kind: 'snapshot'
      readonly position: number
      readonly rows: Iterable<readonly [key: string, value: unknown]>
    }
  | { readonly kind: 'change'; readonly change: FeedChange }
  /** Was told that its place is trimmed. `horizon`: the highest position trimmed anywhere by then. */
  | { readonly kind: 'trimmed'; readonly horizon: number }
  /** Was told that this is all up to a position. */
  | { readonly kind: 'caught-up'; readonly position: number }

/**
 * `truth`: every change that the feed is about, in order, from the beginning of the log.
 *
 * Properties: `feed:gap`, `feed:duplicate` (at or before what it had, since it opened), `feed:phantom`
 * (no such change), `feed:wrong-change` (another key or row at that place), `feed:incomplete` (caught
 * up without all), `feed:snapshot`, `feed:horizon` (refused for a trim that had not come so far).
 */
export function checkFeed(truth: readonly FeedChange[], events: Iterable<FeedEvent>): Verdict {
  const findings = new Findings()
  const reader = new Reader(truth, findings)
  for (const event of events) {
    findings.checked()
    reader.meet(event)
  }
  return findings.verdict()
}

class Reader {
  readonly #truth: readonly FeedChange[]
  readonly #findings: Findings
  /** How many changes are behind it. */
  #at = 0
  #after: Place | undefined

  constructor(truth: readonly FeedChange[], findings: Findings) {
    this.#truth = truth
    this.#findings = findings
  }

  meet(event: FeedEvent): void {
    switch (event.kind) {
      case 'open':
        return this.#seek(event.after)
      case 'snapshot':
        this.#seek({ position: event.position, ordinal: Number.POSITIVE_INFINITY })
        return this.#compare(event.rows)
      case 'change':
        return this.#take(event.change)
      case 'trimmed':
        return this.#refused(event.horizon)
      case 'caught-up': {
        const next = this.#truth[this.#at]
        if (next !== undefined && next.position <= event.position)
          this.#found('incomplete', `caught up to ${event.position} without ${show(next)}`)
      }
    }
  }

  /** Rightly so if what comes next may be gone. */
  #refused(horizon: number): void {
    const next = this.#truth[this.#at]
    if ((this.#after?.position ?? 0) < horizon || (next && next.position <= horizon)) return
    this.#found('horizon', `refused as trimmed, where only ${horizon} was`)
  }

  #take(change: FeedChange): void {
    const index = countBefore(this.#truth, change)
    const real = this.#truth[index]
    if (real === undefined || comparePlaces(real, change) !== 0)
      return this.#found('phantom', `${show(change)}, which never was`)
    if (real.key !== change.key || !same(real.value, change.value))
      this.#found('wrong-change', `${show(change)} for ${show(real)}`)
    if (index < this.#at) return this.#found('duplicate', `${show(change)} again`)
    const expected = this.#truth[this.#at]
    if (index > this.#at && expected !== undefined)
      this.#found('gap', `${show(change)} without ${show(expected)} before it`)
    this.#at = index + 1
    this.#after = change
  }

  #compare(given: Iterable<readonly [string, unknown]>): void {
    const rows = new Map<string, unknown>()
    for (const { key, value } of this.#truth.slice(0, this.#at)) {
      if (value === undefined) rows.delete(key)
      else rows.set(key, value)
    }
    const shown = new Map(given)
    for (const key of new Set([...rows.keys(), ...shown.keys()])) {
      if (shown.has(key) === rows.has(key) && same(shown.get(key), rows.get(key))) continue
      const [is, was] = [short(shown.get(key)), short(rows.get(key))]
      this.#found('snapshot', `row ${key} was given as ${is}, and was ${was}`)
    }
  }

  #seek(after: Place | undefined): void {
    this.#after = after
    this.#at = after === undefined ? 0 : countBefore(this.#truth, after, true)
  }

  #found(anomaly: string, message: string): void {
    const { position, ordinal } = this.#after ?? { position: 0, ordinal: 0 }
    this.#findings.found(`feed:${anomaly}`, `after ${position}.${ordinal}: ${message}`)
  }
}

function comparePlaces(a: Place, b: Place): number {
  if (a.position !== b.position) return a.position < b.position ? -1 : 1
  return a.ordinal === b.ordinal ? 0 : a.ordinal < b.ordinal ? -1 : 1
}

/** How many changes come before a place, itself included if `andIt`. */
function countBefore(truth: readonly FeedChange[], place: Place, andIt = false): number {
  let low = 0
  for (let high = truth.length; low < high;) {
    const middle = Math.floor((low + high) / 2)
    const order = comparePlaces(truth[middle] as FeedChange, place)
    if (order < 0 || (andIt && order === 0)) low = middle + 1
    else high = middle
  }
  return low
}

function show({ position, ordinal, key, value }: FeedChange): string {
  return `${position}.${ordinal} ${key}=${short(value)}`
}
