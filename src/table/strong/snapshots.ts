/**
 * Snapshots that queries hold. Each is bounded in time, because a held one makes the data file grow
 * (measured: 4.8 KB a put): it expires when it was idle for 30 s, or is 5 minutes old.
 */
import { hex } from '../../core/bytes.ts'
import type { Cancel, Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Store, StoreReader, StoreSnapshot } from '../../store/store.ts'

interface Held {
  readonly id: string
  readonly reader: StoreSnapshot
  readonly madeMs: number
  usedMs: number
}

const SWEEP_MS = 5_000

export class Snapshots {
  readonly #env: Env
  readonly #store: Store
  readonly #held = new Map<string, Held>()
  #cancel: Cancel | undefined

  constructor(env: Env, store: Store) {
    this.#env = env
    this.#store = store
  }

  /** A new snapshot, or the one with `id`. Throws `SnapshotExpired`, or `Overloaded` past 32 held. */
  take(id: string | undefined): { readonly id: string; readonly reader: StoreReader } {
    if (id !== undefined) return { id, reader: this.reader(id) }
    if (this.#held.size >= LIMITS.snapshots) this.#sweep()
    if (this.#held.size >= LIMITS.snapshots) {
      throw new HoldfastError(
        'Overloaded',
        `${LIMITS.snapshots} scans are open; finish one, or read pages`,
        {
          details: { limit: LIMITS.snapshots },
        },
      )
    }
    const now = this.#env.clock.monotonicMs()
    const held: Held = {
      id: hex(this.#env.random.bytes(8)),
      reader: this.#store.snapshot(),
      madeMs: now,
      usedMs: now,
    }
    this.#held.set(held.id, held)
    this.#cancel ??= this.#env.timers.after(SWEEP_MS, () => this.#tick(), 'background')
    return held
  }

  /** Throws `SnapshotExpired` when it is no longer held. */
  reader(id: string): StoreReader {
    const held = this.#held.get(id)
    if (held === undefined || this.#isExpired(held)) {
      this.drop(id)
      throw new HoldfastError('SnapshotExpired', 'the snapshot of this scan is no longer held')
    }
    held.usedMs = this.#env.clock.monotonicMs()
    return held.reader
  }

  drop(id: string): void {
    this.#held.get(id)?.reader.close()
    this.#held.delete(id)
  }

  close(): void {
    this.#cancel?.()
    for (const id of this.#held.keys()) this.drop(id)
  }

  #isExpired(held: Held): boolean {
    const now = this.#env.clock.monotonicMs()
    return now - held.usedMs > LIMITS.snapshotIdleMs || now - held.madeMs > LIMITS.snapshotMaxMs
  }

  #sweep(): void {
    for (const held of this.#held.values()) if (this.#isExpired(held)) this.drop(held.id)
  }

  #tick(): void {
    this.#sweep()
    this.#cancel =
      this.#held.size === 0
        ? undefined
        : this.#env.timers.after(SWEEP_MS, () => this.#tick(), 'background')
  }
}
