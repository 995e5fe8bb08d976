/**
 * One simulated machine: clocks and disks that outlive what runs on them, and the incarnation that
 * runs now. A crash ends an incarnation with its memory, timers and unsettled work; the next one
 * begins from what the disk kept.
 */
import { assert } from '../core/assert.ts'
import type { Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Kernel, Owner } from './kernel.ts'
import { machineClock, simEnv, type MachineClock } from './sim-env.ts'
import type { Timeline } from './timeline.ts'

/** What runs on a machine, as its boot made it. */
export interface Running {
  /** Ends it in order. */
  stop(): Promise<void>
}

export interface Incarnation<R extends Running> {
  readonly owner: Owner
  readonly env: Env
  readonly machine: Machine<R>
  /** Rejects when the incarnation ends. */
  readonly ended: Promise<never>
  /** What booting made; undefined until it is done. */
  running: R | undefined
  /** Calls from outside that are not answered yet. */
  pending: number
}

export type Boot<R extends Running> = (incarnation: Incarnation<R>) => Promise<R>

export interface MachineParts<R extends Running> {
  readonly kernel: Kernel
  readonly timeline: Timeline
  readonly boot: Boot<R>
  /** What the machine's disks keep when its process, or its power, is gone. */
  readonly lose: (incarnation: Incarnation<R>, how: 'process' | 'power') => void
  /** Told when an incarnation cannot boot, or ends by itself. */
  readonly failed: (machine: Machine<R>, cause: unknown) => void
}

/** A machine that fails to boot tries again after this long, as a supervisor would have it. */
const REBOOT_MS = 500

export class Machine<R extends Running> {
  readonly name: string
  readonly index: number
  readonly clock: MachineClock = machineClock()
  readonly #parts: MachineParts<R>
  #current: Incarnation<R> | undefined
  #incarnations = 0
  #end: (cause: unknown) => void = () => undefined
  #waiting: (() => void)[] = []
  #onBusy: (() => void)[] = []
  /** Whether a supervisor starts it again when it ends by itself. */
  #isWanted = false

  constructor(name: string, index: number, parts: MachineParts<R>) {
    this.name = name
    this.index = index
    this.#parts = parts
  }

  get current(): Incarnation<R> | undefined {
    return this.#current
  }

  get incarnations(): number {
    return this.#incarnations
  }

  get isUp(): boolean {
    return this.#current?.running !== undefined
  }

  /** What runs now. Throws `NoResponder` when nothing does. */
  get running(): R {
    const running = this.#current?.running
    if (running === undefined) throw nodeDown(this.name)
    return running
  }

  /** Starts an incarnation, unless one is there. */
  start(): void {
    this.#isWanted = true
    if (this.#current !== undefined) return
    const { kernel, timeline, boot } = this.#parts
    const owner = kernel.owner(`${this.name}#${++this.#incarnations}`)
    const random = kernel.random(`env/${owner.name}`)
    const ended = new Promise<never>((_, reject) => {
      this.#end = reject
    })
    // Whoever waits for it is told; when nobody does, it is no error.
    ended.catch(() => undefined)
    const env = simEnv(kernel, owner, this.clock, random)
    const incarnation: Incarnation<R> = {
      owner,
      env,
      machine: this,
      ended,
      running: undefined,
      pending: 0,
    }
    this.#current = incarnation
    timeline.add(kernel.nowMs, this.name, `starts, incarnation ${this.#incarnations}`)
    kernel.after(0, 'boot', owner, () => {
      boot(incarnation).then(
        (running) => this.#booted(incarnation, running),
        (cause: unknown) => this.#bootFailed(incarnation, cause),
      )
    })
  }

  #booted(incarnation: Incarnation<R>, running: R): void {
    // It ended by itself meanwhile.
    if (this.#current !== incarnation) return
    const { kernel, timeline } = this.#parts
    incarnation.running = running
    timeline.add(kernel.nowMs, this.name, 'is up')
    kernel.note(`up ${this.name}`)
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #bootFailed(incarnation: Incarnation<R>, cause: unknown): void {
    if (this.#current !== incarnation) return
    const { kernel, timeline, failed } = this.#parts
    timeline.add(kernel.nowMs, this.name, `cannot start: ${String(cause)}`, true)
    failed(this, cause)
    this.#drop(incarnation, 'process')
    this.#supervise()
  }

  /** The process ended by itself: a supervisor starts it again after a while. */
  exited(incarnation: Incarnation<R>, cause: unknown): void {
    if (this.#current !== incarnation) return
    const { kernel, timeline, failed } = this.#parts
    timeline.add(kernel.nowMs, this.name, `ends by itself: ${String(cause)}`, true)
    failed(this, cause)
    this.#drop(incarnation, 'process')
    this.#supervise()
  }

  #supervise(): void {
    const { kernel } = this.#parts
    kernel.after(REBOOT_MS, `supervise ${this.name}`, kernel.world, () => {
      if (this.#isWanted) this.start()
    })
  }

  /** The process, or the machine, is gone at once. */
  crash(how: 'process' | 'power'): void {
    this.#isWanted = false
    const incarnation = this.#current
    if (incarnation !== undefined) this.#drop(incarnation, how)
  }

  #drop(incarnation: Incarnation<R>, how: 'process' | 'power'): void {
    assert(this.#current === incarnation, 'a machine runs one incarnation at a time')
    this.#parts.kernel.kill(incarnation.owner)
    this.#current = undefined
    this.#parts.lose(incarnation, how)
    this.#end(nodeDied(this.name))
  }

  /** Ends the incarnation in order; a crash may come before it is done. */
  async stop(): Promise<void> {
    this.#isWanted = false
    const incarnation = this.#current
    if (incarnation === undefined) return
    const { kernel } = this.#parts
    const { running } = incarnation
    if (running !== undefined) {
      const stopped = kernel.as(incarnation.owner, () => running.stop())
      await Promise.race([stopped, incarnation.ended]).catch(() => undefined)
    }
    if (this.#current === incarnation) this.#drop(incarnation, 'process')
    // Somebody wanted it back meanwhile.
    if (this.#isWanted) this.start()
  }

  pause(): void {
    if (this.#current !== undefined) this.#parts.kernel.pause(this.#current.owner)
  }

  resume(): void {
    if (this.#current !== undefined) this.#parts.kernel.resume(this.#current.owner)
  }

  /** Calls `callback` as soon as somebody waits for an answer of this machine. */
  whenBusy(callback: () => void): void {
    if ((this.#current?.pending ?? 0) > 0) callback()
    else this.#onBusy.push(callback)
  }

  /** Resolves once an incarnation is up. */
  up(): Promise<void> {
    if (this.isUp) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  /**
   * Runs `work` on what runs here now, as its incarnation. Rejects with `NoResponder` when nothing
   * runs, and with `OutcomeUnknown` when it ends meanwhile.
   */
  call<T>(work: (running: R) => T | Promise<T>): Promise<T> {
    const incarnation = this.#current
    const running = incarnation?.running
    if (incarnation === undefined || running === undefined) {
      return Promise.reject(nodeDown(this.name))
    }
    incarnation.pending++
    for (const callback of this.#onBusy.splice(0)) callback()
    const answer = this.#parts.kernel.as(incarnation.owner, async () => work(running))
    return Promise.race([answer, incarnation.ended]).finally(() => incarnation.pending--)
  }
}

function nodeDown(name: string): HoldfastError {
  return new HoldfastError('NoResponder', `${name} is down`)
}

function nodeDied(name: string): HoldfastError {
  return new HoldfastError('OutcomeUnknown', `${name} ended before it answered`)
}
