/** Gives a folder the entries that it lacks, from a peer's (S7): it decides and applies them itself. */
import { equalBytes } from '../../core/bytes.ts'
import type { Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { readEntry } from '../../log/entry-store.ts'
import type { Appended, Log, LogFollower, Position, Unfollow } from '../../log/log.ts'
import type { Store, StoreReader } from '../../store/store.ts'
import { ApplyLoop } from '../apply-loop.ts'
import type { Place } from '../genesis.ts'

/** Entries handed over before it is waited for the disk. */
const SLICE = 256

/** Throws `EntryCorrupt` when the folder comes to another state than its peer. */
export async function handOver(
  env: Env,
  store: Store,
  peer: StoreReader,
  to: Place,
): Promise<void> {
  const loop = new ApplyLoop(env, store)
  const log = new PeerLog()
  loop.follow(log)
  try {
    for (let position = loop.state.position + 1; position <= to.position; position++) {
      log.deliver(peer, position)
      if (position % SLICE === 0) await loop.reached(position)
    }
    await loop.reached(to.position)
    const { entryChain, decisionChain } = loop.state
    if (equalBytes(entryChain, to.entryChain) && equalBytes(decisionChain, to.decisionChain)) return
    throw new HoldfastError('EntryCorrupt', `at ${to.position} the folder decided otherwise`)
  } finally {
    await loop.close()
  }
}

class PeerLog implements Log {
  /** The entries are safe where they come from. */
  readonly durability = 'self'
  #last: Position = 0
  #follower: LogFollower | undefined

  last(): Position {
    return this.#last
  }

  deliver(peer: StoreReader, position: Position): void {
    const frame = readEntry(peer, position)
    if (frame === undefined) {
      throw new HoldfastError('EntryCorrupt', `the peer's entry ${position} is missing`)
    }
    this.#last = position
    this.#follower?.entry(position, frame)
  }

  follow(_from: Position, follower: LogFollower): Unfollow {
    this.#follower = follower
    return () => {
      this.#follower = undefined
    }
  }

  append(): Promise<Appended> {
    return Promise.reject(new HoldfastError('Closed', 'nothing is added to a history'))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
