/** What every Log owes its followers and callers (log.ts), as tests. */
import { describe, expect, it } from 'vitest'
import { hex, type Bytes } from '../core/bytes.ts'
import { delay, turn, type Env } from '../core/env.ts'
import type { Log, LogFollower, Position, Unfollow } from './log.ts'

export interface OpenedLog {
  readonly log: Log
  /** Follows the log, and does what its durability asks of a follower: `with-apply` ones store. */
  follow(from: Position, follower: LogFollower): Unfollow
  /** The log remembers message ids for a while. */
  readonly remembers: boolean
  /** How many followers it takes at once. */
  readonly followers: 'one' | 'many'
  /** Opens the same log again, where it outlives its closing. Called after `close`. */
  readonly reopen?: () => Promise<OpenedLog>
  /** Opens another port to the same log, where several can be open. */
  readonly another?: () => Promise<OpenedLog>
}

export interface LogUnderTest {
  readonly env: Env
  /** Lets virtual time pass until `done` settles; a real Env needs nothing. */
  readonly run?: <T>(done: Promise<T>) => Promise<T>
  /** A new, empty log. */
  readonly open: () => Promise<OpenedLog>
  /** Resolves once what is under way has arrived, where that takes more than a few turns. */
  readonly settled?: () => Promise<void>
}

interface Seen {
  readonly entries: [Position, string][]
  readonly failures: unknown[]
  stop: Unfollow
}

const frame = (text: string): Bytes => new Uint8Array(Buffer.from(text))

/** Virtual time in which everything that is under way arrives. */
const SETTLE_MS = 1_000

interface Tools {
  readonly env: Env
  readonly use: (open?: () => Promise<OpenedLog>) => Promise<OpenedLog>
  /** Resolves once what is under way has arrived. */
  readonly settled: () => Promise<void>
}

type WithLog = (test: (tools: Tools) => Promise<void>) => () => Promise<void>

function watch(from: OpenedLog, position: Position): Seen {
  const seen: Seen = { entries: [], failures: [], stop: () => undefined }
  seen.stop = from.follow(position, {
    entry: (at, bytes) => seen.entries.push([at, Buffer.from(bytes).toString()]),
    failed: (cause) => seen.failures.push(cause),
  })
  return seen
}

export function logContract(name: string, makeLog: () => LogUnderTest): void {
  const withLog: WithLog = (test) => async () => {
    const made = makeLog()
    const { env, run } = made
    const opened: OpenedLog[] = []
    const use = async (open = made.open): Promise<OpenedLog> => {
      const log = await open()
      opened.push(log)
      return log
    }
    const settled = async (): Promise<void> => {
      if (made.settled !== undefined) await made.settled()
      else if (run !== undefined) await delay(env, SETTLE_MS)
      else for (let i = 0; i < 5; i++) await turn(env)
    }
    const body = async (): Promise<void> => {
      try {
        await test({ env, use, settled })
      } finally {
        for (const { log } of opened) await log.close()
      }
    }
    const done = body()
    await (run === undefined ? done : run(done))
  }

  describe(`${name}: order`, () => orderContract(withLog))
  describe(`${name}: frames`, () => framesContract(withLog))
  describe(`${name}: life`, () => lifeContract(withLog))
}

