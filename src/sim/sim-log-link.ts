/**
 * One connection of a client to one server of the simulated log, as TCP gives it: requests arrive in
 * order or not at all, and a connection that lost one is broken. The client finds out later; of what
 * it had sent a prefix may still arrive, late.
 */
import type { Draw } from './draw.ts'
import type { Kernel, Owner } from './kernel.ts'
import type { SimServer } from './sim-log-servers.ts'

/** Until a client misses the answers to its pings. */
const SILENCE_MS = [500, 4_000] as const
/** Mean of what a message behind a broken connection takes to turn up. */
const STRAY_MS = 1_500

export type Reaches = (from: string, to: string) => boolean

export interface LinkOptions {
  readonly kernel: Kernel
  readonly owner: Owner
  readonly client: string
  readonly server: SimServer
  readonly reaches: Reaches
  readonly draw: Draw
  /** Mean time of one way. */
  readonly latencyMs: number
  /** The client has found out, in its own time. */
  readonly lost: () => void
  /** At once, for the servers. */
  readonly broken: () => void
}

export class Link {
  readonly server: SimServer
  readonly #options: LinkOptions
  readonly #inTransit: (() => void)[] = []
  #arrivesMs = 0
  #open = true

  constructor(options: LinkOptions) {
    this.#options = options
    this.server = options.server
  }

  /** Messages pass. The client may believe so for a while after this is false. */
  get open(): boolean {
    return this.#open
  }

  get owner(): Owner {
    return this.#options.owner
  }

  get client(): string {
    return this.#options.client
  }

  /** From the client to the server, in order. `draw`: of this message, so that others keep theirs. */
  up(request: () => void, draw = this.#options.draw): void {
    if (!this.#open) return
    const { kernel } = this.#options
    this.#inTransit.push(request)
    this.#arrivesMs = Math.max(this.#arrivesMs, kernel.nowMs + this.#takesMs(draw))
    kernel.after(this.#arrivesMs - kernel.nowMs, 'log request', kernel.world, () => this.#arrive())
  }

  /** From the server to the client, as its owner's step. */
  down(label: string, message: () => void, draw = this.#options.draw): void {
    if (!this.#open) return
    const { kernel, owner, reaches, client } = this.#options
    kernel.after(this.#takesMs(draw), label, owner, () => {
      if (!this.#open) return
      if (reaches(this.server.name, client)) message()
      else this.breakOff('cut')
    })
  }

  /**
   * `cut`: nothing passes, and the client finds out by silence. `reset`: it is told at once. `left`:
   * the client closed it, or died.
   */
  breakOff(how: 'cut' | 'reset' | 'left'): void {
    if (!this.#open) return
    this.#open = false
    const { kernel, owner, draw, reaches, client, lost, broken } = this.#options
    broken()
    const under = this.#inTransit.splice(0)
    const arrive = how === 'cut' ? 0 : draw.int(0, under.length)
    let takesMs = 0
    for (const request of under.slice(0, arrive)) {
      takesMs += draw.exponential(STRAY_MS / under.length)
      kernel.after(takesMs, 'log stray', kernel.world, request)
    }
    if (how === 'left') return
    const told = how === 'reset' && reaches(this.server.name, client)
    const noticeMs = told ? this.#takesMs(draw) : draw.int(...SILENCE_MS)
    kernel.after(noticeMs, 'log lost', owner, lost)
  }

  /** The next in order, whichever message's time it is. */
  #arrive(): void {
    if (!this.#open) return
    const { owner, reaches, client } = this.#options
    if (!owner.alive) this.breakOff('left')
    else if (!reaches(client, this.server.name)) this.breakOff('cut')
    else this.#inTransit.shift()?.()
  }

  #takesMs(draw: Draw): number {
    const { latencyMs } = this.#options
    return latencyMs / 2 + (draw.exponential(latencyMs) / 2) * this.server.slowness
  }
}
