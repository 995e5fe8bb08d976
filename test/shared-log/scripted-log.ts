/**
 * One log that several nodes share, in virtual time, whose every append is at the test's mercy: by
 * default it is given a place and acked, and a message id that is known gets its old place.
 */
import type { Bus } from '../../src/bus/bus.ts'
import { binaryString, copyBytes, hex, type Bytes } from '../../src/core/bytes.ts'
import type { Env } from '../../src/core/env.ts'
import { HoldfastError, type ErrorCode } from '../../src/core/errors.ts'
import { encodeValue } from '../../src/core/value-codec.ts'
import { decodeEntry } from '../../src/log/entry-codec.ts'
import type { Entry, Op, Transaction } from '../../src/log/entry.ts'
import {
  logTrimmed,
  type Appended,
  type Log,
  type LogFollower,
  type Position,
  type Unfollow,
} from '../../src/log/log.ts'
import { IDEMPOTENCY_DEFINITION } from '../../src/shard/definitions.ts'
import { encodeDefinitions, encodeState } from '../../src/shard/log-state.ts'
import { Node } from '../../src/shard/node.ts'
import { encodeBody } from '../../src/shard/row-codec.ts'
import { Kernel, type Owner } from '../../src/sim/kernel.ts'
import { machineClock, simEnv } from '../../src/sim/sim-env.ts'
import { SimBuses } from '../../src/sim/sim-bus.ts'
import { SimNetwork } from '../../src/sim/sim-network.ts'
import { openMemoryStore } from '../../src/store/memory-store.ts'
import type { Store } from '../../src/store/store.ts'

/** An append that arrived at the log. */
export interface Arrival {
  readonly client: string
  readonly messageId: string
  readonly frame: Bytes
  readonly entry: Entry | undefined
  /** Gives it a place, a new one each time. */
  place(): Position
  ack(position: Position): void
  reject(code: ErrorCode): void
}

interface Cursor {
  next: Position
  readonly follower: LogFollower
  readonly client: string
  readonly env: Env
  scheduled: boolean
}

class ScriptedLog {
  readonly frames: Bytes[] = []
  readonly arrivals: Arrival[] = []
  readonly #places = new Map<string, Position>()
  readonly #cursors = new Set<Cursor>()
  /** Clients that are delivered nothing for now: their readers lag. */
  readonly #lagging = new Set<string>()
  /** The oldest entry that is given out. */
  #first: Position = 1
  /** What a client is given of an entry: a log that lies has more than one answer. */
  shows: (client: string, position: Position, frame: Bytes) => Bytes = (_, __, frame) => frame
  /** What becomes of an append. */
  script: (arrival: Arrival) => void = (arrival) => this.take(arrival)

