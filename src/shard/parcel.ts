/**
 * A frame on its way to a log that is safe by itself (S3). An ack says that it was given a place,
 * not that it stays there; a rejection says nothing at all: only reading it in the log ends its way.
 *
 *            ack                       read past its place, and not met: next attempt
 *   sent ─────────▶ acked ─────────────────────────────────────────────┐
 *    │ ▲                                                                ▼
 *    │ └──────────────────────────── handed over again ◀────────────── due
 *    └─ rejected (after a backoff), or no answer in time: same attempt ─▶
 *
 *   any ── read, refused for want of the one before it: next attempt ──▶ refused
 *
 * The engine drops a message id that it knows: so a resend keeps its attempt while the first one may
 * still be on its way, and takes the next one when what came of it is known.
 *
 * Pure: state and event in, state out.
 */
import type { Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import type { EntryUse, Position } from '../log/log.ts'

/** An append without an answer is taken for lost after this. */
const ACK_WAIT_MS = 2_000
/** From an ack to the first look whether it was kept. */
const READ_WAIT_MS = 2_000
/** Backoff after rejections doubles from here, with full jitter. */
const BACKOFF_MS = 10
const BACKOFF_MAX_MS = 500

export interface Parcel {
  readonly frame: Bytes
  /** With the attempt, the engine's message id. */
  readonly name: string
  /** A numbered batch: those are taken in their order. */
  readonly ordered: boolean
  readonly use: EntryUse
  /** What was applied here when it was first handed over. */
  readonly since: Position
  /** When it was first handed over, by the monotonic clock. */
  readonly sinceMs: number
  attempt: number
  status: 'sent' | 'acked' | 'due' | 'refused'
  ackedAt: Position
  /** When to look at it again. */
  wakeMs: number
  /** Rejections in a row. */
  rejections: number
}

export interface ParcelOptions {
  readonly frame: Bytes
  readonly name: string
  readonly ordered: boolean
  readonly use: EntryUse
}

/** A parcel that is handed over now. */
export function newParcel(options: ParcelOptions, applied: Position, nowMs: number): Parcel {
  return {
    ...options,
    since: applied,
    sinceMs: nowMs,
    attempt: 1,
    status: 'sent',
    ackedAt: 0,
    wakeMs: nowMs + ACK_WAIT_MS,
    rejections: 0,
  }
}

export function messageId(parcel: Parcel): string {
  return `${parcel.name}.${parcel.attempt}`
}

export function handedOver(parcel: Parcel, nowMs: number): void {
  parcel.status = 'sent'
  parcel.wakeMs = nowMs + ACK_WAIT_MS
}

/** Throws, and the node halts, on an ack for a place that was taken before it was sent (S7). */
export function acked(parcel: Parcel, attempt: number, position: Position, nowMs: number): void {
  if (position <= parcel.since) {
    throw new HoldfastError(
      'EntryCorrupt',
      `the log gave position ${position} to an entry that was sent after ${parcel.since}: it went back`,
      { details: { position, applied: parcel.since } },
    )
  }
  if (attempt !== parcel.attempt) return
  parcel.status = 'acked'
  parcel.ackedAt = position
  parcel.wakeMs = nowMs + READ_WAIT_MS
}

/** `jitter`: uniform in [0, 1). */
export function rejected(parcel: Parcel, attempt: number, nowMs: number, jitter: number): void {
  if (attempt !== parcel.attempt || parcel.status !== 'sent') return
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(parcel.rejections++, 10))
  parcel.status = 'due'
  parcel.wakeMs = nowMs + jitter * ceiling
}

/** It was read, and refused because the batch before it was not applied yet. */
export function refused(parcel: Parcel): void {
  parcel.attempt++
  parcel.status = 'refused'
  parcel.rejections = 0
  parcel.wakeMs = Number.POSITIVE_INFINITY
}

/** Whether it is to be handed over again by itself. `read`: the log was read up to there. */
export function isOverdue(parcel: Parcel, nowMs: number, read: Position): boolean {
  if (parcel.wakeMs > nowMs) return false
  if (parcel.status !== 'acked') return true
  if (read < parcel.ackedAt) {
    parcel.wakeMs = nowMs + READ_WAIT_MS
    return false
  }
  // Its place holds something else: the engine lost it, or took it for one that it had.
  parcel.attempt++
  return true
}
