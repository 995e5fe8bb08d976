/**
 * Upkeep in the background: raw entries past their retention are trimmed, by a logged position (S8),
 * and what dropped tables and indexes left behind is removed, in small batches between entries.
 */
import { copyBytes, afterPrefix, type Bytes } from '../core/bytes.ts'
import type { Cancel, Env } from '../core/env.ts'
import { isHoldfastError, type HoldfastError } from '../core/errors.ts'
import { entryKey, edgeEntry, readEntry, trimEntries } from '../log/entry-store.ts'
import { decodeEntry } from '../log/entry-codec.ts'
import type { Position } from '../log/log.ts'
import { StoreBatch, type Store } from '../store/store.ts'
import type { ApplyLoop } from './apply-loop.ts'
import { IDEMPOTENCY_TABLE } from './definitions.ts'
import { changeKey, INDEX_SPACE, ROW_SPACE, STATS_SPACE, tablePrefix } from './layout.ts'
import { identityAt } from './lineage.ts'
import type { Proposer } from './proposer.ts'

export interface Retention {
  /** Milliseconds of log time. Default 7 days. */
  readonly keepMs?: number | undefined
  /** Bytes of raw entries. Default 10 GiB. */
  readonly keepBytes?: number | undefined
}

const DAY_MS = 86_400_000
const RETENTION: Required<{ [K in keyof Retention]: number }> = {
  keepMs: 7 * DAY_MS,
  keepBytes: 10 * 1024 ** 3,
}
const ROUND_MS = 60_000
/** Keys removed in one batch: a few milliseconds of the apply loop's time. */
const REMOVED_AT_ONCE = 2_000
/** Entries looked at when a new trim position is searched. */
const PROBES = 24

interface Parts {
  readonly env: Env
  readonly store: Store
  readonly loop: ApplyLoop
  readonly proposer: Proposer
}