  /** As a log in order does. */
  take(arrival: Arrival): void {
    arrival.ack(this.#places.get(arrival.messageId) ?? arrival.place())
  }

  port(client: string, env: Env): Log {
    const own = new Set<Cursor>()
    return {
      durability: 'self',
      last: () => this.frames.length,
      append: (frame, messageId) => this.#append(client, env, copyBytes(frame), messageId),
      follow: (from, follower): Unfollow => {
        const cursor: Cursor = { next: from, follower, client, env, scheduled: false }
        own.add(cursor)
        this.#cursors.add(cursor)
        this.#schedule(cursor)
        return () => void this.#cursors.delete(cursor)
      },
      close: () => {
        for (const cursor of own) this.#cursors.delete(cursor)
        return Promise.resolve()
      },
    }
  }

  lag(client: string): void {
    this.#lagging.add(client)
  }

  catchUp(client: string): void {
    this.#lagging.delete(client)
    for (const cursor of this.#cursors) this.#schedule(cursor)
  }

  /** Nobody is given what lies below. */
  trim(below: Position): void {
    this.#first = below
  }

  /** Entries as they lie in the log, those of other systems left out. */
  entries(): { readonly position: Position; readonly entry: Entry }[] {
    return this.frames.flatMap((frame, i) => {
      const entry = decodeEntry(copyBytes(frame), undefined)
      return entry === undefined ? [] : [{ position: i + 1, entry }]
    })
  }

  /** Adds a frame that no client sent, or sends one again. */
  inject(frame: Bytes, messageId?: string): Position {
    this.frames.push(copyBytes(frame))
    const position = this.frames.length
    if (messageId !== undefined && !this.#places.has(messageId)) {
      this.#places.set(messageId, position)
    }
    for (const cursor of this.#cursors) this.#schedule(cursor)
    return position
  }

  #append(client: string, env: Env, frame: Bytes, messageId: string): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const arrival: Arrival = {
        client,
        messageId,
        frame,
        entry: decodeEntry(copyBytes(frame), undefined),
        place: () => this.inject(frame, messageId),
        ack: (position) => env.timers.soon(() => resolve({ position })),
        reject: (code) => env.timers.soon(() => reject(new HoldfastError(code, 'as scripted'))),
      }
      this.arrivals.push(arrival)
      this.script(arrival)
    })
  }

  #schedule(cursor: Cursor): void {
    if (cursor.scheduled || this.#lagging.has(cursor.client)) return
    cursor.scheduled = true
    cursor.env.timers.soon(() => {
      cursor.scheduled = false
      const goes = (): boolean => this.#cursors.has(cursor) && !this.#lagging.has(cursor.client)
      while (goes() && cursor.next <= this.frames.length) {
        if (cursor.next < this.#first) {
          this.#cursors.delete(cursor)
          cursor.follower.failed(logTrimmed(cursor.next, this.#first))
          return
        }
        const position = cursor.next++
        const frame = this.shows(cursor.client, position, this.frames[position - 1] as Bytes)
        cursor.follower.entry(position, copyBytes(frame))
      }
    })
  }
}

/** Nodes in one virtual world over one scripted log. */
export class Stage {
  readonly kernel: Kernel
  readonly log = new ScriptedLog()
  readonly env: Env
  readonly network: SimNetwork
  readonly #buses: SimBuses
  readonly #owners = new Map<Node, Owner>()
  #incarnations = 0

  constructor(seed = 1) {
    const kernel = (this.kernel = new Kernel(seed))
    this.env = simEnv(kernel, kernel.owner('test'), machineClock(), kernel.random('test'))
    this.network = new SimNetwork(kernel)
    this.#buses = new SimBuses(this.network)
  }

  /** Starts a node, on the store of an earlier incarnation or a new one. */
  async started(name: string, store: Store = openMemoryStore(this.env)): Promise<Node> {
    const owner = this.kernel.owner(`${name}#${++this.#incarnations}`)
    const env = simEnv(this.kernel, owner, machineClock(), this.kernel.random(owner.name))
    this.network.attach(name, owner)
    const bus = await this.#buses.connect(owner, env)
    const node = this.kernel.as(
      owner,
      () => new Node({ env, store, openLog: () => this.log.port(name, env), bus, name }),
    )
    this.#owners.set(node, owner)
    await this.kernel.as(owner, () => node.start(4))
    return node
  }

  /** A bus of its own, for who asks nodes from outside. */
  async bus(name: string): Promise<Bus> {
    const owner = this.kernel.owner(name)
    this.network.attach(name, owner)
    return this.#buses.connect(owner, this.env)
  }

  /** The node's process dies: all that is left of it is its store. */
  kill(node: Node): void {
    const owner = this.#owners.get(node)
    if (owner !== undefined) this.kernel.kill(owner)
  }

  /** Runs a test in virtual time. */
  static async run(test: (stage: Stage) => Promise<void>, seed?: number): Promise<void> {
    const stage = new Stage(seed)
    await stage.kernel.run(() => test(stage))
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.env.timers.after(delayMs, resolve)
    })
  }
}

/** A put of one row of a hidden table, which needs no definition; blind unless `readAt` is given. */
export function put(node: Node, key: string, value: number, readAt: Position | -1 = -1): Op {
  const ref = node.refOfKey(IDEMPOTENCY_DEFINITION, key)
  const body = encodeBody(ref.storeKey, encodeValue({ key, value }))
  return {
    kind: 'put',
    table: ref.table,
    version: ref.version,
    shard: ref.shard,
    hi: ref.hi,
    lo: ref.lo,
    prefix: ref.prefix,
    adds: [],
    readAt,
    key: ref.key,
    body,
  }
}

export const only = (...ops: Op[]): Transaction => ({ reads: [], guard: undefined, ops })

/** Everything that a decision depends on, and every row, as text: alike on nodes that applied alike. */
export function stateOf(node: Node): Record<string, unknown> {
  const { state, window, store } = node.loop
  const rows: string[] = []
  store.scan({ gte: Uint8Array.of(0x02), lt: Uint8Array.of(0x20) }, (key, value) => {
    rows.push(`${binaryString(key)}=${binaryString(value)}`)
  })
  return {
    position: state.position,
    state: hex(encodeState(state)),
    definitions: hex(encodeDefinitions(state)),
    window: hex(window.fingerprint()),
    rows,
  }
}
