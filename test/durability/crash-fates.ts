/**
 * Chooses where to crash, and what becomes of the changes that no sync covers. Seeded, hence
 * repeatable.
 */
import { type CrashModel, type Fate, type Op, PAGE_BYTES, SECTOR_BYTES } from './crash-image.ts'
import { ackOf } from './recording.ts'

const SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES

/** Uniform in [0, 1). */
export type Random = () => number

/** mulberry32. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    return mixed(state) / 2 ** 32
  }
}

function mixed(value: number): number {
  let bits = Math.imul(value ^ (value >>> 15), value | 1)
  bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
  return (bits ^ (bits >>> 14)) >>> 0
}

/** A coin for each (a, b), the same at every asking. */
function coin(seed: number, a: number, b: number, odds: number): boolean {
  const bits = mixed(
    mixed(mixed(seed) ^ Math.imul(a + 1, 0x9e3779b1)) ^ Math.imul(b + 1, 0x85ebca6b),
  )
  return bits / 2 ** 32 < odds
}

export const dropAll: Fate = { name: 'drop all', keeps: () => false }
export const keepAll: Fate = { name: 'keep all', keeps: () => true }
/** The files have grown, the new bytes have not arrived: zeros. */
export const sizesOnly: Fate = { name: 'sizes only', keeps: () => false, keepsSize: () => true }

/**
 * Up to `count` fates for a crash at `at`: the plain ones, then random ones of each kind in turn.
 */
export function fatesAt(model: CrashModel, at: number, count: number, random: Random): Fate[] {
  const pending = model.pendingAt(at)
  if (pending.length === 0) return [{ ...keepAll, name: 'nothing pending' }]
  const kinds = [someWrites, somePages, tornWrite, allButOne]
  const fates = [dropAll, keepAll, sizesOnly]
  for (let turn = 0; fates.length < count; turn++) {
    const kind = kinds[turn % kinds.length] ?? someWrites
    fates.push(kind(pending, random))
  }
  return fates.slice(0, count)
}

function someWrites(_pending: readonly Op[], random: Random): Fate {
  const [seed, odds] = [random() * 2 ** 32, 0.1 + 0.8 * random()]
  return { name: 'some writes', keeps: (op) => coin(seed, op.index, 0, odds) }
}

function somePages(_pending: readonly Op[], random: Random): Fate {
  const [seed, odds] = [random() * 2 ** 32, 0.1 + 0.8 * random()]
  const page = (sector: number): number => Math.floor(sector / SECTORS_PER_PAGE)
  return { name: 'some pages', keeps: (op, sector) => coin(seed, op.index, page(sector), odds) }
}

/** All up to a write, a part of that one, nothing later. */
function tornWrite(pending: readonly Op[], random: Random): Fate {
  const torn = pick(pending, random)
  const { change } = torn
  const sectors = change.kind === 'write' ? Math.ceil(change.data.length / SECTOR_BYTES) : 1
  const first = change.kind === 'write' ? Math.floor(change.offset / SECTOR_BYTES) : 0
  const until = first + Math.floor(random() * (sectors + 1))
  return {
    name: `torn in change ${torn.index}, at sector ${until}`,
    keeps: (op, sector) => op.index < torn.index || (op.index === torn.index && sector < until),
  }
}

function allButOne(pending: readonly Op[], random: Random): Fate {
  const lost = pick(pending, random)
  return { name: `all but change ${lost.index}`, keeps: (op) => op.index !== lost.index }
}

/** Before the first ack nothing can be lost, but an image may still be one that cannot be opened. */
export type CrashesFrom = 'start' | 'first-ack'

/**
 * Up to `count` moments to crash at, in rising order: half of them right after an ack was issued,
 * the others where something is not yet covered by a sync, or a sync has just begun or ended.
 */
export function crashMoments(
  model: CrashModel,
  count: number,
  random: Random,
  from: CrashesFrom = 'start',
): number[] {
  const { events } = model.recording
  const acks = new Set<number>()
  const others = new Set<number>()
  for (const event of events) {
    if (event.kind === 'line') {
      if (ackOf(event) !== undefined) acks.add(event.start + 1)
      continue
    }
    // At `start` + 1 a call has begun; at `end` + 1 it has returned.
    if (from === 'first-ack' && acks.size === 0) continue
    others.add(event.start + 1)
    if (event.end < Infinity) others.add(event.end + 1)
  }
  const tight = sample([...acks], Math.max(Math.ceil(count / 2), count - others.size), random)
  const loose = sample([...others], count - tight.length, random)
  return [...new Set([...tight, ...loose])].sort((a, b) => a - b)
}

function sample<T>(from: readonly T[], count: number, random: Random): T[] {
  const rest = [...from]
  const taken: T[] = []
  while (taken.length < count && rest.length > 0) {
    taken.push(...rest.splice(Math.floor(random() * rest.length), 1))
  }
  return taken
}

function pick<T>(from: readonly T[], random: Random): T {
  const [picked] = sample(from, 1, random)
  if (picked === undefined) throw new RangeError('nothing to pick from')
  return picked
}
