/**
 * What was decided at one position and, for stateful ops, what came of them (S12). Stored in the
 * same commit as the rows; together with the raw entry it is the feed.
 *
 *   crc u32 | was the batch admitted, u8 | verdicts, run-length coded
 *   | ops: one bit each, was there a row before
 *   | results of stateful ops: ordinal, and the row or why it was refused
 *   | row versions of the tables that have one: table, version
 */
import { ByteReader, ByteWriter, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32 } from '../core/hash.ts'
import type { Position } from '../log/log.ts'
import type { Verdict } from './resolver.ts'
import { decodeVerdicts, encodeVerdicts } from './state-machine.ts'

/** The row that a stateful op left, encoded; or the code and field of its refusal. */
export type OpResult =
  | { readonly ok: true; readonly value: Bytes }
  | { readonly ok: false; readonly code: string; readonly field: string }

export interface ChangeRecord {
  /** Whether the session's state let the batch in (S3): else it has no verdicts. */
  readonly admitted: boolean
  readonly verdicts: readonly Verdict[]
  /** By the op's ordinal in its entry: whether a row was there before. */
  readonly existed: (ordinal: number) => boolean
  readonly results: ReadonlyMap<number, OpResult>
  /** The version that rows of `table` were written with. */
  readonly rowVersion: (table: number) => number
}

/** Collects a record while an entry is applied. */
export class ChangeDraft {
  readonly results = new Map<number, OpResult>()
  /** Row versions by table, where they are not 0. */
  readonly rowVersions = new Map<number, number>()
  readonly #bits: Uint8Array

  constructor(ops: number) {
    this.#bits = new Uint8Array(Math.ceil(ops / 8))
  }

  existed(ordinal: number): void {
    const byte = ordinal >>> 3
    this.#bits[byte] = (this.#bits[byte] as number) | (1 << (ordinal & 7))
  }

  encode(position: Position, verdicts: readonly Verdict[], admitted = true): Bytes {
    writer.reset()
    writer.u32(0)
    writer.u8(admitted ? 1 : 0)
    writer.blob(encodeVerdicts(verdicts))
    writer.blob(this.#bits)
    writer.varint(this.results.size)
    for (const [ordinal, result] of this.results) {
      writer.varint(ordinal)
      writer.u8(result.ok ? 1 : 0)
      if (result.ok) writer.blob(result.value)
      else {
        writer.text(result.code)
        writer.text(result.field)
      }
    }
    writer.varint(this.rowVersions.size)
    for (const [table, version] of this.rowVersions) {
      writer.u32(table)
      writer.varint(version)
    }
    writer.buffer.writeUInt32LE(crc32(writer.buffer, 4, writer.length, position >>> 0), 0)
    return writer.finish()
  }
}

const writer = new ByteWriter()

/** Throws `StoreCorrupt` when the bytes are not what was written at `position`. */
export function decodeChangeRecord(position: Position, bytes: Bytes): ChangeRecord {
  const reader = new ByteReader(bytes)
  if (bytes.length < 4 || reader.u32() !== crc32(bytes, 4, bytes.length, position >>> 0)) {
    throw new HoldfastError('StoreCorrupt', `the record of what happened at ${position} is damaged`)
  }
  const admitted = reader.u8() === 1
  const verdicts = decodeVerdicts(reader.blob())
  const bits = reader.blob()
  const results = new Map<number, OpResult>()
  for (let left = reader.varint(); left > 0; left--) {
    const ordinal = reader.varint()
    const ok = reader.u8() === 1
    results.set(
      ordinal,
      ok ? { ok, value: reader.blob() } : { ok, code: reader.text(), field: reader.text() },
    )
  }
  const versions = new Map<number, number>()
  for (let left = reader.varint(); left > 0; left--) versions.set(reader.u32(), reader.varint())
  const rowVersion = (table: number): number => versions.get(table) ?? 0
  const existed = (ordinal: number): boolean =>
    ((bits[ordinal >>> 3] ?? 0) & (1 << (ordinal & 7))) !== 0
  return { admitted, verdicts, existed, results, rowVersion }
}
