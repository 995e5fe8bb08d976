// What a simulated disk keeps and loses in crashes, and how it fails.
import { describe, expect, it } from 'vitest'
import { copyBytes, type Bytes } from '../core/bytes.ts'
import {
  batchOf,
  bytesOf,
  collect,
  countOf,
  filled,
  get,
  show,
} from '../store/store-samples.contract.ts'
import type { Store } from '../store/store.ts'
import type { Draw } from './draw.ts'
import { Kernel, type Owner } from './kernel.ts'
import { SimDisk, type DiskImage } from './sim-disk.ts'

const PROFILES = ['synced', 'overlapping'] as const

const sleep = (kernel: Kernel, ms: number): Promise<void> =>
  new Promise((resolve) => {
    kernel.after(ms, 'sleep', kernel.world, resolve)
  })

const put = (store: Store, key: string, value: Bytes): Promise<void> =>
  store.write(batchOf([[bytesOf(key), value]]))

const ignore = (): void => undefined

/** Opens `disk` as a new process. */
function opened(kernel: Kernel, disk: SimDisk): { owner: Owner; store: Store } {
  const owner = kernel.owner(`${disk.name}-process`)
  return { owner, store: disk.open(owner) }
}

const SEEDS = 100

const SEQUENCE = 'sequence'

/** Batches in a row, each with its number, and what the store holds after each of them. */
class Writer {
  readonly #draw: Draw
  readonly #rows = new Map<string, Bytes>()
  #next: number
  /** By batch number: all rows. */
  readonly #states = new Map<number, ReadonlyMap<string, Bytes>>()
  acked: number

  constructor(draw: Draw, store: Store) {
    this.#draw = draw
    store.scan({}, (key, value) => {
      this.#rows.set(Buffer.from(key).toString('latin1'), copyBytes(value))
    })
    this.acked = sequenceOf(store)
    this.#next = this.acked + 1
    this.#states.set(this.acked, new Map(this.#rows))
  }

  write(store: Store): void {
    const number = this.#next++
    const draw = this.#draw
    const pairs = Array.from({ length: draw.int(0, 4) }, (): [string, Bytes | undefined] => [
      `k${draw.int(0, 30)}`,
      draw.chance(0.3) ? undefined : filled(draw.int(0, 40), number),
    ])
    pairs.push([SEQUENCE, bytesOf(String(number))])
    for (const [key, value] of pairs) {
      if (value === undefined) this.#rows.delete(key)
      else this.#rows.set(key, value)
    }
    this.#states.set(number, new Map(this.#rows))
    const batch = batchOf(pairs.map(([key, value]) => [bytesOf(key), value]))
    store.write(batch).then(() => (this.acked = number), ignore)
  }

