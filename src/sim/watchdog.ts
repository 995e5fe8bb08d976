/**
 * Ends the process when a simulated step loops for ever without calling anything: such a loop holds
 * the only thread, so a worker watches it from beside, through shared memory. Off unless a Kernel is
 * given one: it kills the process, which the simulator's own command wants and a test runner, whose
 * other tests would die as well, does not.
 */
/* oxlint-disable eslint/no-restricted-imports -- nothing inside the thread can see it hang */
import type * as Fs from 'node:fs'
import { Worker } from 'node:worker_threads'

export interface WatchdogOptions {
  /** Real seconds that one step may take. Default: 20. */
  readonly seconds?: number
}

const SECONDS = 20
/** Looks per limit: a step is ended at most a tenth of the limit late. */
const LOOKS = 10
const TEXT_MAX = 200

/** Shared words: steps begun, batches under way, length of the step's text; a spare one. */
const BEAT = 0
const BUSY = 1
const TEXT_LENGTH = 2
const WORDS = 4
/** Shared numbers: the seed, and the time of the step in virtual milliseconds. */
const SEED = 0
const AT_MS = 1
const NUMBERS = 2
const HEAD_BYTES = WORDS * Int32Array.BYTES_PER_ELEMENT + NUMBERS * Float64Array.BYTES_PER_ELEMENT

export class Watchdog {
  readonly #words: Int32Array
  readonly #numbers: Float64Array
  readonly #text: Uint8Array
  readonly #encoder = new TextEncoder()
  /** By label, then by owner: encoding one for each step would cost as much as a step. */
  readonly #texts = new Map<string, Map<string, Uint8Array>>()
  readonly #worker: Worker

  constructor(options: WatchdogOptions = {}) {
    const shared = new SharedArrayBuffer(HEAD_BYTES + TEXT_MAX)
    this.#words = new Int32Array(shared, 0, WORDS)
    this.#numbers = new Float64Array(shared, this.#words.byteLength, NUMBERS)
    this.#text = new Uint8Array(shared, HEAD_BYTES)
    const seconds = options.seconds ?? SECONDS
    this.#worker = new Worker(`(${watch.toString()})(require)`, {
      eval: true,
      execArgv: [],
      workerData: { shared, seconds, looks: LOOKS, words: WORDS, numbers: NUMBERS },
    })
    this.#worker.unref()
  }

  /** A batch of steps begins, of the run with this seed. */
  enter(seed: number): void {
    if (this.#numbers[SEED] !== seed) {
      this.#numbers[SEED] = seed
      this.#texts.clear()
    }
    this.#words[BUSY] = (this.#words[BUSY] as number) + 1
    this.step(0, '', SETTING_UP)
  }

  leave(): void {
    this.#words[BUSY] = (this.#words[BUSY] as number) - 1
  }

  step(atMs: number, owner: string, label: string): void {
    const text = this.#textOf(owner, label)
    this.#text.set(text)
    this.#words[TEXT_LENGTH] = text.length
    this.#numbers[AT_MS] = atMs
    this.#words[BEAT] = (this.#words[BEAT] as number) + 1
  }

  /** Stops watching; the process could end without it too. */
  async stop(): Promise<void> {
    await this.#worker.terminate()
  }

  #textOf(owner: string, label: string): Uint8Array {
    let byOwner = this.#texts.get(label)
    if (byOwner === undefined) this.#texts.set(label, (byOwner = new Map<string, Uint8Array>()))
    let text = byOwner.get(owner)
    if (text === undefined) {
      const said = label === SETTING_UP ? label : `event "${label}" of ${owner}`
      text = this.#encoder.encode(said).subarray(0, TEXT_MAX)
      byOwner.set(owner, text)
    }
    return text
  }
}

const SETTING_UP = 'setting up'

interface WatchData {
  readonly shared: SharedArrayBuffer
  readonly seconds: number
  readonly looks: number
  /** How many words, and then numbers, precede the text. */
  readonly words: number
  readonly numbers: number
}

/** Runs in the worker, from its text: it may name nothing of this module. */
function watch(require: NodeJS.Require): void {
  const { workerData } = require('node:worker_threads') as { workerData: WatchData }
  const { writeSync } = require('node:fs') as typeof Fs
  const { shared, seconds, looks } = workerData
  const words = new Int32Array(shared, 0, workerData.words)
  const numbers = new Float64Array(shared, words.byteLength, workerData.numbers)
  const text = new Uint8Array(shared, words.byteLength + numbers.byteLength)
  const asleep = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  let seen = -1
  let unchanged = 0
  for (;;) {
    // Looks are counted, not clocks read: a suspended machine must not look like a hang.
    Atomics.wait(asleep, 0, 0, (seconds * 1_000) / looks)
    const beat = Atomics.load(words, 0)
    const isBusy = Atomics.load(words, 1) > 0
    unchanged = isBusy && beat === seen ? unchanged + 1 : 0
    seen = beat
    if (unchanged < looks) continue
    const step = Buffer.from(text.slice(0, Atomics.load(words, 2))).toString()
    const message =
      `holdfast: a simulated step has been running for ${seconds} s without end: ` +
      `seed ${numbers[0]}, ${step} at ${numbers[1]} ms\n`
    writeSync(2, message)
    // oxlint-disable-next-line eslint/no-restricted-globals -- its thread can be told nothing
    process.kill(process.pid, 'SIGKILL')
  }
}
