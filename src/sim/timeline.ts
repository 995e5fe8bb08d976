/** What happened in a run, for people: operations, faults, restarts, in order of virtual time. */
export interface TimelineEntry {
  readonly atMs: number
  /** A node, a client, or `world`. */
  readonly who: string
  readonly text: string
  /** Faults are marked, so that they stand out. */
  readonly isFault: boolean
}

/** Entries kept: the newest ones. */
const ENTRIES_MAX = 20_000

export class Timeline {
  #entries: TimelineEntry[] = []

  add(atMs: number, who: string, text: string, isFault = false): void {
    this.#entries.push({ atMs, who, text, isFault })
    if (this.#entries.length > 2 * ENTRIES_MAX) this.#entries = this.#entries.slice(-ENTRIES_MAX)
  }

  get entries(): readonly TimelineEntry[] {
    return this.#entries
  }

  /**
   * The part around `atMs`: all faults before it, and at most `count` of the other entries that are
   * nearest to it, those that mention one of `words` first.
   */
  around(atMs: number, words: readonly string[], count = 30): string {
    const isNamed = (entry: TimelineEntry): boolean =>
      words.some((word) => entry.text.includes(word))
    const near = this.#entries
      .map((entry, order) => ({ entry, order }))
      .filter(({ entry }) => !entry.isFault)
      .toSorted(
        (a, b) =>
          Number(isNamed(b.entry)) - Number(isNamed(a.entry)) ||
          Math.abs(a.entry.atMs - atMs) - Math.abs(b.entry.atMs - atMs),
      )
      .slice(0, count)
    const shown = new Set(near.map(({ order }) => order))
    const lines: string[] = []
    let left = 0
    for (const [order, entry] of this.#entries.entries()) {
      if (!entry.isFault && !shown.has(order)) {
        left++
        continue
      }
      if (left > 0) lines.push(`           ... ${left} more`)
      left = 0
      lines.push(lineOf(entry))
    }
    return lines.join('\n')
  }
}

function lineOf({ atMs, who, text, isFault }: TimelineEntry): string {
  const time = `${(atMs / 1000).toFixed(3)}s`.padStart(10)
  return `${time}  ${who.padEnd(9)} ${isFault ? '!! ' : ''}${text}`
}
