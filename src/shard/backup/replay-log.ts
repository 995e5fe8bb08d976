/** A history from a backup as a log: whoever follows it is given one entry after another. */
import { assert } from '../../core/assert.ts'
import type { Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { Appended, Log, LogFollower, Position, Unfollow } from '../../log/log.ts'
import type { Verdict } from '../resolver.ts'
import { decodeVerdicts } from '../state-machine.ts'

export class ReplayLog implements Log {
  /** The entries are safe where they come from. */
  readonly durability = 'self'
  readonly #verdicts = new Map<Position, readonly Verdict[]>()
  #last: Position
  #follower: LogFollower | undefined

  constructor(last: Position) {
    this.#last = last
  }

  last(): Position {
    return this.#last
  }

  /** The next entry, with the verdicts recorded with it, coded. */
  deliver(frame: Bytes, verdicts: Bytes): void {
    assert(this.#follower !== undefined, 'a replay is followed before it begins')
    const position = ++this.#last
    this.#verdicts.set(position, decodeVerdicts(verdicts))
    this.#follower.entry(position, frame)
  }

  verdictsAt(position: Position): readonly Verdict[] {
    const verdicts = this.#verdicts.get(position) ?? []
    this.#verdicts.delete(position)
    return verdicts
  }

  follow(from: Position, follower: LogFollower): Unfollow {
    assert(from === this.#last + 1, 'a replay goes on where the base ends')
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
