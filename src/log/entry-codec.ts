/**
 * Log entries as bytes (S1). One commit group is one entry.
 *
 *   frame    magic u32 'HFE1' | identity 16 | format u8 | kind u8 | crc u32 of all else | payload
 *   genesis  value {shards, timeMs, alone, parent?}
 *   open     value {nonce, node, incarnation, timeMs}
 *   close    varint session
 *   barrier  nonce 16
 *   release  node, flushed, below, copies
 *   batch    mutable part: session, number, settledBelow, carried position, its two chain hashes
 *            digest 16 | nonce 16 | timeMs | commands | tables | transactions | shard groups | bodies
 *
 * Of a batch, everything up to the bodies is the decision header: all that the resolver needs.
 * Bodies are grouped by shard, and a node that does not host a shard skips its group. The digest
 * covers nonce and everything after it, never what may change between sends (S3).
 */
import { assert } from '../core/assert.ts'
import { ByteReader, ByteWriter, copyBytes, EMPTY, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32, digest, DIGEST_BYTES } from '../core/hash.ts'
import { LIMITS, PREFIX_BYTES } from '../core/limits.ts'
import { decodeValue, encodeValue, type Value } from '../core/value-codec.ts'
import {
  ENTRY_KINDS,
  OP_KINDS,
  type Batch,
  type Carried,
  type Entry,
  type EntryKind,
  type IndexAdd,
  type Op,
  type Read,
  type Release,
  type Transaction,
} from './entry.ts'
import type { Position } from './log.ts'

const ENTRY_FORMAT = 1
const MAGIC = 0x31454648
const KIND_AT = 21
const CRC_AT = 22
const PAYLOAD_AT = 26

/** What a proposer seals; the digest is made here. */
export interface BatchDraft {
  readonly session: Position
  readonly number: number
  readonly settledBelow: number
  readonly carried: Carried
  readonly nonce: Bytes
  readonly timeMs: number
  readonly commands: readonly Value[]
  readonly transactions: readonly Transaction[]
}

const NO_ADDS: readonly IndexAdd[] = []
const NO_READS: readonly Read[] = []
const writer = new ByteWriter(LIMITS.entryBytes)

function writePrefix(prefix: Bytes): void {
  for (let i = 0; i < PREFIX_BYTES; i++) writer.u8(prefix[i] ?? 0)
}

export function encodeControl(identity: Bytes, entry: Exclude<Entry, { kind: 'batch' }>): Bytes {
  startFrame(identity, entry.kind)
  if (entry.kind === 'close') writer.varint(entry.session)
  else if (entry.kind === 'barrier') writer.bytes(entry.nonce)
  else if (entry.kind === 'release') writeRelease(entry)
  else writer.bytes(encodeValue(entry.value))
  return finishFrame()
}

/**
 * What frames made in this process decode to: a frame's bytes do not change, so decoding its own
 * would give what it was made of. By the frame itself, so that other bytes are always decoded.
 */
const MADE_HERE = new WeakMap<Bytes, Batch>()

/** Encodes and digests a batch. The caller kept it below the limit. */
export function encodeBatch(identity: Bytes, draft: BatchDraft): { frame: Bytes; digest: Bytes } {
  startFrame(identity, 'batch')
  writer.varint(draft.session)
  writer.varint(draft.number)
  writer.varint(draft.settledBelow)
  writer.varint(draft.carried.position)
  writer.bytes(draft.carried.entryChain)
  writer.bytes(draft.carried.decisionChain)
  const digestAt = writer.length
  writer.bytes(NO_DIGEST)
  writer.bytes(draft.nonce)
  writer.varint(draft.timeMs)
  writeBody(draft)
  assert(writer.length <= LIMITS.entryBytes, () => `an entry has ${writer.length} bytes`)
  const digested = digest(writer.buffer.subarray(digestAt + DIGEST_BYTES, writer.length))
  writer.buffer.set(digested, digestAt)
  const frame = finishFrame()
  const { carried, nonce: _, ...rest } = draft
  const { position, entryChain, decisionChain } = carried
  MADE_HERE.set(frame, {
    ...rest,
    kind: 'batch',
    carried: { position, entryChain, decisionChain },
    digest: digested,
  })
  return { frame, digest: digested }
}

