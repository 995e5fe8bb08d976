/** A node's heartbeats: sent over the bus, heard from the others, and kept as a membership (C1). */
import type { Bus, BusSubscription } from '../bus/bus.ts'
import type { Cancel, Env } from '../core/env.ts'
import { decodeHeartbeat, encodeHeartbeat, type Heartbeat } from './heartbeat.ts'
import { Membership, type Member } from './membership.ts'

const HEARTBEAT_MS = 500
const SUBJECT = 'heartbeat'

export interface PulseOptions {
  readonly env: Env
  readonly bus: Bus
  /** Of this start of the node: its own heartbeats come back, and are nobody's. */
  readonly incarnation: string
  /** Makes the heartbeat of this moment. */
  readonly heartbeat: (leaves: boolean) => Heartbeat
  /** Told of each that came from another. */
  readonly heard: (heartbeat: Heartbeat) => void
  /** Called once a period. */
  readonly ticked: () => void
}

export class Pulse {
  readonly #options: PulseOptions
  readonly #membership = new Membership(HEARTBEAT_MS)
  #subscription: BusSubscription | undefined
  #cancel: Cancel = () => undefined

  constructor(options: PulseOptions) {
    this.#options = options
  }

  start(): void {
    const { bus } = this.#options
    this.#subscription = bus.subscribe(SUBJECT, ({ bytes }) => this.#heard(decodeHeartbeat(bytes)))
    this.#tick()
  }

  /** Those of other nodes, and how sure it is that they live. */
  members(): Member[] {
    return this.#membership.members(this.#nowMs)
  }

  /** Sends one now, beside the periodic ones. */
  beat(): void {
    if (this.#subscription !== undefined) this.#send(false)
  }

  /** Says good-bye, and ends. */
  stop(): void {
    if (this.#subscription === undefined) return
    this.#send(true)
    this.#cancel()
    this.#subscription.close()
    this.#subscription = undefined
  }

  get #nowMs(): number {
    return this.#options.env.clock.monotonicMs()
  }

  #tick(): void {
    this.#membership.ticked(this.#nowMs)
    this.#options.ticked()
    this.#send(false)
    const { timers } = this.#options.env
    this.#cancel = timers.after(HEARTBEAT_MS, () => this.#tick(), 'background')
  }

  #send(leaves: boolean): void {
    const { bus, heartbeat } = this.#options
    bus.publish(SUBJECT, encodeHeartbeat(heartbeat(leaves)))
  }

  #heard(heartbeat: Heartbeat | undefined): void {
    if (heartbeat === undefined || heartbeat.incarnation === this.#options.incarnation) return
    this.#membership.heard(heartbeat, this.#nowMs)
    this.#options.heard(heartbeat)
  }
}
