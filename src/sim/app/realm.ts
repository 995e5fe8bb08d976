/**
 * What the parts of one incarnation's realm share (D2): whose it is, its virtual surroundings, and
 * how a call that is no part of the simulation is refused.
 */
import type { Cancel } from '../../core/env.ts'
import type { Ambient } from '../ambient.ts'
import type { Draw } from '../draw.ts'
import type { Owner } from '../scope.ts'
import { DeadIncarnation, SimulationLeak } from '../tripwires.ts'
import type { AppBundle } from './bundle.ts'

/** A line that an app wrote to its console or its standard output. */
export interface AppLine {
  /** The incarnation: `node-1#2`. */
  readonly owner: string
  /** By the node's own wall clock. */
  readonly wallMs: number
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly text: string
}

export interface RealmParts {
  readonly owner: Owner
  /** Runs `work` as `owner`'s: `Kernel.as`. */
  readonly as: <T>(owner: Owner, work: () => T) => T
  readonly ambient: Ambient
  /** Tells the places in the user's files. */
  readonly code: Pick<AppBundle, 'mapStack' | 'callSite'>
  readonly onLine: (line: AppLine) => void
  /** Told what a timer's callback threw: a real process would end. */
  readonly onUncaught: (error: unknown) => void
}

/** Frames in which the app's call is looked for: a package may lie between. */
const FRAMES_MAX = 50

/** Errors in a chain of causes whose stacks are mapped: a chain may be a ring. */
const CAUSES_MAX = 8

export class Realm {
  readonly owner: Owner
  /** Whoever hears of an uncaught error first; true when it is dealt with. */
  interceptUncaught: (error: unknown) => boolean = () => false
  readonly #parts: RealmParts

  constructor(parts: RealmParts) {
    this.#parts = parts
    this.owner = parts.owner
  }

  wallMs(api: string): number {
    this.alive(api)
    return this.#parts.ambient.wallMs()
  }

  monotonicMs(api: string): number {
    this.alive(api)
    return this.#parts.ambient.monotonicMs()
  }

  random(api: string): Draw {
    this.alive(api)
    return this.#parts.ambient.random
  }

  /** Runs `callback` after `delayMs` of the node's time, in the context in which it was asked for. */
  after(api: string, delayMs: number, callback: () => void): Cancel {
    this.alive(api)
    let fire = (): void => undefined
    const due = new Promise<void>((resolve) => {
      fire = resolve
    })
    // A promise's callback keeps the app's own AsyncLocalStorage, and is no resource of a new kind.
    void due.then(() => this.run(() => this.guard(callback)))
    return this.#parts.ambient.after(delayMs, fire)
  }

  /** Runs `work` as this incarnation's. */
  run<T>(work: () => T): T {
    return this.#parts.as(this.owner, work)
  }

  /** Calls `callback`, and reports what it throws as a process would. */
  guard(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.uncaught(error)
    }
  }

  uncaught(error: unknown): void {
    this.mapped(error)
    if (!this.owner.alive || this.interceptUncaught(error)) return
    this.#parts.onUncaught(error)
  }

  line(level: AppLine['level'], text: string): void {
    const wallMs = this.wallMs('console')
    this.#parts.onLine({
      owner: this.owner.name,
      wallMs,
      level,
      text: this.#parts.code.mapStack(text),
    })
  }

  /** Throws when the incarnation is dead: its code goes on only because nothing could stop it. */
  alive(api: string): void {
    const { name, alive } = this.owner
    if (alive) return
    const site = this.#callSite()
    throw this.mapped(
      new DeadIncarnation(`${api} was called by ${name}, which is dead, at ${site}`),
    )
  }

  /** Throws: `api` is no part of the simulation; `advice` says why, and what to use instead. */
  refuse(api: string, advice: string): never {
    this.alive(api)
    const leak = this.mapped(new SimulationLeak(api, this.#callSite(), this.owner.name, advice))
    // Also when the app catches it, as a web framework would.
    this.line('error', String(leak))
    throw leak
  }

  #callSite(): string {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = FRAMES_MAX
    const { stack } = new Error('for its stack')
    Error.stackTraceLimit = stackTraceLimit
    return this.#parts.code.callSite(stack ?? '') ?? 'an unknown place'
  }

  /** `error` itself, with the user's own places in its stack and in those of its causes. */
  mapped<T>(error: T, depth = 0): T {
    if (!(error instanceof Error) || depth > CAUSES_MAX) return error
    const stack = error.stack ?? ''
    const mapped = this.#parts.code.mapStack(stack)
    if (mapped !== stack && isChangeable(error)) {
      Object.defineProperty(error, 'stack', { value: mapped, configurable: true, writable: true })
    }
    this.mapped(error.cause, depth + 1)
    return error
  }
}

function isChangeable(error: Error): boolean {
  return Object.isExtensible(error) && !Object.isFrozen(error)
}
