/**
 * The other nodes of a cluster, asked over the bus what they keep. Who does not answer is not there
 * for now; nothing but this node's own way back depends on it.
 *
 *   who  ──▶ everybody       ──▶ here.<who asked>    oldest, flushed
 *   entries.<peer> {from}    ──▶ frames from there on, as many as fit a message
 *   snapshot.<peer> {number} ──▶ a piece of a snapshot (snapshot-source.ts)
 */
import { MESSAGE_BYTES_MAX, type Bus, type BusSubscription } from '../../bus/bus.ts'
import { hex, type Bytes } from '../../core/bytes.ts'
import { delay, type Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { decodeValue, encodeValue, type Value } from '../../core/value-codec.ts'
import type { Position } from '../../log/log.ts'
import { parentOf } from '../lineage.ts'
import type { LogState } from '../log-state.ts'

/** What a node says that it has. */
export interface Offer {
  /** This incarnation of it: a copied folder makes two nodes of one id. */
  readonly incarnation: string
  /** Of the log, in hex. */
  readonly identity: string
  /** The oldest raw entry that it keeps, and the newest. */
  readonly oldest: Position
  readonly flushed: Position
  /** The latest logs before that one, which this history went on from, and where they end. */
  readonly past: readonly { readonly identity: string; readonly end: Position }[]
}

/** Whether all that led to this state is in the history of the offer; anything leads to none. */
export function isOfHistory({ identity, past }: Offer, state: LogState | undefined): boolean {
  if (state === undefined || state.shards === 0) return true
  const own = hex(state.identity)
  const { position } = parentOf(state)
  return identity === own || past.some((log) => log.identity === own && position <= log.end)
}

/** Entries in order, from the one asked for on. */
export interface EntriesAnswer {
  readonly frames: readonly Bytes[]
  /** The chain over entry bytes at the last of them; empty when the peer no longer knows it. */
  readonly chain: Bytes
}

/** How long nodes have to say that they are there. */
const ANSWER_MS = 500
const REQUEST_MS = 5_000
/** What is left of a message for all but the frames. */
const FRAMES_BYTES = MESSAGE_BYTES_MAX - 64 * 1024

const WHO = 'catch-up.who'
const hereOf = (asker: string): string => `catch-up.here.${asker}`
export const snapshotOf = (incarnation: string): string => `catch-up.snapshot.${incarnation}`
const entriesOf = (incarnation: string): string => `catch-up.entries.${incarnation}`

/** Asks every node. `asker` names the incarnation that asks, and no other. */
export async function findPeers(env: Env, bus: Bus, asker: string): Promise<Offer[]> {
  const offers: Offer[] = []
  const heard = bus.subscribe(hereOf(asker), ({ bytes }) => {
    offers.push(decodeValue(bytes) as Offer)
  })
  try {
    await bus.flush()
    bus.publish(WHO, encodeValue({ asker }))
    await delay(env, ANSWER_MS)
    return offers.filter(({ incarnation }) => incarnation !== asker)
  } finally {
    heard.close()
  }
}

/** Rejects as `Bus.request` does, and with `LogTrimmed` when the peer no longer keeps that entry. */
export async function askForEntries(
  bus: Bus,
  { incarnation }: Offer,
  from: Position,
): Promise<EntriesAnswer> {
  const asked = encodeValue({ from })
  const bytes = await bus.request(entriesOf(incarnation), asked, { deadlineMs: REQUEST_MS })
  return decodeValue(bytes) as EntriesAnswer
}

/** Which piece of a snapshot, by number from 0, for whom: the first begins it. */
export interface SnapshotRequest {
  readonly asker: string
  readonly number: number
}

/** Rejects as `Bus.request` does, and as `SnapshotServer` says. */
export function askForPiece(
  bus: Bus,
  { incarnation }: Offer,
  { asker, number }: SnapshotRequest,
): Promise<Bytes> {
  const asked = encodeValue({ asker, number })
  return bus.request(snapshotOf(incarnation), asked, { deadlineMs: REQUEST_MS })
}

export interface Keeper {
  /** Undefined while what is here may not be what the others have (S7): nobody is given any of it. */
  readonly offer: () => Offer | undefined
  /** The frame at a position; undefined when it is not kept. */
  readonly frameAt: (position: Position) => Bytes | undefined
  readonly chainAt: (position: Position) => Bytes | undefined
}

/** Answers other nodes until the bus, or what this gives, is closed. */
export function servePeers(bus: Bus, incarnation: string, keeper: Keeper): BusSubscription[] {
  const who = bus.subscribe(WHO, ({ bytes }) => {
    const { asker } = decodeValue(bytes) as { asker: string }
    const offer = keeper.offer()
    if (offer !== undefined) bus.publish(hereOf(asker), encodeValue(offer as unknown as Value))
  })
  const entries = bus.serve(entriesOf(incarnation), ({ bytes }) => {
    const { from } = decodeValue(bytes) as { from: Position }
    return encodeValue(entriesFrom(keeper, from) as unknown as Value)
  })
  return [who, entries]
}

function entriesFrom(keeper: Keeper, from: Position): EntriesAnswer {
  const offer = keeper.offer()
  if (offer === undefined) throw inDoubt()
  const { oldest, flushed } = offer
  if (from < oldest || from > flushed) {
    throw new HoldfastError('LogTrimmed', `entry ${from} is not kept here`, {
      details: { position: from, first: oldest },
    })
  }
  const frames: Bytes[] = []
  let bytes = 0
  for (let position = from; position <= flushed; position++) {
    const frame = keeper.frameAt(position)
    if (frame === undefined) break
    bytes += frame.length + FRAME_HEAD_BYTES
    if (frames.length > 0 && bytes > FRAMES_BYTES) break
    frames.push(frame)
  }
  return { frames, chain: keeper.chainAt(from + frames.length - 1) ?? new Uint8Array() }
}

/** What is asked for what it has while it does not say so. */
export function inDoubt(): HoldfastError {
  return new HoldfastError('NotFound', 'this node may have another history than the others')
}

/** Before each frame, in the answer. */
const FRAME_HEAD_BYTES = 8
