/**
 * Snapshots that queries hold. Each is bounded in time, because a held one makes the data file grow
 * (measured: 4.8 KB a put): it expires when it was idle for 30 s, or is 5 minutes old.
 */
import { hex } from '../../core/bytes.ts'
import type { Cancel, Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Store, StoreReader, StoreSnapshot } from '../../store/store.ts'

export interface Held {
  readonly reader: StoreSnapshot
  readonly madeMs: number
  usedMs: number
  /** A cursor names it: nobody may ever come back for it, so it expires when idle. */
  named: boolean
  closed: boolean
}

const SWEEP_MS = 5_000

export class Snapshots {
  readonly #env: Env
  readonly #store: Store
  readonly #held = new Set<Held>()
  /** Those that cursors name. */
  readonly #named = new Map<string, Held>()
  #cancel: Cancel | undefined

  constructor(env: Env, store: Store) {
    this.#env = env
    this.#store = store
  }

  /** A new snapshot, to be released. Throws `Overloaded` past 32 held. */
  hold(): Held {
    if (this.#held.size >= LIMITS.snapshots) this.#sweep()
    if (this.#held.size >= LIMITS.snapshots) {
      throw new HoldfastError(
        'Overloaded',
        `${LIMITS.snapshots} scans are open; finish one, or read pages`,
        { details: { limit: LIMITS.snapshots } },
      )
    }
    const now = this.#env.clock.monotonicMs()
    const held: Held = {
      reader: this.#store.snapshot(),
      madeMs: now,
      usedMs: now,
      named: false,
      closed: false,
    }
    this.#held.add(held)
    this.#cancel ??= this.#env.timers.after(SWEEP_MS, () => this.#tick(), 'background')
    return held
  }

  /** As `hold`, or undefined past the limit. */
  tryHold(): Held | undefined {
    if (this.#held.size >= LIMITS.snapshots) this.#sweep()
    return this.#held.size >= LIMITS.snapshots ? undefined : this.hold()
  }

  /** Its reader. Throws `SnapshotExpired` when it was held too long. */
  use(held: Held): StoreReader {
    if (held.closed || this.#isExpired(held)) {
      this.release(held)
      throw expired()
    }
    held.usedMs = this.#env.clock.monotonicMs()
    return held.reader
  }

  release(held: Held): void {
    if (held.closed) return
    held.closed = true
    this.#held.delete(held)
    held.reader.close()
  }

  /** A name for a snapshot, for a cursor. */
  name(held: Held): string {
    const name = hex(this.#env.random.bytes(8))
    this.#named.set(name, held)
    held.named = true
    return name
  }

  /** The snapshot that a cursor names. Throws `SnapshotExpired`. */
  named(name: string): Held {
    const held = this.#named.get(name)
    if (held === undefined || held.closed) throw expired()
    return held
  }

  close(): void {
    this.#cancel?.()
    for (const held of this.#held) this.release(held)
    this.#named.clear()
  }

  #isExpired(held: Held): boolean {
    const now = this.#env.clock.monotonicMs()
    const idle = held.named && now - held.usedMs > LIMITS.snapshotIdleMs
    return idle || now - held.madeMs > LIMITS.snapshotMaxMs
  }

  #sweep(): void {
    for (const held of this.#held) if (this.#isExpired(held)) this.release(held)
    for (const [name, held] of this.#named) if (held.closed) this.#named.delete(name)
  }

  #tick(): void {
    this.#sweep()
    this.#cancel =
      this.#held.size === 0
        ? undefined
        : this.#env.timers.after(SWEEP_MS, () => this.#tick(), 'background')
  }
}

function expired(): HoldfastError {
  return new HoldfastError('SnapshotExpired', 'the snapshot of this scan is no longer held')
}