  /** What a store holds after the batch `number`. */
  linesAfter(number: number): string {
    const rows = [...(this.#states.get(number) ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))
    return rows.map(([key, value]) => `${key}=${show(value)}`).join()
  }
}

function linesOf(store: Store): string {
  const lines: string[] = []
  store.scan({}, (key, value) => {
    lines.push(`${Buffer.from(key).toString('latin1')}=${show(value)}`)
  })
  return lines.join()
}

const sequenceOf = (store: Store): number =>
  Number(Buffer.from(store.get(bytesOf(SEQUENCE)) ?? bytesOf('0')).toString())

const sequenceIn = ({ rows }: DiskImage): number =>
  Number(Buffer.from(rows.get(SEQUENCE) ?? bytesOf('0')).toString())

interface Survival {
  readonly acked: number
  /** The last batch that was flushed, as the disk has it. */
  readonly flushed: number
  readonly kept: number
}

async function writeUntil(
  kernel: Kernel,
  endMs: number,
  writer: Writer,
  store: Store,
  draw: Draw,
): Promise<void> {
  while (kernel.nowMs < endMs) {
    writer.write(store)
    await sleep(kernel, Math.min(draw.exponential(0.4), endMs - kernel.nowMs))
  }
}

/** Writes, ends at a drawn time, opens again and checks that whole batches are left; thrice. */
async function survivals(
  seed: number,
  profile: (typeof PROFILES)[number],
  end: 'kill' | 'crash',
  fsyncLies = false,
): Promise<Survival[]> {
  const kernel = new Kernel(seed, { tripwires: false })
  const draw = kernel.random('test')
  const disk = new SimDisk(kernel, 'disk', { profile })
  disk.faults.fsyncLies = fsyncLies
  const found: Survival[] = []
  for (let round = 0; round < 3; round++) {
    const { owner, store } = opened(kernel, disk)
    const writer = new Writer(draw.fork(`writes ${round}`), store)
    await kernel.run(writeUntil(kernel, kernel.nowMs + draw.exponential(15), writer, store, draw))
    const flushed = sequenceIn(disk.image('durable'))
    const { acked } = writer
    kernel.kill(owner)
    disk[end]()
    const again = opened(kernel, disk)
    const kept = sequenceOf(again.store)
    expect(linesOf(again.store)).toBe(writer.linesAfter(kept))
    found.push({ acked, flushed, kept })
    await kernel.run(again.store.close())
  }
  return found
}

async function survivalsOf(...how: [(typeof PROFILES)[number], 'kill' | 'crash', boolean?]) {
  const all: Survival[] = []
  for (let seed = 1; seed <= SEEDS; seed++) all.push(...(await survivals(seed, ...how)))
  return all
}

describe('a crash', () => {
  it('leaves whole batches and all that was acked, when synced', async () => {
    const all = await survivalsOf('synced', 'crash')
    expect(all.filter(({ acked, kept }) => kept < acked)).toEqual([])
    expect(all.filter(({ flushed, kept }) => kept < flushed)).toEqual([])
    // What was under way is there sometimes, and sometimes not.
    expect(all.some(({ acked, kept }) => kept > acked)).toBe(true)
    expect(all.some(({ acked, kept }) => kept === acked)).toBe(true)
  })

  it('leaves whole batches, not below the last flush, when overlapping', async () => {
    const all = await survivalsOf('overlapping', 'crash')
    expect(all.filter(({ flushed, kept }) => kept < flushed)).toEqual([])
    expect(all.some(({ acked, kept }) => kept < acked)).toBe(true)
    expect(all.some(({ acked, flushed, kept }) => kept > flushed && kept < acked)).toBe(true)
    expect(all.some(({ acked, kept }) => kept >= acked)).toBe(true)
    expect(all.some(({ flushed }) => flushed > 0)).toBe(true)
  })

  it('loses what was acked when flushes lie', async () => {
    for (const profile of PROFILES) {
      const all = await survivalsOf(profile, 'crash', true)
      expect(all.some(({ acked, kept }) => kept < acked)).toBe(true)
    }
  })

  it('loses nothing of what a lie left unflushed once a flush is true', async () => {
    for (const profile of PROFILES) {
      const kernel = new Kernel(1)
      const disk = new SimDisk(kernel, 'disk', { profile })
      const { store } = opened(kernel, disk)
      disk.faults.fsyncLies = true
      for (let i = 0; i < 20; i++) await kernel.run(put(store, `k${i}`, filled(i)))
      await kernel.run(sleep(kernel, 1_000))
      expect(disk.image('durable').rows.size).toBe(0)
      disk.faults.fsyncLies = false
      await kernel.run(put(store, 'last', filled(1)))
      await kernel.run(sleep(kernel, 1_000))
      expect(disk.crash().lostCommits).toBe(0)
      expect(countOf(opened(kernel, disk).store)).toBe(21)
    }
  })
})

describe('a kill', () => {
  for (const profile of PROFILES) {
    it(`leaves every commit, since the machine lives, when ${profile}`, async () => {
      const all = await survivalsOf(profile, 'kill')
      expect(all.filter(({ acked, kept }) => kept < acked)).toEqual([])
      expect(all.some(({ acked, kept }) => kept > acked)).toBe(true)
    })
  }

  it('settles nothing of the dead, and starts none of their writes', async () => {
    for (const announced of [false, true]) {
      const kernel = new Kernel(1)
      const disk = new SimDisk(kernel, 'disk')
      const { owner, store } = opened(kernel, disk)
      await kernel.run(put(store, 'a', filled(1)))
      const settled: unknown[] = []
      const settle = (promise: Promise<void>): unknown =>
        promise.then(
          () => settled.push('resolved'),
          (error: unknown) => settled.push(error),
        )
      settle(put(store, 'b', filled(2)))
      if (announced) expect(disk.kill()).toEqual({ unsettled: 1, lostCommits: 0 })
      else kernel.kill(owner)
      settle(put(store, 'c', filled(3)))
      settle(store.close())
      await kernel.run(sleep(kernel, 10_000))
      // The rows that it had when it ended.
      expect(get(store, bytesOf('a'))).toBe(show(filled(1)))
      expect(store.get(bytesOf('b'))).toBeUndefined()
      const { store: next } = opened(kernel, disk)
      await kernel.run(put(next, 'a', filled(9)))
      expect(get(store, bytesOf('a'))).toBe(show(filled(1)))
      expect(next.get(bytesOf('c'))).toBeUndefined()
      expect(settled).toEqual([])
    }
  })
})

describe('a full disk', () => {
  for (const profile of PROFILES) {
    it(`rejects, keeps all that was acked and nothing else, when ${profile}`, async () => {
      const kernel = new Kernel(3)
      const disk = new SimDisk(kernel, 'disk', { profile })
      const { store } = opened(kernel, disk)
      disk.faults.roomBytes = 10_000
      let acked = 0
      let fault: unknown
      while (fault === undefined) {
        await kernel.run(put(store, `k${acked}`, filled(97))).then(
          () => acked++,
          (error: unknown) => (fault = error),
        )
      }
      expect(fault).toMatchObject({ code: 'StorageFull', applied: 'no' })
      expect(acked).toBe(100)
      expect(countOf(store)).toBe(acked)
      // Room alone does not mend it: no later write may survive an earlier one.
      disk.faults.roomBytes = Infinity
      await expect(put(store, 'later', filled(1))).rejects.toMatchObject({ code: 'StorageFull' })
      await kernel.run(store.close())
      const again = opened(kernel, disk).store
      expect(countOf(again)).toBe(acked)
      await kernel.run(put(again, 'later', filled(1)))
    })
  }

  it('with no room refuses even to remove, together with what waits behind', async () => {
    const kernel = new Kernel(4)
    const disk = new SimDisk(kernel, 'disk')
    const { store } = opened(kernel, disk)
    await kernel.run(put(store, 'a', filled(1)))
    disk.faults.roomBytes = 0
    const writes = [store.write(batchOf([[bytesOf('a'), undefined]]))]
    writes[0]?.catch(ignore)
    await kernel.run(sleep(kernel, 0.01))
    writes.push(put(store, 'b', filled(1)), put(store, 'c', filled(1)))
    const settled = await kernel.run(Promise.allSettled(writes))
    for (const { status } of settled) expect(status).toBe('rejected')
    expect(collect(store).length).toBe(1)
  })
})

describe('a failing disk', () => {
  it('rejects for good, and may have kept what it rejected as unknown', async () => {
    for (const profile of PROFILES) {
      const kept = new Set<boolean>()
      for (let seed = 1; seed <= 20; seed++) {
        const kernel = new Kernel(seed)
        const disk = new SimDisk(kernel, 'disk', { profile })
        const { store } = opened(kernel, disk)
        await kernel.run(put(store, 'a', filled(1)))
        disk.faults.failing = true
        const fault = { code: 'StorageFailed', applied: 'unknown' }
        await expect(kernel.run(put(store, 'b', filled(2)))).rejects.toMatchObject(fault)
        expect(store.get(bytesOf('b'))).toBeUndefined()
        disk.faults.failing = false
        await expect(put(store, 'c', filled(3))).rejects.toMatchObject(fault)
        await kernel.run(store.close())
        const again = opened(kernel, disk).store
        expect(get(again, bytesOf('a'))).toBe(show(filled(1)))
        expect(again.get(bytesOf('c'))).toBeUndefined()
        kept.add(again.get(bytesOf('b')) !== undefined)
      }
      expect(kept.size).toBe(2)
    }
  })

  it('stops writes when a flush in the background fails, and cannot be opened', async () => {
    const kernel = new Kernel(5)
    const disk = new SimDisk(kernel, 'disk', { profile: 'overlapping' })
    const { store } = opened(kernel, disk)
    await kernel.run(put(store, 'a', filled(1)))
    disk.faults.failing = true
    await kernel.run(sleep(kernel, 1_000))
    disk.faults.failing = false
    await expect(put(store, 'b', filled(2))).rejects.toMatchObject({ code: 'StorageFailed' })
    expect(disk.image('durable').rows.size).toBe(0)
    await kernel.run(store.close())
    disk.faults.failing = true
    expect(() => opened(kernel, disk)).toThrow(expect.objectContaining({ code: 'StorageFailed' }))
  })
})

describe('a slow disk', () => {
  it('takes as many times as long', async () => {
    const took = async (slowdown: number): Promise<number> => {
      const kernel = new Kernel(6)
      const disk = new SimDisk(kernel, 'disk')
      disk.faults.slowdown = slowdown
      const { store } = opened(kernel, disk)
      await kernel.run(put(store, 'a', filled(1_000)))
      return kernel.nowMs
    }
    // Telling the caller takes a turn of the event loop, however slow the disk is.
    const turnMs = 1
    expect(await took(100)).toBeGreaterThan(100 * ((await took(1)) - turnMs))
    expect(await took(100)).toBeLessThan(100 * (await took(1)) + turnMs)
  })
})

describe('a damaged disk', () => {
  it('is named at opening, until it is replaced', async () => {
    for (const code of ['StoreCorrupt', 'StoreTruncated'] as const) {
      const kernel = new Kernel(7)
      const disk = new SimDisk(kernel, 'disk')
      const { store } = opened(kernel, disk)
      await kernel.run(put(store, 'a', filled(1)))
      await kernel.run(store.close())
      const backup = disk.image('committed')
      disk.damage(code)
      for (let i = 0; i < 2; i++) {
        expect(() => opened(kernel, disk)).toThrow(expect.objectContaining({ code }))
      }
      disk.restore(backup)
      expect(countOf(opened(kernel, disk).store)).toBe(1)
    }
  })

  it('gives a value with one bit flipped, also after a crash, and tells nobody', async () => {
    for (const profile of PROFILES) {
      const kernel = new Kernel(8)
      const disk = new SimDisk(kernel, 'disk', { profile })
      const { store } = opened(kernel, disk)
      for (let i = 0; i < 20; i++) await kernel.run(put(store, `k${i}`, filled(50, i)))
      await kernel.run(sleep(kernel, 1_000))
      for (let i = 0; i < 5; i++) await kernel.run(put(store, `later${i}`, filled(50, i)))
      const before = disk.image('committed')
      const sound = collect(store)
      const flipped = disk.flipBit((key) => key[1] === 0x31)
      expect(flipped?.[1]).toBe(0x31)
      expect(disk.flipBit(() => false)).toBeUndefined()
      const damaged = collect(store).filter((line, i) => line !== sound[i])
      expect(damaged.length).toBe(1)
      disk.crash()
      expect(collect(opened(kernel, disk).store)).toContain(damaged[0])
      const copy = new SimDisk(kernel, 'copy')
      copy.restore(before)
      expect(collect(opened(kernel, copy).store)).toEqual(sound)
    }
  })

  // `slice` of a Buffer shares its memory: what was kept to mend with was flipped as well.
  it('mends what was flipped, whatever kind of bytes was put', async () => {
    for (const value of [filled(50, 1), Buffer.alloc(50, 1)]) {
      const kernel = new Kernel(9)
      const disk = new SimDisk(kernel, 'disk')
      const { store } = opened(kernel, disk)
      await kernel.run(put(store, 'a', value))
      const sound = collect(store)
      disk.flipBit()
      expect(collect(store)).not.toEqual(sound)
      disk.mend()
      expect(collect(store)).toEqual(sound)
    }
  })

  it('mends also what a flush under way is about to make durable', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const kernel = new Kernel(seed)
      const disk = new SimDisk(kernel, 'disk', { profile: 'overlapping' })
      const { store } = opened(kernel, disk)
      await kernel.run(put(store, 'a', filled(4)))
      await kernel.run(sleep(kernel, 1_000))
      const sound = get(store, bytesOf('a'))
      disk.flipBit()
      // The flush of this one begins with the bit flipped, and ends without; the next waits for it.
      await kernel.run(put(store, 'b', filled(4)))
      disk.mend()
      await kernel.run(put(store, 'c', filled(4)))
      await kernel.run(sleep(kernel, 5))
      disk.crash()
      expect(get(opened(kernel, disk).store, bytesOf('a'))).toBe(sound)
    }
  })

  it('is in no image', async () => {
    const kernel = new Kernel(9)
    const disk = new SimDisk(kernel, 'disk')
    const { store } = opened(kernel, disk)
    await kernel.run(put(store, 'a', filled(4)))
    const sound = collect(store)
    disk.flipBit()
    expect(collect(store)).not.toEqual(sound)
    const copy = disk.clone('copy')
    expect(collect(opened(kernel, copy).store)).toEqual(sound)
  })

  it('keeps a flipped bit also in what a crash keeps of the unflushed', async () => {
    const kept = new Set<string>()
    for (let seed = 1; seed <= 20; seed++) {
      const kernel = new Kernel(seed)
      const disk = new SimDisk(kernel, 'disk', { profile: 'overlapping' })
      const { store } = opened(kernel, disk)
      await kernel.run(put(store, 'a', filled(4)))
      disk.flipBit()
      const damaged = get(store, bytesOf('a'))
      disk.crash()
      const after = get(opened(kernel, disk).store, bytesOf('a'))
      kept.add(after === damaged ? 'damaged' : after)
    }
    expect(kept).toEqual(new Set(['damaged', 'none']))
  })
})

