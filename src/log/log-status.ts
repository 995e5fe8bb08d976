/** What the servers of a shared log say of it. */
import type { Position } from './log.ts'

export interface LogServer {
  readonly name: string
  readonly isLeader: boolean
  /** Whether it is reached, and has all that the leader has. */
  readonly isCurrent: boolean
}

export interface LogStatus {
  /** As the servers name it. */
  readonly name: string
  /** Undefined while there is none. */
  readonly leader: string | undefined
  /** Those that keep it. */
  readonly servers: readonly LogServer[]
  readonly lastPosition: Position
  readonly bytes: number
  readonly maxBytes: number
  /** Why the servers could not be asked; the rest is then what they said last. */
  readonly problem: string | undefined
}
