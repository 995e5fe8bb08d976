/** Whose step runs, known behind its awaits too: what the kernel sets and the tripwires ask. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Ambient } from './ambient.ts'

/** Whose work runs: see `Kernel.current`. */
export interface Owner {
  /** Unique in a run: `node-1#2` is the second incarnation of node 1. */
  readonly name: string
  alive: boolean
  paused: boolean
}

/** What a simulated step runs in. */
export interface Scope {
  readonly owner: Owner
  /** The kernel that runs it. */
  readonly kernel: {
    /** Makes the run fail with `error`, also if the code that caused it catches what was thrown. */
    fail(error: Error): void
    ambientFor(owner: Owner): Ambient
  }
}

const scopes = new AsyncLocalStorage<Scope>()

/** Of the simulated step that runs now; undefined outside every simulation. */
export function currentScope(): Scope | undefined {
  return scopes.getStore()
}

export function within<T>(scope: Scope, work: () => T): T {
  return scopes.run(scope, work)
}
