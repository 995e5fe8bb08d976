/** What a feed reads by itself before it joins the hub: a snapshot, or changes of the past. */
import type { Key } from '../../core/key-codec.ts'
import type { AnyRow } from '../any-rows.ts'
import type { AnyTable, Change, WatchOptions } from '../../table/handles.ts'
import type { PacedWatchOptions } from '../../table/strong/watch.ts'
import { placeOf, type Token } from '../../table/token.ts'
import { isAfter, ownPlace } from './feed-hub.ts'
import { changeEvent } from './sse.ts'

/** Characters of events that are read at once. */
const CHUNK_CHARS = 32 * 1024

export interface Chunk {
  readonly text: string
  /** The backlog is through: what comes after `place` is the hub's. */
  readonly done: boolean
}

export class Backlog {
  readonly #covered: (place: Token) => boolean
  readonly #changes: AsyncIterator<Change<AnyRow, Key>>
  #place: Token | undefined
  /** Called once, when the snapshot is no longer needed. */
  #leaveSnapshot: (() => void) | undefined
  /** Read to see whether the feed can begin at all; handed out with the first chunk. */
  #first: IteratorResult<Change<AnyRow, Key>> | undefined

  /** `covered`: whether the hub has everything after a place. */
  constructor(
    table: AnyTable,
    start: WatchOptions,
    covered: (place: Token) => boolean,
    leaveSnapshot?: () => void,
  ) {
    this.#covered = covered
    this.#leaveSnapshot = leaveSnapshot
    const begin = start.after === undefined ? undefined : placeOf(start.after)
    const options: PacedWatchOptions = {
      ...start,
      caughtUp: (position) => {
        const end = { position, ordinal: Number.POSITIVE_INFINITY }
        // A token from another node may be within an entry that is yet to come here.
        this.#place = begin !== undefined && isAfter(begin, end) ? begin : end
        this.#left()
        return true
      },
    }
    this.#changes = table.watch(options)[Symbol.asyncIterator]()
  }

  /** Up to where everything was read; undefined while nothing can resume from here. */
  get place(): Token | undefined {
    return this.#place
  }

  get inSnapshot(): boolean {
    return this.#leaveSnapshot !== undefined
  }

  /** Rejects with what keeps this feed from beginning: `FeedTrimmed`, `TokenMismatch` and others. */
  async begin(): Promise<void> {
    this.#first = await this.#changes.next()
  }

  async read(): Promise<Chunk> {
    let text = ''
    while (text.length < CHUNK_CHARS) {
      const result = this.#first ?? (await this.#changes.next())
      this.#first = undefined
      if (result.done === true) return { text, done: true }
      const change = result.value
      text += changeEvent(change)
      if (change.kind === 'row') continue
      this.#left()
      this.#place = ownPlace(change.token)
      if (!this.#covered(this.#place)) continue
      await this.close()
      return { text, done: true }
    }
    return { text, done: false }
  }

  async close(): Promise<void> {
    try {
      await this.#changes.return?.()
    } finally {
      this.#left()
    }
  }

  #left(): void {
    this.#leaveSnapshot?.()
    this.#leaveSnapshot = undefined
  }
}
