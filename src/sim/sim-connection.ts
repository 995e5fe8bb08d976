/**
 * Connections over the simulated network, as TCP's: what one end sends comes to the other in order
 * and once, lost packets are sent again, and a link that stays cut breaks them. `request` is a call
 * over one, as of HTTP.
 *
 * The first packet carries data, as on a connection that is kept open: when only the way back is
 * cut, the request is served and its answer is lost.
 */
import type { Cancel } from '../core/env.ts'
import type { Owner } from './kernel.ts'
import type { SimNetwork } from './sim-network.ts'

export class NetworkError extends Error {
  override readonly name = 'NetworkError'
  /**
   * `ECONNREFUSED`: nothing runs on the machine; nothing was done. `ECONNRESET`: the other end died.
   * `ETIMEDOUT`: no answer in time. After these two the request may have been served.
   */
  readonly code: 'ECONNREFUSED' | 'ECONNRESET' | 'ETIMEDOUT'

  constructor(code: NetworkError['code'], label: string) {
    super(`${code}: ${label}`)
    this.code = code
  }
}

/** An end gives up after this long without an answer to one of its packets. */
const GIVE_UP_MS = 10_000
/** A packet is sent again after this long, then after twice that, up to the longest. */
const RESEND_MS = 200
const RESEND_LONGEST_MS = 3_200
/** How long `request` waits for an answer: as fetch of Node does. */
const REQUEST_TIMEOUT_MS = 300_000

interface Packet {
  readonly deliver: () => void
  readonly sinceMs: number
  arrived: boolean
}

/** What a direction asks of the end it leads to, and of the one it starts from. */
interface Receiver {
  /** Who takes packets there; undefined: nobody. */
  readonly accept: () => Owner | undefined
  /** Tells the sender that nobody does; `lost` is called if that does not reach him. */
  readonly refuse: (lost: () => void) => void
  /** The sender gave up. */
  readonly giveUp: () => void
}

/** One direction of a connection. */
class Way {
  readonly #network: SimNetwork
  readonly #connection: Connection
  readonly #from: string
  readonly #to: string
  readonly #end: Receiver
  /** Sent, and not yet come in order. */
  readonly #sent: Packet[] = []
  /** In the machine of the receiver, for its process to take. */
  readonly #inbox: Packet[] = []

  constructor(connection: Connection, from: string, to: string, end: Receiver) {
    this.#network = connection.network
    this.#connection = connection
    this.#from = from
    this.#to = to
    this.#end = end
  }

  push(deliver: () => void): void {
    const packet = { deliver, sinceMs: this.#network.kernel.nowMs, arrived: false }
    this.#sent.push(packet)
    this.#try(packet, RESEND_MS)
  }

  #try(packet: Packet, resendMs: number): void {
    const { kernel } = this.#network
    if (!this.#connection.open) return
    if (kernel.nowMs - packet.sinceMs >= GIVE_UP_MS) return this.#end.giveUp()
    const { label } = this.#connection
    const again = (): void => {
      const next = Math.min(2 * resendMs, RESEND_LONGEST_MS)
      kernel.after(resendMs, `${label} again`, kernel.world, () => this.#try(packet, next))
    }
    const arrived = (): void => this.#arrive(packet, again)
    this.#network.transmit(this.#from, this.#to, label, arrived, again)
  }

  #arrive(packet: Packet, again: () => void): void {
    if (!this.#connection.open) return
    const receiver = this.#end.accept()
    if (receiver === undefined) return this.#end.refuse(again)
    packet.arrived = true
    while (this.#sent[0]?.arrived === true) {
      this.#inbox.push(this.#sent.shift() as Packet)
      // Each event takes the oldest: events of one moment come in any order.
      this.#network.kernel.after(0, this.#connection.label, receiver, () =>
        this.#inbox.shift()?.deliver(),
      )
    }
  }
}

/** From a living incarnation to whichever runs on a machine when the first packet is there. */
export class Connection {
  readonly network: SimNetwork
  readonly label: string
  readonly #from: Owner
  readonly #machine: string
  readonly #onEnd: (error: NetworkError) => void
  readonly #there: Way
  readonly #back: Way
  #peer: Owner | undefined
  #unwatch: Cancel = () => undefined
  #open = true

