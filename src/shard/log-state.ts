/**
 * Log-wide state: all that a decision depends on, apart from the window (S8). It is a function of
 * the entries, kept in one record with the position it stands at.
 */
import { ByteReader, ByteWriter, copyBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import { crc32, DIGEST_BYTES } from '../core/hash.ts'
import { decodeValue, encodeValue, type Value } from '../core/value-codec.ts'
import type { Position } from '../log/log.ts'
import { RecentChains } from './chains.ts'
import type { TableDefinition } from './definitions.ts'
import { hasLineage, newLineage, readLineage, writeLineage, type Lineage } from './lineage.ts'
import type { Session } from './session.ts'
import { readSession, writeSession } from './session.ts'
import { WINDOW_SIZE, type WindowSize } from './window.ts'

/** The level of decision and apply code that a new log starts at (S13). */
export const LEVEL = 1
/** The format of a folder; a newer one is refused. */
export const STORE_FORMAT = 2
/** That of a state that has one log alone: what was built before reads it. */
const ONE_LOG_FORMAT = 1

export interface LogState extends Lineage {
  /** 16 bytes that name this log; minted with its genesis. */
  identity: Bytes
  /** The last entry decided. */
  position: Position
  /** Folded over entry bytes, and over decisions (S7). */
  entryChain: Bytes
  decisionChain: Bytes
  /** Both chains at the latest positions, for what entries carry: not stored, no decision needs it. */
  readonly recent: RecentChains
  /** The highest clock of a proposer seen in an entry: time as the log tells it. */
  timeMs: number
  level: number
  shards: number
  /** One node writes this log: an embedded database's. */
  alone: boolean
  /** Frames that were nobody's, counted (S1). */
  foreign: number
  /** Raw entries below this position may be gone from the nodes' stores. */
  trimmed: Position
  /** Entries below this position may be gone from the log that nodes share (release.ts). */
  released: Position
  /** What nodes said that they have flushed, by their ids in hex; of no use below `released`. */
  readonly flushedBy: Map<string, Position>
  windowSize: WindowSize
  /** Reads below it cannot be judged; entries above it that wrote are in the window. */
  windowFloor: Position
  readonly sessions: Map<Position, Session>
  readonly definitions: Map<number, TableDefinition>
  /** Rises whenever a definition changes. */
  definitionsVersion: number
}

export function emptyState(): LogState {
  return {
    identity: new Uint8Array(DIGEST_BYTES),
    ...newLineage(),
    position: 0,
    entryChain: new Uint8Array(DIGEST_BYTES),
    decisionChain: new Uint8Array(DIGEST_BYTES),
    recent: new RecentChains(),
    timeMs: 0,
    level: LEVEL,
    shards: 0,
    alone: false,
    foreign: 0,
    trimmed: 0,
    released: 0,
    flushedBy: new Map(),
    windowSize: WINDOW_SIZE,
    windowFloor: 0,
    sessions: new Map(),
    definitions: new Map(),
    definitionsVersion: 0,
  }
}

export function tableNamed(state: LogState, name: string): TableDefinition | undefined {
  for (const definition of state.definitions.values()) {
    if (definition.name === name) return definition
  }
  return undefined
}

const writer = new ByteWriter()

/** Where the position lies in a record: behind its checksum, its format and the identity. */
const POSITION_AT = 5 + DIGEST_BYTES

/** The position that a record of `encodeState` stands at, without decoding the rest of it. */
export function recordPosition(record: Bytes): Position {
  return new ByteReader(record, POSITION_AT).varint()
}

/** Everything but the definitions, which have a record of their own. */
export function encodeState(state: LogState): Bytes {
  writer.reset()
  writer.u32(0)
  const isPlain = !hasLineage(state)
  writer.u8(isPlain ? ONE_LOG_FORMAT : STORE_FORMAT)
  writer.bytes(state.identity)
  writer.varint(state.position)
  writer.bytes(state.entryChain)
  writer.bytes(state.decisionChain)
  writer.varint(state.timeMs)
  writer.varint(state.level)
  writer.varint(state.shards)
  writer.u8(state.alone ? 1 : 0)
  writer.varint(state.foreign)
  writer.varint(state.trimmed)
  writer.varint(state.windowSize.entries)
  writer.varint(state.windowSize.writes)
  writer.varint(state.windowFloor)
  writer.varint(state.sessions.size)
  for (const session of state.sessions.values()) writeSession(writer, session)
  if (!isPlain) writeLineage(writer, state)
  if (state.released > 0 || state.flushedBy.size > 0) writeReleased(state)
  const bytes = writer.finish()
  Buffer.from(bytes.buffer, bytes.byteOffset).writeUInt32LE(crc32(bytes, 4), 0)
  return bytes
}

/** Only where something was released: an embedded database never has it. */
function writeReleased({ released, flushedBy }: LogState): void {
  writer.varint(released)
  writer.varint(flushedBy.size)
  for (const [node, position] of flushedBy) {
    writer.text(node)
    writer.varint(position)
  }
}

function readReleased(state: LogState, reader: ByteReader): void {
  state.released = reader.varint()
  for (let left = reader.varint(); left > 0; left--) {
    state.flushedBy.set(reader.text(), reader.varint())
  }
}

/**
 * Reads both records; without `definitions` the state has none. Throws `StoreCorrupt`, or `NewerFormat` for a folder of
 * a later Holdfast.
 */
export function decodeState(record: Bytes, definitions: Bytes | undefined): LogState {
  const reader = new ByteReader(record)
  if (reader.u32() !== crc32(record, 4)) throw corrupt()
  const format = reader.u8()
  if (format > STORE_FORMAT) {
    throw new HoldfastError(
      'NewerFormat',
      `this folder has format ${format}, written by a newer Holdfast; this one reads up to ${STORE_FORMAT}`,
      { details: { format, reads: STORE_FORMAT } },
    )
  }
  try {
    const state = emptyState()
    state.identity = copyBytes(reader.view(DIGEST_BYTES))
    state.position = reader.varint()
    state.entryChain = copyBytes(reader.view(DIGEST_BYTES))
    state.decisionChain = copyBytes(reader.view(DIGEST_BYTES))
    state.timeMs = reader.varint()
    state.level = reader.varint()
    state.shards = reader.varint()
    state.alone = reader.u8() === 1
    state.foreign = reader.varint()
    state.trimmed = reader.varint()
    state.windowSize = { entries: reader.varint(), writes: reader.varint() }
    state.windowFloor = reader.varint()
    for (let left = reader.varint(); left > 0; left--) {
      const session = readSession(reader)
      state.sessions.set(session.id, session)
    }
    if (format > ONE_LOG_FORMAT) Object.assign(state, readLineage(reader))
    if (reader.at < record.length) readReleased(state, reader)
    state.recent.add(state.position, state.entryChain, state.decisionChain)
    if (definitions !== undefined) readDefinitions(state, definitions)
    return state
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause
    throw corrupt(cause)
  }
}

export function encodeDefinitions(state: LogState): Bytes {
  const list = [...state.definitions.values()] as unknown as Value[]
  const value = encodeValue({ version: state.definitionsVersion, list })
  const bytes = Buffer.allocUnsafe(4 + value.length)
  bytes.writeUInt32LE(crc32(value), 0)
  bytes.set(value, 4)
  return bytes
}

function readDefinitions(state: LogState, record: Bytes): void {
  const reader = new ByteReader(record)
  if (reader.u32() !== crc32(record, 4)) throw corrupt()
  const value = decodeValue(record, 4) as { version: number; list: TableDefinition[] }
  state.definitionsVersion = value.version
  for (const definition of value.list) state.definitions.set(definition.id, definition)
}

function corrupt(cause?: unknown): HoldfastError {
  return new HoldfastError('StoreCorrupt', 'the record of log-wide state is damaged', { cause })
}