function orderContract(withLog: WithLog): void {
  it(
    'gives positions from 1, rising by one, and acks with them',
    withLog(async ({ use, settled }) => {
      const from = await use()
      expect(from.log.last()).toBe(0)
      const seen = watch(from, 1)
      const acks = await Promise.all(
        ['a', 'b', 'c'].map((text) => from.log.append(frame(text), text)),
      )
      expect(acks.map(({ position }) => position)).toEqual([1, 2, 3])
      expect(from.log.last()).toBe(3)
      await settled()
      expect(seen.entries).toEqual([
        [1, 'a'],
        [2, 'b'],
        [3, 'c'],
      ])
      expect(seen.failures).toEqual([])
    }),
  )

  it(
    'delivers many frames in order and without gaps',
    withLog(async ({ env, use, settled }) => {
      const from = await use()
      const seen = watch(from, 1)
      for (let i = 1; i <= 500; i++) {
        void from.log.append(frame(`f${i}`), `id${i}`)
        if (i % 50 === 0) await turn(env)
      }
      await settled()
      expect(seen.entries).toEqual(Array.from({ length: 500 }, (_, i) => [i + 1, `f${i + 1}`]))
    }),
  )

  it(
    'delivers from the middle on, what is there and what comes',
    withLog(async ({ use, settled }) => {
      const from = await use()
      const first = watch(from, 1)
      for (const text of ['a', 'b', 'c', 'd']) await from.log.append(frame(text), text)
      await settled()
      first.stop()
      const second = watch(from, 3)
      await from.log.append(frame('e'), 'e')
      await settled()
      expect(second.entries).toEqual([
        [3, 'c'],
        [4, 'd'],
        [5, 'e'],
      ])
      expect(first.entries).toHaveLength(4)
    }),
  )

  it(
    'is never entered again by a follower that appends',
    withLog(async ({ use, settled }) => {
      const from = await use()
      let inside = 0
      let deepest = 0
      const order: Position[] = []
      from.follow(1, {
        entry: (position) => {
          inside++
          deepest = Math.max(deepest, inside)
          order.push(position)
          if (position <= 3) void from.log.append(frame(`more${position}`), `more${position}`)
          inside--
        },
        failed: (cause) => expect.unreachable(String(cause)),
      })
      await from.log.append(frame('a'), 'a')
      await settled()
      expect(order).toEqual([1, 2, 3, 4])
      expect(deepest).toBe(1)
    }),
  )

  it(
    'gives a message id one place, as long as it remembers it',
    withLog(async ({ use, settled }) => {
      const from = await use()
      const seen = watch(from, 1)
      const one = await from.log.append(frame('a'), 'same')
      const two = await from.log.append(frame('a'), 'same')
      await from.log.append(frame('b'), 'other')
      await settled()
      const positions = seen.entries.map(([position]) => position)
      expect(positions).toEqual(positions.map((_, i) => i + 1))
      if (from.remembers) {
        expect(two.position).toBe(one.position)
        expect(seen.entries).toEqual([
          [1, 'a'],
          [2, 'b'],
        ])
      } else expect(two.position).toBe(one.position + 1)
    }),
  )

  it(
    'shows followers the same, whenever they began',
    withLog(async ({ use, settled }) => {
      const from = await use()
      if (from.followers === 'one') return
      const first = watch(from, 1)
      await from.log.append(frame('a'), 'a')
      const second = watch(from, 1)
      await from.log.append(frame('b'), 'b')
      await settled()
      expect(second.entries).toEqual(first.entries)
    }),
  )

  it(
    'shows every port the same, whoever appended',
    withLog(async ({ use, settled }) => {
      const from = await use()
      if (from.another === undefined) return
      const other = await use(from.another)
      const seen = [watch(from, 1), watch(other, 1)]
      const appends = Array.from({ length: 20 }, (_, i) =>
        (i % 2 === 0 ? from : other).log.append(frame(`f${i}`), `id${i}`),
      )
      const acks = await Promise.all(appends)
      await settled()
      const [one, two] = seen as [Seen, Seen]
      expect(two.entries).toEqual(one.entries)
      const wanted = acks.map(({ position }, i): [Position, string] => [position, `f${i}`])
      expect(one.entries).toEqual(wanted.sort(([a], [b]) => a - b))
      expect([from.log.last(), other.log.last()]).toEqual([20, 20])
    }),
  )
}

function framesContract(withLog: WithLog): void {
  it(
    'keeps frames of any size and any bytes',
    withLog(async ({ use, settled }) => {
      const from = await use()
      const sizes = [0, 1, 1967, 1968, 1969, 3936, 70_000, 512 * 1024]
      const frames = sizes.map((size) => {
        const bytes = new Uint8Array(size)
        for (let i = 0; i < size; i++) bytes[i] = (i * 31 + size) & 0xff
        return bytes
      })
      const got: string[] = []
      const stop = from.follow(1, {
        entry: (_, bytes) => got.push(hex(bytes)),
        failed: (cause) => expect.unreachable(String(cause)),
      })
      // A frame always has bytes: a frame of none would be no entry of anybody's.
      for (const [i, bytes] of frames.entries()) {
        if (bytes.length > 0) await from.log.append(bytes, `id${i}`)
      }
      await settled()
      const wanted = frames.filter(({ length }) => length > 0).map(hex)
      expect(got.map((text) => text.length)).toEqual(wanted.map((text) => text.length))
      expect(got.every((text, i) => text === wanted[i])).toBe(true)
      stop()
      const again: string[] = []
      from.follow(1, {
        entry: (_, bytes) => again.push(hex(bytes)),
        failed: (cause) => expect.unreachable(String(cause)),
      })
      await settled()
      expect(again.every((text, i) => text === wanted[i]) && again.length).toBe(wanted.length)
    }),
  )

  it(
    'keeps the bytes it was given',
    withLog(async ({ use, settled }) => {
      const from = await use()
      const bytes = frame('abc')
      const seen = watch(from, 1)
      await from.log.append(bytes, 'a')
      await settled()
      if (from.log.durability === 'self') bytes.fill(0)
      seen.stop()
      const again = watch(from, 1)
      await settled()
      expect(again.entries).toEqual([[1, 'abc']])
    }),
  )
}