function writeBody(draft: BatchDraft): void {
  writer.varint(draft.commands.length)
  for (const command of draft.commands) writer.blob(encodeValue(command))
  const tables = new Map<string, number>()
  const tableList: Op[] = []
  const groups = new Map<number, Op[]>()
  let last: Op | undefined
  for (const transaction of draft.transactions) {
    for (const op of transaction.ops) {
      if (last === undefined || last.table !== op.table || last.version !== op.version) {
        const name = `${op.table}.${op.version}`
        if (!tables.has(name)) {
          tables.set(name, tableList.length)
          tableList.push(op)
        }
        last = op
      }
      const group = groups.get(op.shard)
      if (group === undefined) groups.set(op.shard, [op])
      else group.push(op)
    }
  }
  writer.varint(tableList.length)
  for (const op of tableList) {
    writer.u32(op.table)
    writer.varint(op.version)
  }
  const base = draft.carried.position
  writer.varint(draft.transactions.length)
  last = undefined
  let lastIndex = 0
  for (const transaction of draft.transactions) {
    writeReads(transaction, base)
    writer.varint(transaction.ops.length)
    for (const op of transaction.ops) {
      if (last === undefined || last.table !== op.table || last.version !== op.version) {
        lastIndex = tables.get(`${op.table}.${op.version}`) ?? 0
      }
      writeOp(op, lastIndex, base)
      last = op
    }
  }
  writeGroups(groups)
}

/** Positions are written as zigzag distances from the carried one: small numbers. */
function writePosition(position: Position, base: Position): void {
  const distance = position - base
  writer.varint(distance >= 0 ? 2 * distance : -2 * distance - 1)
}

function readPosition(reader: ByteReader, base: Position): Position {
  const zigzag = reader.varint()
  return zigzag % 2 === 0 ? base + zigzag / 2 : base - (zigzag + 1) / 2
}

function writeReads(transaction: Transaction, base: Position): void {
  const { guard, reads } = transaction
  writer.varint(reads.length * 2 + (guard === undefined ? 0 : 1))
  if (guard !== undefined) {
    writer.text(guard.resource)
    writer.varint(guard.epoch)
  }
  for (const read of reads) {
    switch (read.kind) {
      case 'point':
        writer.u8(0)
        writer.u32(read.hi)
        writer.u32(read.lo)
        writePosition(read.at, base)
        break
      case 'range':
        writer.u8(1)
        writer.u32(read.table)
        writer.varint(read.index)
        writePrefix(read.low)
        writePrefix(read.high)
        writer.varint(read.at.length)
        for (const position of read.at) writePosition(position, base)
        break
      case 'table':
        writer.u8(2)
        writer.u32(read.table)
        writePosition(read.at, base)
        break
    }
  }
}

const CONDITIONAL = 0x80
const INDEXED = 0x40

function writeOp(op: Op, table: number, base: Position): void {
  const kind = OP_KINDS.indexOf(op.kind)
  const flags = (op.readAt >= 0 ? CONDITIONAL : 0) | (op.adds.length > 0 ? INDEXED : 0)
  writer.u8(kind | flags)
  writer.varint(table)
  writer.u8(op.shard)
  writer.u32(op.hi)
  writer.u32(op.lo)
  writePrefix(op.prefix)
  if (op.readAt >= 0) writePosition(op.readAt, base)
  if (op.adds.length > 0) {
    writer.varint(op.adds.length)
    for (const add of op.adds) {
      writer.varint(add.index)
      writePrefix(add.prefix)
    }
  }
  writer.varint(op.key.length)
  writer.varint(op.body.length)
}

function writeGroups(groups: ReadonlyMap<number, readonly Op[]>): void {
  const ordered = [...groups].sort((a, b) => a[0] - b[0])
  writer.varint(ordered.length)
  for (const [shard, ops] of ordered) {
    let length = 0
    for (const op of ops) length += op.key.length + op.body.length
    writer.u8(shard)
    writer.varint(length)
  }
  for (const [, ops] of ordered) {
    for (const op of ops) {
      writer.bytes(op.key)
      writer.bytes(op.body)
    }
  }
}

/**
 * Decodes a frame. Returns undefined for one that is not ours, by magic or identity: a no-op, for
 * ever (S1). `identity` undefined accepts any: the genesis names it. Throws `EntryCorrupt` for one
 * of ours that is damaged, `NewerFormat` for one of an unknown version: both halt the node.
 */
