/**
 * This incarnation's session (S3): opened by an entry, and opened anew when it was closed. A session
 * is closed by an entry too, and is over only once that was read: what was not applied before it
 * never will be.
 *
 *   open() ─▶ opening ── our `open` read ─▶ open ── `close` read, or a fork ─▶ over ─▶ open()
 */
import { assert } from '../core/assert.ts'
import { equalBytes, hex, type Bytes } from '../core/bytes.ts'
import type { Env } from '../core/env.ts'
import { DIGEST_BYTES } from '../core/hash.ts'
import { encodeControl } from '../log/entry-codec.ts'
import type { Position } from '../log/log.ts'
import type { ApplyLoop } from './apply-loop.ts'
import type { Carrier } from './carrier.ts'
import type { Parcel } from './parcel.ts'
import type { Opening } from './state-machine.ts'

/** Who opens: the node, for ever, and this incarnation of it. */
export interface NodeName {
  readonly id: Bytes
  readonly incarnation: Bytes
}

interface Closing {
  readonly parcel: Parcel
  readonly read: () => void
}

export class Tenure {
  readonly #env: Env
  readonly #loop: ApplyLoop
  readonly #carrier: Carrier
  readonly #node: NodeName
  #session: Position = 0
  #opening: { readonly nonce: Bytes; readonly parcel: Parcel } | undefined
  readonly #closing = new Map<Position, Closing>()

  constructor(env: Env, loop: ApplyLoop, carrier: Carrier, node: NodeName) {
    this.#env = env
    this.#loop = loop
    this.#carrier = carrier
    this.#node = node
  }

  /** Ours, 0 while there is none. */
  get session(): Position {
    return this.#session
  }

  /** Whether batches may be numbered in it. */
  get usable(): boolean {
    return this.#session > 0 && !this.#closing.has(this.#session)
  }

  open(): void {
    const nonce = this.#env.random.bytes(DIGEST_BYTES)
    const { id: node, incarnation } = this.#node
    const value: Opening = { nonce, node, incarnation, timeMs: this.#env.clock.wallMs() }
    const { identity } = this.#loop.state
    const frame = encodeControl(identity, { kind: 'open', value: { ...value } })
    const name = `${hex(identity)}.open.${hex(nonce)}`
    const parcel = this.#carrier.take({ frame, name, ordered: false, use: 'upkeep' })
    this.#opening = { nonce, parcel }
  }

  /** A session was opened. Returns whether it is ours. */
  opened(session: Position, nonce: Bytes): boolean {
    const opening = this.#opening
    if (opening === undefined || !equalBytes(opening.nonce, nonce)) return false
    this.#opening = undefined
    this.#carrier.arrived(opening.parcel)
    this.#session = session
    return true
  }

  /** Appends the end of a session, once. Resolves when it was read. */
  close(session: Position): Promise<void> {
    assert(!this.#closing.has(session), 'a session is closed once')
    return new Promise((resolve) => {
      const { identity } = this.#loop.state
      const frame = encodeControl(identity, { kind: 'close', session })
      const name = `${hex(identity)}.close.${session}.${hex(this.#node.incarnation)}`
      const parcel = this.#carrier.take({ frame, name, ordered: false, use: 'upkeep' })
      this.#closing.set(session, { parcel, read: resolve })
    })
  }

  /** A session was closed. Returns whether it was ours, which is over. */
  closed(session: Position): boolean {
    const closing = this.#closing.get(session)
    if (closing !== undefined) {
      this.#closing.delete(session)
      this.#carrier.arrived(closing.parcel)
      closing.read()
    }
    if (session !== this.#session) return false
    this.#session = 0
    return true
  }

  /** Sessions that earlier incarnations of this node left open, as far as the log was read. */
  left(): Position[] {
    const left: Position[] = []
    for (const { id, node, open } of this.#loop.state.sessions.values()) {
      if (open && id !== this.#session && equalBytes(node, this.#node.id)) left.push(id)
    }
    return left
  }
}
