/** What nodes of a cluster tell each other again and again: who they are, and how far they are. */
import type { Bytes } from '../core/bytes.ts'
import { decodeValue, encodeValue, type Value } from '../core/value-codec.ts'
import type { Position } from '../log/log.ts'

/** Both chains (S7) as they stood at a position, in hex. */
export interface Mark {
  readonly position: Position
  /** Folded over the entries' bytes. */
  readonly entries: string
  /** Folded over what was decided of them. */
  readonly decisions: string
}

/** Why a node stopped. It answers from what it has, and goes on telling. */
export interface Halt {
  readonly code: string
  readonly message: string
}

export interface Heartbeat {
  /** The node's id, for ever, and of this start of it. */
  readonly node: string
  readonly incarnation: string
  /** For people. */
  readonly name: string
  readonly version: string
  /** The identity of the log that it reads, in hex; empty before that was read. */
  readonly log: string
  /** By the node's wall clock. */
  readonly startedMs: number
  /** It is the last one: the node closes. */
  readonly leaves: boolean
  readonly url: string | undefined
  readonly durability: string
  /** The newest position of the log that the node has heard of. */
  readonly last: Position
  /** How old what is read here may be; undefined before the first linearizable read. */
  readonly stalenessMs: number | undefined
  /** For how long the log has owed it an answer; 0 when it owes none. */
  readonly logSilentMs: number
  readonly halted: Halt | undefined
  /** The newest flushed position: of a node that halted, where it stopped. */
  readonly at: Mark
  /** Further positions: fixed ones, and those at which histories seem to differ. */
  readonly marks: readonly Mark[]
}

const FORMAT = 1
/** More marks than any node tells: what comes from outside is bounded. */
const MARKS_MAX = 64

export function encodeHeartbeat(heartbeat: Heartbeat): Bytes {
  return encodeValue({ ...heartbeat, format: FORMAT } as unknown as Value)
}

/** Undefined for what is no heartbeat that can be read here. */
export function decodeHeartbeat(bytes: Bytes): Heartbeat | undefined {
  let value: unknown
  try {
    value = decodeValue(bytes)
  } catch {
    return undefined
  }
  return isHeartbeat(value) ? value : undefined
}

const TEXTS = ['node', 'incarnation', 'name', 'version', 'log', 'durability'] as const
const NUMBERS = ['startedMs', 'last', 'logSilentMs'] as const

function isHeartbeat(value: unknown): value is Heartbeat {
  if (!isObject(value) || value['format'] !== FORMAT) return false
  const { leaves, url, stalenessMs, halted, at, marks } = value
  return (
    TEXTS.every((name) => typeof value[name] === 'string') &&
    NUMBERS.every((name) => isCount(value[name])) &&
    typeof leaves === 'boolean' &&
    (url === undefined || typeof url === 'string') &&
    (stalenessMs === undefined || isCount(stalenessMs)) &&
    (halted === undefined || isHalt(halted)) &&
    isMark(at) &&
    Array.isArray(marks) &&
    marks.length <= MARKS_MAX &&
    marks.every(isMark)
  )
}

function isHalt(value: unknown): value is Halt {
  if (!isObject(value)) return false
  return typeof value['code'] === 'string' && typeof value['message'] === 'string'
}

function isMark(value: unknown): value is Mark {
  if (!isObject(value)) return false
  const { position, entries, decisions } = value
  return isCount(position) && typeof entries === 'string' && typeof decisions === 'string'
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

const isCount = (value: unknown): value is number => Number.isFinite(value) && Number(value) >= 0
