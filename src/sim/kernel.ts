/**
 * The kernel of the simulator (D1): one event queue under virtual time. It takes the next event,
 * runs it in its owner's context, lets microtasks drain, and repeats; time jumps to the next event
 * when nothing is left to do now. What happens at one time is ordered by a seeded draw.
 *
 * An owner is whose event it is: an incarnation of a node, a client, or the simulator itself. The
 * events of a dead owner are dropped, those of a paused one held until it goes on.
 *
 * Events run as callbacks of real `setImmediate`, many to a turn of the event loop: between two of
 * them Node runs every promise callback and `process.nextTick` that is due, chains of them to their
 * end, and only after a batch whatever else the process has to do (the test runner's own timers).
 */
import { assert } from '../core/assert.ts'
import type { Cancel } from '../core/env.ts'
import { EPOCH_MS, type Ambient } from './ambient.ts'
import { drawFrom, type Draw, type DrawMeter } from './draw.ts'
import { EventHeap, type Event } from './event-heap.ts'
import { currentScope, within, type Owner, type Scope } from './scope.ts'
import { Trace, type RecordWindow } from './trace.ts'
import { installTripwires } from './tripwires.ts'
import type { Watchdog } from './watchdog.ts'

export type { Owner } from './scope.ts'

export interface KernelOptions {
  /** Records these events, to compare two runs: see trace.ts. Default: none. */
  readonly record?: RecordWindow | undefined
  /** Calls of Kernel, Env and draws in one step after which it is held to be endless. */
  readonly callsPerStepMax?: number
  /** Whether ambient time, timers, randomness and I/O are trapped in a step (D2). Default: true. */
  readonly tripwires?: boolean
  /** Virtual milliseconds after which a run is held to be endless. Default: no end. */
  readonly virtualMsMax?: number
  /** Ends the process at a step that never ends and calls nothing. Default: none. */
  readonly watchdog?: Watchdog | undefined
}

/** A step kept on calling the simulator and would never have ended. */
export class EndlessStep extends Error {
  override readonly name = 'EndlessStep'
}

/** A step of real work makes some hundreds. */
const CALLS_PER_STEP_MAX = 1_000_000
/** Virtual time that passes at once, without an event, and is told apart: nobody had anything to do. */
const IDLE_MS = 10
/** Events between two turns of the process's event loop. */
const BATCH = 128

/** The real one, taken before anything is patched. */
// oxlint-disable-next-line eslint/no-restricted-globals -- it drives the virtual time of all Envs
const realImmediate = setImmediate

export class Kernel {
  readonly seed: number
  /** The simulator's own work: faults, the network, the log's servers. */
  readonly world: Owner = { name: 'world', alive: true, paused: false }
  readonly trace: Trace
  readonly #options: KernelOptions
  readonly #callsMax: number
  readonly #virtualMsMax: number
  readonly #heap = new EventHeap()
  readonly #meter: DrawMeter
  readonly #ties: Draw
  /** Events of paused owners, in the order in which they were due. */
  readonly #held = new Map<Owner, Event[]>()
  readonly #scopes = new Map<Owner, Scope>()
  readonly #ambients = new Map<Owner, Ambient>()
  #nowMs = 0
  #order = 0
  #draws = 0
  /** Calls in the step that runs. */
  #calls = 0
  #step: Event | undefined
  #failure: Error | undefined
  #idleMs = 0
  #idleJumps = 0

