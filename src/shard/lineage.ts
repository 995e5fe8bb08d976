/**
 * A history that goes on under a new log (S7, S15): that log's genesis names where the history before
 * it ends. Each log has an identity of its own, which is in every entry, so an entry made for the log
 * before counts in no other. What a token means survives: which positions an earlier log had is kept.
 *
 * Pure.
 */
import {
  copyBytes,
  equalBytes,
  hex,
  type ByteReader,
  type ByteWriter,
  type Bytes,
} from '../core/bytes.ts'
import { DIGEST_BYTES } from '../core/hash.ts'
import type { Position } from '../log/log.ts'
import { parentIn, type Genesis, type Parent, type Place } from './genesis.ts'

/** A log before this one, and the last position that it had. */
export interface PastLog {
  readonly identity: Bytes
  readonly end: Position
}

export interface Lineage {
  /** The identity of the first of its logs. */
  origin: Bytes
  /** Which of its logs this is, from 1 on. */
  epoch: number
  /** The latest of those before it, oldest first. */
  past: PastLog[]
  /**
   * The last place whose entry counted, when frames that are nobody's came behind it: those that a
   * log begins with come before its genesis.
   */
  base: Place | undefined
}

/** What the parts of a state that matter here are called there. */
export interface LineageState extends Lineage, Place {
  identity: Bytes
}

/** Logs before the present one that are remembered: each takes room in every record of the state. */
const PAST_KEPT = 16

/** That of a log which founds its history. */
export function newLineage(): Lineage {
  return { origin: new Uint8Array(DIGEST_BYTES), epoch: 1, past: [], base: undefined }
}

/** The place that a next log goes on from. */
export function parentOf(state: LineageState): Parent {
  const { position, entryChain, decisionChain } = state.base ?? state
  return { identity: state.identity, position, entryChain, decisionChain }
}

/** Called before the state moves on to the next position, with whether the entry there counts. */
export function stand(state: LineageState, counts: boolean): void {
  const { position, entryChain, decisionChain } = state
  state.base = counts ? undefined : (state.base ?? { position, entryChain, decisionChain })
}

/** Whether a genesis goes on from exactly this state. */
export function goesOn(state: LineageState, genesis: Genesis): boolean {
  const parent = parentIn(genesis)
  const own = parentOf(state)
  return (
    parent !== undefined &&
    parent.position === own.position &&
    equalBytes(parent.identity, own.identity) &&
    equalBytes(parent.entryChain, own.entryChain) &&
    equalBytes(parent.decisionChain, own.decisionChain)
  )
}

/** The state goes on under the log with this identity. */
export function goOn(state: LineageState, identity: Bytes): void {
  if (state.epoch === 1) state.origin = state.identity
  const end = (state.base ?? state).position
  state.past = [...state.past, { identity: state.identity, end }].slice(-PAST_KEPT)
  state.identity = identity
  state.epoch++
}

/** The identity of the log that gave out this position. */
export function identityAt(state: LineageState, position: Position): Bytes {
  return state.past.find(({ end }) => position <= end)?.identity ?? state.identity
}

/** A log of this history as tokens name it. */
function logName(origin: Bytes, epoch: number, identity: Bytes): string {
  if (epoch === 1) return `hf1.${hex(identity)}`
  return `hf2.${hex(origin)}.${epoch}.${hex(identity.subarray(0, DIGEST_BYTES / 2))}`
}

/** The present log as tokens name it. */
export function presentName({ origin, epoch, identity }: LineageState): string {
  return logName(origin, epoch, identity)
}

/** The last position that a log of this name has in this history; undefined when it is none of it. */
export function endOf(state: LineageState, name: string): Position | undefined {
  if (presentName(state) === name) return Number.POSITIVE_INFINITY
  const { origin, past, epoch } = state
  const first = epoch - past.length
  const found = past.find(({ identity }, i) => logName(origin, first + i, identity) === name)
  return found?.end
}

/** Whether a state has anything of this to keep. */
export function hasLineage({ epoch, base }: Lineage): boolean {
  return epoch > 1 || base !== undefined
}

export function writeLineage(writer: ByteWriter, lineage: Lineage): void {
  writer.bytes(lineage.origin)
  writer.varint(lineage.epoch)
  writer.varint(lineage.past.length)
  for (const { identity, end } of lineage.past) {
    writer.bytes(identity)
    writer.varint(end)
  }
  const { base } = lineage
  writer.u8(base === undefined ? 0 : 1)
  if (base === undefined) return
  writer.varint(base.position)
  writer.bytes(base.entryChain)
  writer.bytes(base.decisionChain)
}

export function readLineage(reader: ByteReader): Lineage {
  const bytes = (): Bytes => copyBytes(reader.view(DIGEST_BYTES))
  const origin = bytes()
  const epoch = reader.varint()
  const past = Array.from({ length: reader.varint() }, () => ({
    identity: bytes(),
    end: reader.varint(),
  }))
  const base =
    reader.u8() === 0
      ? undefined
      : { position: reader.varint(), entryChain: bytes(), decisionChain: bytes() }
  return { origin, epoch, past, base }
}