  /** `onEnd` runs as `from`, once, when the connection breaks; not after `close`. */
  constructor(
    network: SimNetwork,
    from: Owner,
    machine: string,
    label: string,
    onEnd: (error: NetworkError) => void,
  ) {
    this.network = network
    this.label = label
    this.#from = from
    this.#machine = machine
    this.#onEnd = onEnd
    const home = network.machineOf(from)
    this.#there = new Way(this, home, machine, {
      accept: () => this.#accept(),
      refuse: (lost) =>
        this.#refuse(this.#peer === undefined ? 'ECONNREFUSED' : 'ECONNRESET', lost),
      giveUp: () => this.end('ETIMEDOUT'),
    })
    // The caller is not told that the other end gave up: his own time ends his wait.
    const unheard = (): void => undefined
    this.#back = new Way(this, machine, home, {
      accept: () => from,
      refuse: unheard,
      giveUp: unheard,
    })
  }

  get open(): boolean {
    return this.#open && this.#from.alive
  }

  /** To the other end: `deliver` runs as it. */
  send(deliver: (peer: Owner) => void): void {
    this.#there.push(() => {
      if (this.#peer !== undefined) deliver(this.#peer)
    })
  }

  /** Back to the caller, as the other end: `deliver` runs as the caller. */
  answer(deliver: () => void): void {
    if (this.#peer?.alive === true) this.#back.push(deliver)
  }

  close(): void {
    this.#open = false
    this.#unwatch()
  }

  /** Breaks it, as seen by the caller. */
  end(code: NetworkError['code']): void {
    if (!this.open) return
    this.close()
    const { counts, kernel } = this.network
    if (code === 'ECONNREFUSED') counts.refused++
    else if (code === 'ECONNRESET') counts.reset++
    else counts.timedOut++
    const error = new NetworkError(code, `${this.label} to ${this.#machine}`)
    kernel.after(0, `${this.label} ${code}`, this.#from, () => this.#onEnd(error))
  }

  #accept(): Owner | undefined {
    const { network } = this
    if (this.#peer === undefined) {
      this.#peer = network.host(this.#machine)
      if (this.#peer === undefined) return undefined
      // Said once: if it is lost, the caller learns by his own time, or by his next packet.
      const reset = (): void => this.#refuse('ECONNRESET', () => undefined)
      this.#unwatch = network.onLeave(this.#peer, reset)
    }
    return this.#peer.alive ? this.#peer : undefined
  }

  #refuse(code: NetworkError['code'], lost: () => void): void {
    const home = this.network.machineOf(this.#from)
    const told = (): void => this.end(code)
    this.network.transmit(this.#machine, home, `${this.label} ${code}`, told, lost)
  }
}

export interface SimRequestOptions {
  /** Default 300 s. */
  readonly timeoutMs?: number
  /** Rejects with its reason; the other end is not told. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Has `serve` run as the incarnation on `machine`, and brings back what it gave or threw: by
 * reference, so that who calls copies what is not to be shared. Fails with a `NetworkError`. To be
 * called as `from`; when it dies, the promise stays open as all that it waits for.
 */
export function request<T>(
  network: SimNetwork,
  from: Owner,
  machine: string,
  label: string,
  serve: (owner: Owner) => T | Promise<T>,
  options: SimRequestOptions = {},
): Promise<T> {
  const { timeoutMs = REQUEST_TIMEOUT_MS, signal } = options
  return new Promise<T>((resolve, reject) => {
    signal?.throwIfAborted()
    const finish = (settle: () => void): void => {
      connection.close()
      stopTimer()
      signal?.removeEventListener('abort', abort)
      settle()
    }
    const connection = new Connection(network, from, machine, label, (error) =>
      finish(() => reject(error)),
    )
    const abort = (): void => finish(() => reject(signal?.reason as Error))
    signal?.addEventListener('abort', abort, { once: true })
    const stopTimer = network.kernel.after(timeoutMs, `${label} timeout`, from, () =>
      connection.end('ETIMEDOUT'),
    )
    connection.send((owner) => {
      const served = Promise.resolve().then(() => serve(owner))
      const answer = (): void => connection.answer(() => finish(() => resolve(served)))
      served.then(answer, answer)
    })
  })
}