describe('images', () => {
  it('put back what was then, and a clone goes its own way', async () => {
    const kernel = new Kernel(9)
    const disk = new SimDisk(kernel, 'disk')
    const { store } = opened(kernel, disk)
    await kernel.run(put(store, 'a', filled(1)))
    const old = disk.image('durable')
    await kernel.run(put(store, 'b', filled(2)))
    const clone = disk.clone('other')
    await kernel.run(put(store, 'c', filled(3)))
    const other = opened(kernel, clone).store
    expect(countOf(other)).toBe(2)
    await kernel.run(put(other, 'd', filled(4)))
    expect(store.get(bytesOf('d'))).toBeUndefined()
    expect(() => disk.restore(old)).toThrow(/no process has it open/)
    disk.crash()
    disk.restore(old)
    const back = opened(kernel, disk).store
    expect(collect(back).length).toBe(1)
    await kernel.run(put(back, 'e', filled(5)))
    expect(old.rows.size).toBe(1)
    disk.kill()
    disk.wipe()
    expect(countOf(opened(kernel, disk).store)).toBe(0)
  })

  it('of what is durable lag behind what is committed, when overlapping', async () => {
    const kernel = new Kernel(10)
    const disk = new SimDisk(kernel, 'disk', { profile: 'overlapping' })
    const { store } = opened(kernel, disk)
    await kernel.run(put(store, 'a', filled(1)))
    expect([disk.image('durable').rows.size, disk.image('committed').rows.size]).toEqual([0, 1])
    await kernel.run(store.close())
    expect(disk.image('durable').rows.size).toBe(1)
  })

  it('belong to a disk that one process at a time has open', () => {
    const kernel = new Kernel(11)
    const disk = new SimDisk(kernel, 'disk')
    opened(kernel, disk)
    expect(() => opened(kernel, disk)).toThrow(/one process/)
  })
})