export function decodeEntry(frame: Bytes, identity: Bytes | undefined): Entry | undefined {
  if (!isOurs(frame, identity)) return undefined
  const made = MADE_HERE.get(frame)
  if (made !== undefined) return made
  const reader = new ByteReader(frame, 20)
  const format = reader.u8()
  const kind = ENTRY_KINDS[reader.u8()]
  if (reader.u32() !== frameCrc(frame, frame.length)) {
    throw new HoldfastError(
      'EntryCorrupt',
      'a log entry does not have the checksum it was written with',
    )
  }
  if (format !== ENTRY_FORMAT || kind === undefined) {
    throw new HoldfastError(
      'NewerFormat',
      `a log entry has format ${format}; this build reads ${ENTRY_FORMAT}`,
    )
  }
  try {
    if (kind === 'batch') return readBatch(reader)
    if (kind === 'close') return { kind, session: reader.varint() }
    if (kind === 'barrier') return { kind, nonce: reader.view(DIGEST_BYTES) }
    if (kind === 'release') return readRelease(reader)
    return { kind, value: decodeValue(frame, PAYLOAD_AT) as Value }
  } catch (cause) {
    throw new HoldfastError('EntryCorrupt', 'a log entry cannot be decoded', { cause })
  }
}

/** A genesis, whichever log it begins; undefined for every other frame, and a damaged one. */
export function decodeGenesis(frame: Bytes): Entry | undefined {
  if (!isOurs(frame, undefined) || frame[KIND_AT] !== ENTRY_KINDS.indexOf('genesis'))
    return undefined
  try {
    return decodeEntry(frame, undefined)
  } catch {
    // Of another log: what it cannot say does not count.
    return undefined
  }
}

/** The identity that a frame names, or undefined when it is not one of Holdfast's. */
export function frameIdentity(frame: Bytes): Bytes | undefined {
  return isOurs(frame, undefined) ? copyBytes(frame.subarray(4, 20)) : undefined
}

function isOurs(frame: Bytes, identity: Bytes | undefined): boolean {
  if (frame.length < PAYLOAD_AT) return false
  if (new ByteReader(frame).u32() !== MAGIC) return false
  if (identity === undefined) return true
  for (let i = 0; i < identity.length; i++) if (frame[4 + i] !== identity[i]) return false
  return true
}

function readBatch(reader: ByteReader): Batch {
  const session = reader.varint()
  const number = reader.varint()
  const settledBelow = reader.varint()
  const carried = {
    position: reader.varint(),
    entryChain: reader.view(DIGEST_BYTES),
    decisionChain: reader.view(DIGEST_BYTES),
  }
  const digested = reader.view(DIGEST_BYTES)
  reader.view(DIGEST_BYTES)
  const timeMs = reader.varint()
  const commands: Value[] = []
  for (let left = reader.varint(); left > 0; left--) {
    const bytes = reader.blob()
    commands.push(decodeValue(bytes) as Value)
  }
  const tables: { table: number; version: number }[] = []
  for (let left = reader.varint(); left > 0; left--) {
    tables.push({ table: reader.u32(), version: reader.varint() })
  }
  const transactions: Transaction[] = []
  const pending: MutableOp[] = []
  for (let left = reader.varint(); left > 0; left--) {
    transactions.push(readTransaction(reader, tables, carried.position, pending))
  }
  readGroups(reader, pending)
  return {
    kind: 'batch',
    session,
    number,
    settledBelow,
    carried,
    digest: digested,
    timeMs,
    commands,
    transactions,
  }
}

type MutableOp = { -readonly [K in keyof Op]: Op[K] } & { keyLength: number; bodyLength: number }

function readTransaction(
  reader: ByteReader,
  tables: readonly { table: number; version: number }[],
  base: Position,
  pending: MutableOp[],
): Transaction {
  const header = reader.varint()
  const guard = header % 2 === 1 ? { resource: reader.text(), epoch: reader.varint() } : undefined
  const count = Math.floor(header / 2)
  const reads = count === 0 ? NO_READS : readReads(reader, count, base)
  const ops: Op[] = []
  for (let left = reader.varint(); left > 0; left--) {
    const op = readOp(reader, tables, base)
    pending.push(op)
    ops.push(op)
  }
  return { reads, guard, ops }
}

