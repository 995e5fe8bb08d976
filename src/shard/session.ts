/**
 * Sessions (S3): exactly once, whatever is sent twice. A session belongs to one incarnation of a
 * node; its id is the position of the entry that opened it. Its batches are numbered without gaps,
 * and only the next number is applied. A number is bound to its digest for ever.
 *
 *            open            batch n+1, any digest           close | a number with another digest
 *   (none) ───────▶ open ──────────────────────────▶ open ───────────────────────────▶ closed
 *
 * Pure: state and event in, a fate out.
 */
import {
  copyBytes,
  equalBytes,
  type ByteReader,
  type ByteWriter,
  type Bytes,
} from '../core/bytes.ts'
import { DIGEST_BYTES } from '../core/hash.ts'
import type { Position } from '../log/log.ts'

/** What became of one number, kept until it is settled with its sender. */
export interface Fate {
  readonly number: number
  readonly digest: Bytes
  /** The verdicts of its transactions, run-length coded. */
  readonly verdicts: Bytes
}

export interface Session {
  readonly id: Position
  /** The node that opened it: only that one's next incarnation closes it unasked. */
  readonly node: Bytes
  /** Drawn for this opening: the entry that opens it may come twice. */
  readonly nonce: Bytes
  open: boolean
  /** The number applied last; 0 at first. */
  number: number
  /** Fates from the sender's `settledBelow` on, ascending. */
  fates: Fate[]
  /** Where it was closed, 0 while it is open. */
  closedAt: Position
}

/**
 * - `apply`: it is the next number
 * - `repeated`: applied before, the same digest: nothing to do
 * - `gap`: a number before it is missing
 * - `closed`: the session is not open
 * - `forked`: the number was bound to another digest; the session is closed by this
 */
export type Admission = 'apply' | 'repeated' | 'gap' | 'closed' | 'forked'

export function newSession(id: Position, node: Bytes, nonce: Bytes): Session {
  return { id, node, nonce, open: true, number: 0, fates: [], closedAt: 0 }
}

/** Whether the batch is to be applied. Changes nothing; a `forked` one is for `close`. */
export function admit(session: Session | undefined, number: number, digest: Bytes): Admission {
  if (session === undefined) return 'closed'
  if (number <= session.number) {
    const known = session.fates.find((fate) => fate.number === number)
    // A settled number's digest is forgotten: its sender said that it read the fate.
    if (known === undefined || equalBytes(known.digest, digest)) return 'repeated'
    return session.open ? 'forked' : 'closed'
  }
  if (!session.open) return 'closed'
  return number === session.number + 1 ? 'apply' : 'gap'
}

/** Records that `fate.number` was applied, and forgets what its sender has settled. */
export function applied(session: Session, fate: Fate, settledBelow: number): void {
  session.number = fate.number
  if (session.fates.length > 0 && (session.fates[0] as Fate).number < settledBelow) {
    session.fates = session.fates.filter((kept) => kept.number >= settledBelow)
  }
  session.fates.push(fate)
}

export function close(session: Session, position: Position): void {
  session.open = false
  session.closedAt = position
}

export function writeSession(writer: ByteWriter, session: Session): void {
  writer.varint(session.id)
  writer.blob(session.node)
  writer.bytes(session.nonce)
  writer.u8(session.open ? 1 : 0)
  writer.varint(session.number)
  writer.varint(session.closedAt)
  writer.varint(session.fates.length)
  for (const fate of session.fates) {
    writer.varint(fate.number)
    writer.bytes(fate.digest)
    writer.blob(fate.verdicts)
  }
}

export function readSession(reader: ByteReader): Session {
  const id = reader.varint()
  const node = copyBytes(reader.blob())
  const session = newSession(id, node, copyBytes(reader.view(DIGEST_BYTES)))
  session.open = reader.u8() === 1
  session.number = reader.varint()
  session.closedAt = reader.varint()
  for (let left = reader.varint(); left > 0; left--) {
    session.fates.push({
      number: reader.varint(),
      digest: copyBytes(reader.view(DIGEST_BYTES)),
      verdicts: copyBytes(reader.blob()),
    })
  }
  return session
}
