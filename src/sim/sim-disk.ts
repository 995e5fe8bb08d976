/**
 * The disk of a simulated machine. It outlives the incarnations that open it, and gives each what
 * the ones before left there.
 *
 * Two profiles, as a real store has them. `synced`: a batch can be read only once it is flushed,
 * and `write` resolves then (embedded, S6). `overlapping`: `write` resolves at the commit, which can
 * be read at once, and is flushed in the background (a node of a cluster, S14).
 */
import { assert } from '../core/assert.ts'
import { binaryString, type Bytes } from '../core/bytes.ts'
import { HoldfastError } from '../core/errors.ts'
import type { Store } from '../store/store.ts'
import type { Draw } from './draw.ts'
import type { Kernel, Owner } from './kernel.ts'
import { failed, Medium, type DiskFaults } from './sim-medium.ts'
import { Rows } from './sim-rows.ts'
import { SimStore, type StoreTimes, type Unfinished } from './sim-store.ts'

export interface DiskOptions {
  /** Default `synced`. */
  readonly profile?: 'synced' | 'overlapping'
  /** Mean time of a commit, in milliseconds. Default 0.2. */
  readonly commitMs?: number
  /** Mean time of a flush, in milliseconds. Default 1 when `synced`, 5 when `overlapping`. */
  readonly fsyncMs?: number
}

/** What a disk held at some time. It does not change, and fits any disk. */
export interface DiskImage {
  readonly rows: Rows
}

/** What ended with a process. */
export interface DiskLoss {
  /** Batches given to the store and not settled. */
  readonly unsettled: number
  /** Transactions that were committed, and could be read if `overlapping`, and are gone. */
  readonly lostCommits: number
}

const NOTHING: Unfinished = { unsettled: 0, underWay: undefined }
const COMMIT_MS = 0.2
/** A turn of the event loop. */
const REPORT_MS = 0.1
/** A flush that someone waits for, and one that also takes along what others write meanwhile. */
const FSYNC_MS = { synced: 1, overlapping: 5 }

export class SimDisk {
  readonly name: string
  readonly #kernel: Kernel
  readonly #options: DiskOptions
  readonly #medium = new Medium()
  readonly #times: StoreTimes
  readonly #draws: Draw
  #fates = 0
  #store: SimStore | undefined
  #damage: 'StoreCorrupt' | 'StoreTruncated' | undefined

  /** An empty disk. Its draws are a function of the kernel's seed and `name`. */
  constructor(kernel: Kernel, name: string, options: DiskOptions = {}) {
    const { profile = 'synced', commitMs = COMMIT_MS, fsyncMs = FSYNC_MS[profile] } = options
    const draws = kernel.random(`disk/${name}`)
    const [commits, fsyncs] = [draws.fork('commits'), draws.fork('fsyncs')]
    const reports = draws.fork('reports')
    this.#draws = draws
    this.name = name
    this.#kernel = kernel
    this.#options = options
    this.#times = { profile, commitMs, fsyncMs, reportMs: REPORT_MS, commits, fsyncs, reports }
  }

  /** Set its fields at any time. */
  get faults(): DiskFaults {
    return this.#medium.faults
  }

  /**
   * Opens it for one incarnation. Flushes first what a killed process left in memory. Throws
   * `StoreCorrupt` or `StoreTruncated` when damaged, `StorageFailed` when failing.
   */
  open(owner: Owner): Store {
    if (this.#store?.owner.alive === false) this.kill()
    assert(this.#store === undefined, 'one process has a disk open at a time')
    if (this.#damage !== undefined) {
      throw new HoldfastError(this.#damage, `${this.name}: the data file is damaged`)
    }
    if (this.faults.failing) throw failed('the data file cannot be opened')
    this.#medium.sync()
    const store = new SimStore(this.#kernel, owner, this.#medium, this.#times, () => this.kill())
    this.#store = store
    return store
  }

  /** The process dies and the machine lives: every commit stays, the one under way may. */
  kill(): DiskLoss {
    const { unsettled, underWay } = this.#left()
    this.#medium.loseProcess(this.#fate(), underWay)
    return { unsettled, lostCommits: 0 }
  }

  /** The machine loses power: of what was not flushed a prefix of whole transactions stays. */
  crash(): DiskLoss {
    const { unsettled, underWay } = this.#left()
    return { unsettled, lostCommits: this.#medium.losePower(this.#fate(), underWay) }
  }

  /** Every opening fails from now on, as with a torn or overwritten file, until it is replaced. */
  damage(code: 'StoreCorrupt' | 'StoreTruncated'): void {
    this.#damage = code
  }

  /**
   * Flips a bit of a stored value, drawn from those whose key `choose` takes (default: all), and
   * tells nobody. Returns the key, or undefined when no value could be chosen.
   */
  flipBit(choose: (key: Bytes) => boolean = () => true): Bytes | undefined {
    const key = this.#medium.flipBit(this.#fate(), (text) => choose(Buffer.from(text, 'latin1')))
    return key === undefined ? undefined : Buffer.from(key, 'latin1')
  }

  /** Whether bits were flipped and not mended. */
  get isFlipped(): boolean {
    return this.#medium.isFlipped
  }

  /** Puts every value that was flipped, and not written since, back as it was. */
  mend(): void {
    this.#medium.mend()
  }

  /**
   * What would survive a loss of power for sure, or what is committed; without flipped bits, as a
   * backup is verified before it is used.
   */
  image(state: 'durable' | 'committed'): DiskImage {
    const rows = state === 'durable' ? this.#medium.durable : this.#medium.rows
    return { rows: this.#medium.withoutFlips(rows) }
  }

  /** What is durable under a key; undefined on a damaged disk. */
  durableAt(key: Bytes): Bytes | undefined {
    return this.#damage === undefined ? this.#medium.durable.get(binaryString(key)) : undefined
  }

  /** Puts `image` in place of all that is on it, sound. No process has it open. */
  restore(image: DiskImage): void {
    if (this.#store?.owner.alive === false) this.kill()
    assert(this.#store === undefined, 'a disk is replaced while no process has it open')
    this.#damage = undefined
    this.#medium.replace(image.rows)
  }

  /** As `restore`, with nothing. */
  wipe(): void {
    this.restore({ rows: new Rows() })
  }

  /** A disk for another machine with what is durable on this one, and without its faults. */
  clone(name: string): SimDisk {
    const disk = new SimDisk(this.#kernel, name, this.#options)
    disk.restore(this.image('durable'))
    return disk
  }

  /** What the process that had it open, if any, leaves unfinished. */
  #left(): Unfinished {
    const unfinished = this.#store?.end() ?? NOTHING
    this.#store = undefined
    return unfinished
  }

  /** Draws for one event, which depend on no other's. */
  #fate(): Draw {
    return this.#draws.fork(`fate/${this.#fates++}`)
  }
}
