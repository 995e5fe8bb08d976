/**
 * An increment of a backup: raw entries, each with the verdicts that were recorded with it. Verdicts
 * depend on a window of earlier writes that no backup carries; the decision chain proves them.
 */
import { copied, EMPTY, hex, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { digest } from '../../core/hash.ts'
import { decodeEntry } from '../../log/entry-codec.ts'
import { edgeEntry, readEntry } from '../../log/entry-store.ts'
import type { Position } from '../../log/log.ts'
import type { StoreReader } from '../../store/store.ts'
import { readBeginning } from '../beginning.ts'
import { decodeChangeRecord } from '../change-record.ts'
import { changeKey } from '../layout.ts'
import { identityAt } from '../lineage.ts'
import { encodeVerdicts } from '../state-machine.ts'
import type { CopyOptions } from './copy-rows.ts'

/** Whether every entry behind `after` is still there. */
export function entriesKept({ reader, state }: CopyOptions, after: Position): boolean {
  if (after === state.position) return true
  const oldest = Math.max(state.trimmed, readBeginning(reader), edgeEntry(reader, 'oldest'))
  return oldest > 0 && oldest <= after + 1
}

/**
 * Copies the entries in (after, state.position]. `chain` is the chain hash at `after`, in hex, if it
 * is known; returns the one they lead to from there. Throws `StoreCorrupt`, `EntryCorrupt`.
 */
export async function copyEntries(
  options: CopyOptions,
  after: Position,
  chain: string | undefined,
): Promise<string | undefined> {
  const { reader, state, writer, pace } = options
  let folded: Bytes | undefined = chain === undefined ? undefined : Buffer.from(chain, 'hex')
  const total = state.position - after
  for (let position = after + 1; position <= state.position; position++) {
    const frame = readEntry(reader, position)
    if (frame === undefined) {
      throw new HoldfastError('StoreCorrupt', `log entry ${position} is missing`)
    }
    writer.add('log', frame, verdictsAt(reader, identityAt(state, position), position, frame))
    if (folded !== undefined) folded = digest(folded, frame)
    if (writer.isFull) await writer.flush()
    await pace.step('entries', position - after, total)
  }
  pace.end('entries', total)
  return folded === undefined ? undefined : hex(folded)
}

/** The recorded verdicts on the transactions of the entry, coded; empty when it has none. */
function verdictsAt(reader: StoreReader, identity: Bytes, position: Position, frame: Bytes): Bytes {
  // Position 1 may be the genesis, which names the identity that later ones are held against.
  const entry = decodeEntry(frame, identity)
  const record = copied(reader.get(changeKey(position)))
  if (record !== undefined) return encodeVerdicts(decodeChangeRecord(position, record).verdicts)
  if (entry?.kind === 'batch' && entry.transactions.length > 0) {
    throw new HoldfastError('StoreCorrupt', `what was decided at ${position} is missing`)
  }
  return EMPTY
}