function readReads(reader: ByteReader, count: number, base: Position): Read[] {
  const reads: Read[] = []
  for (let i = 0; i < count; i++) {
    const kind = reader.u8()
    if (kind === 0) {
      reads.push({
        kind: 'point',
        hi: reader.u32(),
        lo: reader.u32(),
        at: readPosition(reader, base),
      })
    } else if (kind === 1) {
      const table = reader.u32()
      const index = reader.varint()
      const low = reader.view(PREFIX_BYTES)
      const high = reader.view(PREFIX_BYTES)
      const at: Position[] = []
      for (let left = reader.varint(); left > 0; left--) at.push(readPosition(reader, base))
      reads.push({ kind: 'range', table, index, low, high, at })
    } else if (kind === 2) {
      reads.push({ kind: 'table', table: reader.u32(), at: readPosition(reader, base) })
    } else throw new RangeError(`no read has kind ${kind}`)
  }
  return reads
}

function readOp(
  reader: ByteReader,
  tables: readonly { table: number; version: number }[],
  base: Position,
): MutableOp {
  const flags = reader.u8()
  const kind = OP_KINDS[flags & 0x3f]
  const known = tables[reader.varint()]
  if (kind === undefined || known === undefined) throw new RangeError('an op is malformed')
  const shard = reader.u8()
  const hi = reader.u32()
  const lo = reader.u32()
  const prefix = reader.view(PREFIX_BYTES)
  const readAt = (flags & CONDITIONAL) !== 0 ? readPosition(reader, base) : -1
  let adds = NO_ADDS
  if ((flags & INDEXED) !== 0) {
    const list: IndexAdd[] = []
    for (let left = reader.varint(); left > 0; left--) {
      list.push({ index: reader.varint(), prefix: reader.view(PREFIX_BYTES) })
    }
    adds = list
  }
  return {
    kind,
    table: known.table,
    version: known.version,
    shard,
    hi,
    lo,
    prefix,
    adds,
    readAt,
    key: EMPTY,
    body: EMPTY,
    keyLength: reader.varint(),
    bodyLength: reader.varint(),
  }
}

/** Gives each op its key and body out of its shard's group. */
function readGroups(reader: ByteReader, pending: readonly MutableOp[]): void {
  const at: number[] = []
  const ends: number[] = []
  const lengths: [number, number][] = []
  for (let left = reader.varint(); left > 0; left--) lengths.push([reader.u8(), reader.varint()])
  let offset = reader.at
  for (const [shard, length] of lengths) {
    at[shard] = offset
    offset += length
    ends[shard] = offset
  }
  if (offset !== reader.end) throw new RangeError('the groups do not fill the entry')
  const { bytes } = reader
  for (const op of pending) {
    const start = at[op.shard]
    if (start === undefined) throw new RangeError('an op has no group')
    const middle = start + op.keyLength
    const end = middle + op.bodyLength
    if (end > (ends[op.shard] ?? 0)) throw new RangeError('an op is outside its group')
    op.key = bytes.subarray(start, middle)
    op.body = bytes.subarray(middle, end)
    at[op.shard] = end
  }
}

function writeRelease({ node, flushed, below, copies }: Release): void {
  writer.blob(node)
  writer.varint(flushed)
  writer.varint(below)
  writer.varint(copies)
}

function readRelease(reader: ByteReader): Release {
  const node = reader.blob()
  const [flushed, below, copies] = [reader.varint(), reader.varint(), reader.varint()]
  return { kind: 'release', node, flushed, below, copies }
}

const NO_DIGEST: Bytes = new Uint8Array(DIGEST_BYTES)

function startFrame(identity: Bytes, kind: EntryKind): void {
  writer.reset()
  writer.u32(MAGIC)
  writer.bytes(identity)
  writer.u8(ENTRY_FORMAT)
  writer.u8(ENTRY_KINDS.indexOf(kind))
  writer.u32(0)
}

function finishFrame(): Bytes {
  writer.buffer.writeUInt32LE(frameCrc(writer.buffer, writer.length), CRC_AT)
  return writer.finish()
}

/** Over everything but itself. */
function frameCrc(frame: Bytes, length: number): number {
  return crc32(frame, PAYLOAD_AT, length, crc32(frame, 0, CRC_AT))
}