describe('borrowed bytes', () => {
  it('are rubbish after the next call, and after the visitor', async () => {
    const kernel = new Kernel(12)
    const { store } = opened(kernel, new SimDisk(kernel, 'disk'))
    await kernel.run(put(store, 'a', filled(10)))
    await kernel.run(put(store, 'b', filled(10)))
    const snapshot = store.snapshot()
    const rubbish = 'dd'.repeat(10)
    const calls: (() => unknown)[] = [
      () => store.get(bytesOf('none')),
      () => snapshot.get(bytesOf('none')),
      () => store.stats(),
      () => store.snapshot(),
      () => store.scan({}, ignore),
    ]
    for (const reader of [store, snapshot]) {
      for (const call of calls) {
        const kept = reader.get(bytesOf('a'))
        expect(show(kept)).toBe(show(filled(10)))
        call()
        expect(show(kept)).toBe(rubbish)
      }
      const seen: Bytes[] = []
      reader.scan({}, (key, value) => {
        seen.push(key, value)
      })
      for (const bytes of seen) expect(bytes.every((byte) => byte === 0xdd)).toBe(true)
    }
    expect(get(store, bytesOf('a'))).toBe(show(filled(10)))
  })
})

describe('a seed', () => {
  it('gives the same commits at the same times, and another seed others', async () => {
    const trace = async (seed: number): Promise<string> => {
      const kernel = new Kernel(seed)
      const disk = new SimDisk(kernel, 'disk', { profile: 'overlapping' })
      const { store } = opened(kernel, disk)
      for (let i = 0; i < 50; i++) await kernel.run(put(store, `k${i % 7}`, filled(i)))
      const { lostCommits } = disk.crash()
      return `${kernel.hash} ${kernel.nowMs} ${lostCommits} ${linesOf(opened(kernel, disk).store)}`
    }
    expect(await trace(1)).toBe(await trace(1))
    expect(await trace(1)).not.toBe(await trace(2))
  })
})
