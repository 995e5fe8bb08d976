/** All feeds of a server: a hub for each table that has any, one heartbeat, and their limits. */
import { turn, type Cancel } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { AnyTable, WatchOptions } from '../../table/handles.ts'
import { logOf } from '../../table/token.ts'
import { Feed } from './feed.ts'
import { Backlog } from './feed-backlog.ts'
import { FeedHub, ownPlace } from './feed-hub.ts'
import type { HttpParts, StillMay } from './parts.ts'
import { asError } from './problem.ts'

const HEARTBEAT_MS = 15_000
/** How long a feed goes on at the most when its token is revoked, or expires. */
const TOKEN_CHECK_MS = 2_000
/** Feeds that get their heartbeat, or whose token is looked at, before other work has a turn. */
const FEEDS_A_TURN = 256
/** Snapshots that feeds read at once, of the 32 there are for everybody; others wait their turn. */
const SNAPSHOTS = 8

type FeedsParts = Pick<HttpParts, 'db' | 'env' | 'limits' | 'stopping'>

export class Feeds {
  readonly #parts: FeedsParts
  readonly #hubs = new Set<{ readonly hub: FeedHub; users: number }>()
  readonly #feeds = new Set<Feed>()
  readonly #snapshots = new Slots(SNAPSHOTS)
  /** Feeds on their way to being open. */
  #starting = 0
  #cancelBeat: Cancel | undefined
  /** Of feeds that a token let in. */
  readonly #stillMay = new Map<Feed, StillMay>()
  #cancelCheck: Cancel | undefined

  constructor(parts: FeedsParts) {
    this.#parts = parts
    parts.stopping.addEventListener('abort', () => this.#stop(), { once: true })
  }

  /** Feeds that are open now, and tables that are watched for them. */
  get open(): { readonly feeds: number; readonly hubs: number } {
    return { feeds: this.#feeds.size, hubs: this.#hubs.size }
  }

  /**
   * A feed that can begin. It is the caller's to close. It ends once `stillMay` throws.
   * @throws HoldfastError `Overloaded`, `ShuttingDown`, and those of `watch`
   */
  async start(
    table: AnyTable,
    start: WatchOptions,
    gone: AbortSignal,
    stillMay?: StillMay,
  ): Promise<Feed> {
    const { db, limits } = this.#parts
    this.#assertRunning()
    if (this.#feeds.size + this.#starting >= limits.feeds) {
      throw new HoldfastError('Overloaded', `${limits.feeds} feeds are open; close one`, {
        details: { limit: limits.feeds },
      })
    }
    const now = db.token
    const { hub, release } = this.#enter(table, now)
    this.#starting++
    try {
      const fromNow = start.after === undefined && (start.from ?? 'now') === 'now'
      const begin = fromNow ? ownPlace(now) : await this.#backlog(hub, start, gone)
      const feed = this.#opened(hub, begin, release)
      if (stillMay !== undefined) this.#checkOn(feed, stillMay)
      return feed
    } catch (cause) {
      release()
      throw cause
    } finally {
      this.#starting--
    }
  }

  #opened(hub: FeedHub, begin: Backlog | ReturnType<typeof ownPlace>, release: () => void): Feed {
    const { env, db } = this.#parts
    const closed = (): void => {
      this.#feeds.delete(feed)
      this.#stillMay.delete(feed)
      release()
    }
    const feed = new Feed({ env, hub, log: logOf(db.token), closed }, begin)
    this.#feeds.add(feed)
    this.#cancelBeat ??= env.timers.after(HEARTBEAT_MS, () => void this.#beat(), 'background')
    return feed
  }

  /** A backlog whose first change was read: whatever keeps it from beginning is thrown here. */
  async #backlog(hub: FeedHub, start: WatchOptions, gone: AbortSignal): Promise<Backlog> {
    const leave = start.from === 'snapshot' ? await this.#snapshots.take() : undefined
    const backlog = new Backlog(hub.table, start, (place) => hub.covers(place), leave)
    try {
      if (gone.aborted) throw new HoldfastError('Cancelled', 'the client is gone')
      await backlog.begin()
      this.#assertRunning()
      return backlog
    } catch (cause) {
      await backlog.close()
      throw cause
    }
  }

  /** The table's hub, kept until every feed has left it. */
  #enter(table: AnyTable, now: string): { hub: FeedHub; release: () => void } {
    // A table that was dropped and made anew has a handle of its own.
    const known = [...this.#hubs].find(({ hub }) => hub.table === table && hub.ended === undefined)
    const entry = known ?? { hub: new FeedHub(this.#parts.env, table, now), users: 0 }
    this.#hubs.add(entry)
    entry.users++
    const release = (): void => {
      if (--entry.users > 0) return
      this.#hubs.delete(entry)
      entry.hub.stop()
    }
    return { hub: entry.hub, release }
  }

  async #beat(): Promise<void> {
    const { env } = this.#parts
    let beaten = 0
    for (const feed of [...this.#feeds]) {
      feed.beat()
      if (++beaten % FEEDS_A_TURN === 0) await turn(env)
    }
    this.#cancelBeat =
      this.#feeds.size === 0
        ? undefined
        : env.timers.after(HEARTBEAT_MS, () => void this.#beat(), 'background')
  }

  #checkOn(feed: Feed, stillMay: StillMay): void {
    this.#stillMay.set(feed, stillMay)
    this.#checkLater()
  }

  #checkLater(): void {
    this.#cancelCheck ??= this.#parts.env.timers.after(
      TOKEN_CHECK_MS,
      () => void this.#checkAll(),
      'background',
    )
  }

  async #checkAll(): Promise<void> {
    let checked = 0
    for (const [feed, stillMay] of [...this.#stillMay]) {
      try {
        await stillMay()
      } catch (cause) {
        feed.fail(asError(cause))
      }
      if (++checked % FEEDS_A_TURN === 0) await turn(this.#parts.env)
    }
    this.#cancelCheck = undefined
    if (this.#stillMay.size > 0) this.#checkLater()
  }

  #assertRunning(): void {
    if (this.#parts.stopping.aborted) throw stopped()
  }

  #stop(): void {
    this.#cancelBeat?.()
    this.#cancelCheck?.()
    for (const feed of [...this.#feeds]) feed.end(stopped())
  }
}

/** So many at once; the rest wait in order. */
class Slots {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  /** Resolves with what gives the slot back. */
  async take(): Promise<() => void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

function stopped(): HoldfastError {
  return new HoldfastError('ShuttingDown', 'this server is stopping; resume at another, or later')
}