  constructor(seed: number, options: KernelOptions = {}) {
    this.seed = seed
    this.#options = options
    this.#callsMax = options.callsPerStepMax ?? CALLS_PER_STEP_MAX
    this.#virtualMsMax = options.virtualMsMax ?? Number.POSITIVE_INFINITY
    this.trace = new Trace(options.record)
    this.#meter = {
      drew: () => {
        this.#draws++
        this.#called()
      },
    }
    // Not metered: how often it is drawn follows from the events.
    this.#ties = drawFrom(seed, 'kernel/ties')
  }

  /** True virtual time in milliseconds, from 0. Nodes see it through their own clocks. */
  get nowMs(): number {
    this.#called()
    return this.#nowMs
  }

  get events(): number {
    return this.trace.events
  }

  /** How often time jumped because nothing was to be done, and how far altogether. */
  get idle(): { readonly jumps: number; readonly ms: number } {
    return { jumps: this.#idleJumps, ms: this.#idleMs }
  }

  /** Of everything that happened so far, in order: the same seed gives the same. */
  get hash(): string {
    return this.trace.hash
  }

  /** Whose step this is, also behind its awaits; undefined outside this simulation. */
  get current(): Owner | undefined {
    const scope = currentScope()
    return scope?.kernel === this ? scope.owner : undefined
  }

  /** A stream of draws of its own: a function of seed and label alone. */
  random(label: string): Draw {
    return drawFrom(this.seed, label, this.#meter)
  }

  owner(name: string): Owner {
    return { name, alive: true, paused: false }
  }

  /** Runs `work` as `owner`'s: what it awaits and schedules is `owner`'s too. */
  as<T>(owner: Owner, work: () => T): T {
    return within(this.#scopeOf(owner), work)
  }

  /** Runs `run` after `delayMs` (0: later in this moment), as `owner`. */
  after(delayMs: number, label: string, owner: Owner, run: () => void): Cancel {
    this.#called()
    assert(delayMs >= 0 && delayMs < Infinity, 'an event lies ahead')
    const event: Event = {
      atMs: this.#nowMs + delayMs,
      tie: this.#ties.float(),
      order: this.#order++,
      label,
      owner,
      run,
      cancelled: false,
      site: this.trace.recording ? this.trace.site() : undefined,
    }
    this.#heap.push(event)
    return () => {
      event.cancelled = true
    }
  }

  /** Adds to the trace what is not an event by itself: a choice, a state, an outcome. */
  note(text: string): void {
    this.#called()
    this.trace.note(text)
  }

  /** Makes the run fail with `error`, the first one given, when the step that runs is over. */
  fail(error: Error): void {
    this.#failure ??= error
  }

  kill(owner: Owner): void {
    owner.alive = false
    this.#held.delete(owner)
  }

  /** What was already under way in the present step goes on to its next await of an event. */
  pause(owner: Owner): void {
    owner.paused = true
  }

  /** What fell due meanwhile happens now, in the order in which it was due. */
  resume(owner: Owner): void {
    owner.paused = false
    const held = this.#held.get(owner) ?? []
    this.#held.delete(owner)
    const tie = this.#ties.float()
    for (const event of held) {
      if (event.cancelled) continue
      event.atMs = this.#nowMs
      event.tie = tie
      event.order = this.#order++
      this.#heap.push(event)
    }
  }

  /** What users' code of `owner` sees in place of the ambient world; by default the true time. */
  setAmbient(owner: Owner, ambient: Ambient): void {
    this.#ambients.set(owner, ambient)
  }

  ambientFor(owner: Owner): Ambient {
    const known = this.#ambients.get(owner)
    if (known !== undefined) return known
    const ambient: Ambient = {
      wallMs: () => Math.floor(EPOCH_MS + this.nowMs),
      monotonicMs: () => this.nowMs,
      after: (delayMs, callback) => this.after(delayMs, 'ambient timer', owner, callback),
      random: this.random(`ambient/${owner.name}`),
    }
    this.#ambients.set(owner, ambient)
    return ambient
  }

  /**
   * Runs events until `done` settles, and gives what it gave. A function is started as the world's
   * first step. Throws when nothing is left to do, what an event throws, and what `fail` was given.
   */
  async run<T>(done: Promise<T> | (() => Promise<T>)): Promise<T> {
    const uninstall = this.#options.tripwires === false ? undefined : installTripwires()
    try {
      const result = typeof done === 'function' ? this.as(this.world, done) : done
      let settled = false
      const settle = (): void => {
        settled = true
      }
      result.then(settle, settle)
      await this.#drive(() => settled)
      return await result
    } finally {
      uninstall?.()
    }
  }

  /** One batch after another until `settled`; the event loop has a turn between two of them. */
  #drive(settled: () => boolean): Promise<void> {
    const { watchdog } = this.#options
    return new Promise((resolve, reject) => {
      let over = false
      const end = (error?: Error): void => {
        over = true
        if (error === undefined) resolve()
        else reject(error)
      }
      const step = (): void => {
        if (over) return
        this.#step = undefined
        if (this.#failure !== undefined) return end(this.#failure)
        if (settled()) return end()
        try {
          this.#next()
        } catch (error) {
          end(this.#failure ?? asError(error))
        }
      }
      const batch = (): void => {
        this.#step = undefined
        watchdog?.leave()
        if (over) return
        watchdog?.enter(this.seed)
        for (let i = 0; i < BATCH; i++) realImmediate(step)
        realImmediate(batch)
      }
      watchdog?.enter(this.seed)
      // Setting up is a step as well: its microtasks come first.
      realImmediate(batch)
    })
  }

  #next(): void {
    for (;;) {
      const event = this.#heap.pop()
      if (event === undefined)
        throw new Error(`the simulation stands still: ${this.#nothingLeft()}`)
      if (event.cancelled || !event.owner.alive) continue
      this.#passTo(event.atMs)
      if (event.owner.paused) {
        this.#hold(event)
        continue
      }
      this.trace.event(event.atMs, event.owner.name, event.label, this.#draws, event.site)
      this.#options.watchdog?.step(event.atMs, event.owner.name, event.label)
      this.#step = event
      this.#calls = 0
      within(this.#scopeOf(event.owner), event.run)
      return
    }
  }

  #passTo(atMs: number): void {
    if (atMs > this.#virtualMsMax) {
      throw new Error(
        `the simulation stands still: it is not over after ${this.#nowMs} ms, and ${this.events} events (seed ${this.seed})`,
      )
    }
    const ms = atMs - this.#nowMs
    if (ms > IDLE_MS) {
      this.#idleJumps++
      this.#idleMs += ms
    }
    this.#nowMs = atMs
  }

  #nothingLeft(): string {
    const paused = [...this.#held.keys()].map((owner) => owner.name)
    const held = paused.length === 0 ? '' : ` but for the paused ${paused.join(', ')}`
    return `nothing is left to do${held} at ${this.#nowMs} ms, after ${this.events} events (seed ${this.seed})`
  }

  #hold(event: Event): void {
    const held = this.#held.get(event.owner)
    if (held === undefined) this.#held.set(event.owner, [event])
    else held.push(event)
  }

  #scopeOf(owner: Owner): Scope {
    let scope = this.#scopes.get(owner)
    if (scope === undefined) {
      scope = { owner, kernel: this }
      this.#scopes.set(owner, scope)
    }
    return scope
  }

  #called(): void {
    if (++this.#calls > this.#callsMax) this.#endless()
  }

  #endless(): void {
    const step = this.#step
    // Between steps, and in the test's own set-up, nothing is counted.
    if (step === undefined) return
    const error = new EndlessStep(
      `the event "${step.label}" of ${step.owner.name} at ${step.atMs} ms does not end: ` +
        `${this.#callsMax} calls of the simulator in one step (seed ${this.seed})`,
    )
    this.fail(error)
    throw error
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('an event threw', { cause: thrown })
}