function lifeContract(withLog: WithLog): void {
  it(
    'delivers nothing after an unfollow',
    withLog(async ({ use, settled }) => {
      const from = await use()
      const seen = watch(from, 1)
      await from.log.append(frame('a'), 'a')
      await settled()
      seen.stop()
      seen.stop()
      if (from.followers === 'many') await from.log.append(frame('b'), 'b')
      await settled()
      expect(seen.entries).toEqual([[1, 'a']])
    }),
  )

  it(
    'refuses appends once it is closed, and delivers nothing more',
    withLog(async ({ use, settled }) => {
      const from = await use()
      const seen = watch(from, 1)
      await from.log.append(frame('a'), 'a')
      await settled()
      await from.log.close()
      await from.log.close()
      await expect(from.log.append(frame('b'), 'b')).rejects.toMatchObject({ code: 'Closed' })
      await settled()
      expect(seen.entries).toEqual([[1, 'a']])
    }),
  )

  it(
    'goes on after its newest entry when it is opened again',
    withLog(async ({ use, settled }) => {
      const from = await use()
      if (from.reopen === undefined) return
      watch(from, 1)
      for (const text of ['a', 'b', 'c']) await from.log.append(frame(text), text)
      await settled()
      await from.log.close()
      const again = await use(from.reopen)
      expect(again.log.last()).toBe(3)
      const seen = watch(again, 2)
      await again.log.append(frame('d'), 'd')
      await settled()
      expect(seen.entries).toEqual([
        [2, 'b'],
        [3, 'c'],
        [4, 'd'],
      ])
    }),
  )

  it(
    'tells a follower whose next entry was trimmed, with the oldest one kept',
    withLog(async ({ use, settled }) => {
      const from = await use()
      const { room } = from.log
      expect(room === undefined).toBe(from.log.durability === 'with-apply')
      if (room === undefined) return
      const early = watch(from, 1)
      for (const text of ['a', 'b', 'c', 'd']) await from.log.append(frame(text), text)
      await settled()
      const before = await room.extent()
      expect(before).toMatchObject({ first: 1, last: 4 })
      await room.trim(3)
      await room.trim(3)
      await room.trim(2)
      const after = await room.extent()
      expect(after).toMatchObject({ first: 3, last: 4, maxBytes: before.maxBytes })
      expect(after.bytes).toBeLessThan(before.bytes)
      const late = watch(from, 2)
      const kept = watch(from, 3)
      await from.log.append(frame('e'), 'e')
      await settled()
      expect(late.entries).toEqual([])
      expect(late.failures).toMatchObject([
        { code: 'LogTrimmed', details: { position: 2, first: 3 } },
      ])
      expect(kept.entries).toEqual([
        [3, 'c'],
        [4, 'd'],
        [5, 'e'],
      ])
      expect([early.entries.length, early.failures, kept.failures]).toEqual([5, [], []])
    }),
  )

  it(
    'gives positions that rise although every entry was trimmed',
    withLog(async ({ use, settled }) => {
      const from = await use()
      const { room } = from.log
      if (room === undefined) return
      for (const text of ['a', 'b', 'c']) await from.log.append(frame(text), text)
      await room.trim(4)
      expect(await room.extent()).toMatchObject({ first: 4, last: 3 })
      const seen = watch(from, 4)
      await from.log.append(frame('d'), 'd')
      await settled()
      expect(seen.entries).toEqual([[4, 'd']])
    }),
  )
}