export class Janitor {
  readonly #node: Parts
  readonly #keepMs: number
  readonly #keepBytes: number
  #cancel: Cancel = () => undefined
  #running: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(node: Parts, retention: Retention) {
    this.#node = node
    this.#keepMs = retention.keepMs ?? RETENTION.keepMs
    this.#keepBytes = retention.keepBytes ?? RETENTION.keepBytes
  }

  start(): void {
    this.#later()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** One round now: trims what is past its retention, removes what was dropped. */
  run(): Promise<void> {
    // A round that failed does not keep the next one from its work.
    this.#running = this.#running.catch(ignore).then(() => this.#round())
    return this.#running
  }

  #later(): void {
    if (this.#stopped) return
    this.#cancel = this.#node.env.timers.after(
      ROUND_MS,
      () => {
        this.run().then(
          () => this.#later(),
          (cause: unknown) => {
            // A halted or closed node has no upkeep, a busy one has it later; anything else is a
            // defect that must show.
            if (this.#stopped || this.#node.loop.halted !== undefined) return
            if (isHoldfastError(cause) && isPassing(cause)) this.#later()
            else this.#node.loop.halt(cause)
          },
        )
      },
      'background',
    )
  }

  async #round(): Promise<void> {
    await this.#trim()
    await this.#sweepDropped()
  }

  async #trim(): Promise<void> {
    const { loop, proposer, store } = this.#node
    const below = this.#trimPosition()
    if (below > loop.state.trimmed) await proposer.command({ type: 'trim', below })
    // Trimmed by the log's word, removed at this node's pace.
    const floor = loop.state.trimmed
    for (let more = true; more && !this.#stopped;) {
      const batch = new StoreBatch()
      more = trimEntries(store, batch, floor, REMOVED_AT_ONCE)
      let seen = 0
      const range = { gte: changeKey(0), lt: changeKey(floor), limit: REMOVED_AT_ONCE + 1 }
      store.scan(range, (key) => {
        if (seen++ < REMOVED_AT_ONCE) batch.remove(copyBytes(key))
      })
      more ||= seen > REMOVED_AT_ONCE
      if (batch.size > 0) await loop.maintain(batch)
    }
  }

  /** The position below which entries are past the retention; 0 for none. */
  #trimPosition(): Position {
    const { loop, store } = this.#node
    const oldest = edgeEntry(store, 'oldest')
    const newest = loop.flushed
    if (oldest === 0 || newest - oldest < 2) return 0
    const horizonMs = loop.state.timeMs - this.#keepMs
    let byTime = oldest
    for (let low = oldest, high = newest, probe = 0; low < high && probe < PROBES; probe++) {
      const middle = Math.floor((low + high) / 2)
      if ((this.#timeAt(middle) ?? Number.POSITIVE_INFINITY) < horizonMs) byTime = low = middle + 1
      else high = middle
    }
    return Math.max(byTime, this.#positionBySize(oldest, newest))
  }

  #timeAt(position: Position): number | undefined {
    const { loop, store } = this.#node
    for (let at = position; at > 0 && at > position - 8; at--) {
      const frame = readEntry(store, at)
      const entry = frame === undefined ? undefined : decodeEntry(frame, identityAt(loop.state, at))
      if (entry?.kind === 'batch') return entry.timeMs
    }
    return undefined
  }

  /** By counting chunks from the newest entry back, only when the store is as large as the limit. */
  #positionBySize(oldest: Position, newest: Position): Position {
    const { store } = this.#node
    if (store.stats().bytes < this.#keepBytes) return 0
    let bytes = 0
    let below = oldest
    const range = { gte: entryKey(oldest, 0), lt: entryKey(newest + 1, 0), reverse: true }
    store.scan(range, (key, value) => {
      bytes += value.length
      if (bytes <= this.#keepBytes) return true
      below = Buffer.from(key).readUIntBE(3, 6) + 1
      return false
    })
    return below
  }

  /** Removes rows, index entries and statistics of tables and indexes that no definition names. */
  async #sweepDropped(): Promise<void> {
    const { loop } = this.#node
    for (const prefix of this.#orphans()) {
      const end = afterPrefix(prefix)
      for (let more = true; more && !this.#stopped;) {
        const batch = new StoreBatch()
        const range = { gte: prefix, lt: end, limit: REMOVED_AT_ONCE }
        const seen = this.#node.store.scan(range, (key) => batch.remove(copyBytes(key)))
        more = seen === REMOVED_AT_ONCE
        if (batch.size > 0) await loop.maintain(batch)
      }
    }
  }

  /** Prefixes of the store that belong to no live table or index: found by hopping, not by walking. */
  #orphans(): Bytes[] {
    const { loop, store } = this.#node
    const live = new Set<number>([IDEMPOTENCY_TABLE])
    const indexes = new Set<string>()
    for (const definition of loop.state.definitions.values()) {
      live.add(definition.id)
      for (const index of definition.indexes) {
        indexes.add(`${definition.id}.${index.id}`)
        if (index.unique) live.add(index.hidden)
      }
    }
    const orphans: Bytes[] = []
    for (const [space, length] of [
      [ROW_SPACE, 5],
      [INDEX_SPACE, 7],
    ] as const) {
      let from: Bytes | undefined = Uint8Array.of(space)
      while (from !== undefined) {
        let prefix: Bytes | undefined
        store.scan({ gte: from, lt: Uint8Array.of(space + 1), limit: 1 }, (key) => {
          prefix = copyBytes(key.subarray(0, length))
        })
        if (prefix === undefined) break
        const view = Buffer.from(prefix)
        const table = view.readUInt32BE(1)
        const known =
          space === ROW_SPACE ? live.has(table) : indexes.has(`${table}.${view.readUInt16BE(5)}`)
        if (!known) orphans.push(prefix)
        from = afterPrefix(prefix)
      }
    }
    for (const { table, shard } of loop.stats.all()) {
      if (live.has(table)) continue
      orphans.push(
        Buffer.concat([Uint8Array.of(STATS_SPACE, shard), tablePrefix(0, table).subarray(1)]),
      )
    }
    for (const { table } of [...loop.stats.all()]) if (!live.has(table)) loop.stats.drop(table)
    return orphans
  }
}

/** Refused for a while, as a busy node does. */
function isPassing({ kind }: HoldfastError): boolean {
  return kind === 'retryable' || kind === 'unknown-outcome'
}

const ignore = (): void => undefined
