/**
 * Feeds under load: consumers that stop, move to other nodes and resume by token meet every change
 * once, in order, without a gap, unless they are told that their place was trimmed.
 */
import { isHoldfastError } from '../../core/errors.ts'
import type { Change } from '../../table/handles.ts'
import { strong, unvalidated } from '../../table/schema.ts'
import type { FeedChange, FeedEvent, Place } from '../check/feeds.ts'
import type { EffectInput } from '../check/effects.ts'
import { History } from '../check/history.ts'
import type { Draw } from '../draw.ts'
import type {
  Workload,
  WorkloadClient,
  WorkloadDatabase,
  WorkloadHost,
  WorkloadNode,
  WorkloadRun,
} from '../workload.ts'
import { zipf } from './zipf.ts'

interface Item {
  id: string
  /** Which operation wrote it. */
  by: string
}

type AnyChange = Change<Record<string, unknown>, unknown>

interface Consumer {
  readonly events: FeedEvent[]
  token: string | undefined
  last: Place | undefined
}

const KEYS = 12
/** A consumer reads for so long before it stops, in the mean. */
const READING_MS = 400
/** Rows of a bulk write: more transactions in one entry than a byte counts. */
const BULK_ROWS = 300
const BULK_SHARE = 0.02
/** A log that is so long by now is not read from its beginning. */
const LONG_LOG = 100
/** Milliseconds of the last reading, and those in which it must have met all that was acked. */
const LAST_MS = 2_000
const SETTLE_MS = 30_000
/** Behind every op of an entry; a number, so that it can be written in a file. */
const END_OF_ENTRY = Number.MAX_SAFE_INTEGER

export const feeds: Workload = {
  name: 'feeds',
  what: 'feeds are complete, in order and without gaps, whatever node they are resumed on',
  tables: { items: strong({ row: unvalidated<Item>(), key: 'id' }) },
  retention: { keepMs: 2_500 },
  sometimes: ['a feed was resumed by token', 'a feed was trimmed', 'a feed began with a snapshot'],
  begin: (host) => new FeedsRun(host),
}

class FeedsRun implements WorkloadRun {
  readonly #host: WorkloadHost
  readonly #writes: History<EffectInput, undefined>
  readonly #consumers = new Map<string, Consumer>()
  /** What every write that was sent would have left: by the name of its operation. */
  readonly #seen = new Map<number, Map<number, FeedChange>>()
  #horizon = 0
  /** Where the run begins, in a database that has had others before. */
  #origin: string | undefined

  constructor(host: WorkloadHost) {
    this.#host = host
    this.#writes = new History(() => host.nowMs)
  }

