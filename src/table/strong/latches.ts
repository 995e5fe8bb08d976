/**
 * Latches: transactions of this node that lost once take turns on the rows they touched, so that
 * each attempt of theirs finds what the one before left, instead of losing again (S5). They save
 * effort only: safety is the resolver's, whoever has not lost yet asks for none, and nobody waits
 * for one longer than a while, so that a transaction inside another cannot stand in its own way.
 */
import type { Env } from '../../core/env.ts'

/** Milliseconds to wait for one latch; then the attempt goes on without it. */
const PATIENCE_MS = 1_000

export class Latches {
  readonly #env: Env
  readonly #tails = new Map<string, Promise<void>>()

  constructor(env: Env) {
    this.#env = env
  }

  /**
   * Resolves with the release once `names` are held, or were waited for long enough. Taken in one
   * order by all: nobody waits in a ring.
   */
  async take(names: readonly string[]): Promise<() => void> {
    const releases: (() => void)[] = []
    for (const name of [...new Set(names)].sort()) releases.push(await this.#takeOne(name))
    return () => {
      for (const release of releases) release()
    }
  }

  async #takeOne(name: string): Promise<() => void> {
    const before = this.#tails.get(name)
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const tail = before === undefined ? held : before.then(() => held)
    this.#tails.set(name, tail)
    void tail.then(() => {
      if (this.#tails.get(name) === tail) this.#tails.delete(name)
    })
    if (before !== undefined) await this.#patiently(before)
    return release
  }

  #patiently(before: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#env.timers.after(PATIENCE_MS, resolve)
      void before.then(() => {
        cancel()
        resolve()
      })
    })
  }
}