  async setUp(): Promise<void> {
    await this.#host.nodes[0].call(async ({ db }) => {
      await db.stats()
      if (positionOf(db.token) > LONG_LOG) this.#origin = db.token
    })
  }

  async operation(client: WorkloadClient, number: number): Promise<void> {
    const draw = client.drawOf(`operation-${number}`)
    const node = draw.pick(this.#host.nodes)
    const key = `i${zipf(draw, KEYS)}`
    if (draw.chance(BULK_SHARE)) return this.#bulk(client, node, `${client.name}/${number}`)
    switch (draw.pick(['write', 'write', 'write', 'batch', 'delete', 'read', 'read', 'upkeep'])) {
      case 'read':
        return this.#consume(client, node, draw)
      case 'upkeep':
        await client.operation('upkeep', node, ({ db }) => db.upkeep())
        return
      case 'delete':
        await client.operation(`delete ${key}`, node, ({ db }) => db.table('items').delete(key))
        return
      case 'batch':
        return this.#write(client, node, `${client.name}/${number}`, [key, `i${draw.int(0, 99)}`])
      default:
        return this.#write(client, node, `${client.name}/${number}`, [key])
    }
  }

  async #write(
    client: WorkloadClient,
    node: WorkloadNode,
    id: string,
    keys: string[],
  ): Promise<void> {
    const call = this.#writes.call(client.name, { id })
    const outcome = await client.operation(`write ${id} to ${keys.join()}`, node, ({ db }) =>
      db.transact(async (tx) => {
        for (const key of keys) await tx.table('items').put({ id: key, by: id })
      }),
    )
    if (outcome.kind === 'ok') call.ok(undefined)
    else if (outcome.kind === 'failed') call.failed()
    else call.unknown()
  }

  /** Rows at once, each of which is written on its own, and told so. */
  async #bulk(client: WorkloadClient, node: WorkloadNode, id: string): Promise<void> {
    const rows = Array.from({ length: BULK_ROWS }, (_, i) => ({ id: `b${i}`, by: `${id}/${i}` }))
    const calls = rows.map(({ by }) => this.#writes.call(client.name, { id: by }))
    const outcome = await client.operation(`bulk ${id}`, node, ({ db }) =>
      db.table('items').putMany(rows),
    )
    for (const [i, call] of calls.entries()) {
      const result = outcome.kind === 'ok' ? outcome.value[i] : undefined
      if (result?.ok === true) call.ok(undefined)
      else if (outcome.kind === 'failed' || isUnapplied(result?.error)) call.failed()
      else call.unknown()
    }
  }

  /** Goes on where this client's feed was, for a while. */
  async #consume(client: WorkloadClient, node: WorkloadNode, draw: Draw): Promise<void> {
    const consumer = this.#consumers.get(client.name) ?? {
      events: [],
      token: undefined,
      last: undefined,
    }
    this.#consumers.set(client.name, consumer)
    const untilMs = this.#host.nowMs + draw.exponential(READING_MS)
    const fromSnapshot = consumer.token === undefined && draw.chance(0.5)
    if (consumer.token !== undefined) this.#host.sometimes('a feed was resumed by token')
    await client.operation('read the feed', node, async ({ db }) => {
      await this.#read(db, consumer, untilMs, fromSnapshot)
    })
  }

  async #read(
    db: WorkloadDatabase,
    consumer: Consumer,
    untilMs: number,
    fromSnapshot: boolean,
  ): Promise<void> {
    const stop = new AbortController()
    const ending = this.#host.sleep(untilMs - this.#host.nowMs).then(() => stop.abort())
    const { signal } = stop
    try {
      if (consumer.token === undefined && fromSnapshot) {
        await this.#readAll(db.table('items').watch({ from: 'snapshot', signal }), consumer, true)
      } else if (consumer.token === undefined && this.#origin !== undefined) {
        const after = this.#origin
        const place = { position: positionOf(after), ordinal: END_OF_ENTRY }
        consumer.events.push({ kind: 'open', after: place })
        await this.#readAll(db.table('items').watch({ after, signal }), consumer, false)
      } else if (consumer.token === undefined) {
        consumer.events.push({ kind: 'open', after: await this.#start(db) })
        await this.#readAll(db.table('items').watch({ from: 'start', signal }), consumer, false)
      } else {
        consumer.events.push({ kind: 'open', after: consumer.last })
        const after = consumer.token
        await this.#readAll(db.table('items').watch({ after, signal }), consumer, false)
      }
    } catch (cause) {
      if (isHoldfastError(cause, 'FeedTrimmed')) {
        this.#host.sometimes('a feed was trimmed')
        this.#horizon = Math.max(this.#horizon, Number(cause.details['oldest']))
        consumer.events.push({ kind: 'trimmed', horizon: this.#horizon })
        consumer.token = undefined
      } else if (!isHoldfastError(cause, 'Cancelled', 'Aborted', 'TokenMismatch')) throw cause
    }
    await ending
  }

  /** Where a feed from the start begins: what was trimmed by then is not in it. */
  async #start(db: WorkloadDatabase): Promise<Place | undefined> {
    const { oldestPosition } = await db.stats()
    if (oldestPosition <= 1) return undefined
    this.#horizon = Math.max(this.#horizon, oldestPosition)
    return { position: oldestPosition - 1, ordinal: END_OF_ENTRY }
  }

  async #readAll(
    changes: AsyncIterable<unknown>,
    consumer: Consumer,
    fromSnapshot: boolean,
  ): Promise<void> {
    const rows: [string, unknown][] = []
    let snapshotAt: number | undefined
    for await (const item of changes) {
      const change = item as AnyChange
      const place = { position: change.position, ordinal: ordinalOf(change.token) }
      if (change.kind === 'row') {
        snapshotAt = change.position
        rows.push([change.key as string, change.row?.['by']])
        continue
      }
      if (fromSnapshot && snapshotAt !== undefined) {
        this.#host.sometimes('a feed began with a snapshot')
        consumer.events.push({ kind: 'snapshot', position: snapshotAt, rows })
        snapshotAt = undefined
      }
      // A feed that began with an empty snapshot has no place to be compared from.
      if (fromSnapshot && rows.length === 0) return
      const found = { ...place, key: change.key as string, value: change.row?.['by'] }
      consumer.events.push({ kind: 'change', change: found })
      this.#remember(found)
      consumer.token = change.token
      consumer.last = place
    }
  }

  /** One truth for all: the same place must hold the same change whoever reads it. */
  #remember(change: FeedChange): void {
    const entry = this.#seen.get(change.position) ?? new Map<number, FeedChange>()
    this.#seen.set(change.position, entry)
    const known = entry.get(change.ordinal)
    const isSame = known === undefined || (known.key === change.key && known.value === change.value)
    this.#host.check('feed:same-everywhere', isSame, `at ${change.position}.${change.ordinal}`)
    entry.set(change.ordinal, change)
  }

  async finish(): Promise<void> {
    const copies = []
    for (const node of this.#host.nodes) {
      const rows = await node.call(({ db }) => db.table('items').query().toArray())
      const pairs = rows.map((row): [string, unknown] => [row['id'] as string, row['by']])
      copies.push({ name: node.name, rows: pairs })
    }
    this.#host.examine({ by: 'convergence', copies })
    // What the feed still has on the first node, and what consumers had from what was trimmed.
    const [first] = this.#host.nodes
    const last: Consumer = { events: [], token: undefined, last: undefined }
    await first?.call(async ({ db }) => {
      // Where time is real, nobody knows how long a reader takes.
      const untilMs = this.#host.nowMs + (this.#origin === undefined ? 0 : SETTLE_MS)
      do await this.#read(db, last, this.#host.nowMs + LAST_MS, false)
      while (this.#host.nowMs < untilMs && this.#isMissing())
      if (this.#origin === undefined)
        last.events.push({ kind: 'caught-up', position: positionOf(db.token) })
    })
    const truth = [...this.#seen.entries()]
      .toSorted(([a], [b]) => a - b)
      .flatMap(([, entry]) => [...entry.values()].toSorted((a, b) => a.ordinal - b.ordinal))
    for (const { events } of [...this.#consumers.values(), last]) {
      const known = this.#horizon === 0 ? events : events.map(unknownRows)
      this.#host.examine({ by: 'feed', truth, events: known })
    }
    this.#judgeWrites(truth)
  }

  /** Whether an acked write was seen by nobody yet. */
  #isMissing(): boolean {
    const seen = new Set<unknown>()
    for (const entry of this.#seen.values()) for (const { value } of entry.values()) seen.add(value)
    return this.#writes.operations.some(
      ({ input, outcome }) => outcome === 'ok' && !seen.has(input.id),
    )
  }

  /** Every acked write that was not trimmed before anybody read it is in the feed. */
  #judgeWrites(truth: readonly FeedChange[]): void {
    const effects: string[] = []
    const told = new Set<string>()
    for (const { position, value } of truth) {
      if (value === undefined) continue
      const name = `${position} ${value as string}`
      if (!told.has(name)) effects.push(value as string)
      told.add(name)
    }
    const shown = new Set(effects)
    const requests =
      this.#horizon === 0
        ? this.#writes.operations
        : this.#writes.operations.filter(
            ({ input, outcome }) => outcome !== 'ok' || shown.has(input.id),
          )
    this.#host.examine({ by: 'effects', operations: requests, effects, order: 'process' })
  }
}

/** Whether it was said, with a code, that nothing was applied. */
function isUnapplied(error: Error | undefined): boolean {
  return isHoldfastError(error) && error.applied === 'no'
}

/** Once changes were trimmed that nobody read, what rows a snapshot must have is not known. */
function unknownRows(event: FeedEvent): FeedEvent {
  if (event.kind !== 'snapshot') return event
  return { kind: 'open', after: { position: event.position, ordinal: END_OF_ENTRY } }
}

const ordinalOf = (token: string): number => Number(token.split('.')[3] ?? 0)
const positionOf = (token = ''): number => Number(token.split('.')[2] ?? 0)
