/**
 * The search for an order that explains a history: Wing and Gong (1993), with Lowe's memo of
 * configurations seen (2017), over a linked list of calls and returns as in Porcupine (Athalye, 2017).
 *
 * An operation without a known outcome never returns, and may be left out. A read that fits is taken
 * at once and never taken back: it changes nothing, so no order is better without it here. An
 * unanswered operation is not followed by one that overwrites it unseen: it had better be left out.
 */
import { canonical } from './canonical.ts'
import { overAt, type Operation } from './history.ts'
import type { Model, Reply } from './models.ts'

export interface SearchResult<Input, Output> {
  readonly result: 'ok' | 'violation' | 'unknown'
  /** Of a violation: the first whose return no order reaches. All before it can be explained. */
  readonly stuck?: Operation<Input, Output>
  /** Of a violation: the longest order that comes up to there. */
  readonly explained?: readonly Operation<Input, Output>[]
}

const HEAD = 0
const WORD_BITS = 32

interface Taken<State> {
  readonly entry: number
  readonly state: State
  readonly low: number
  readonly high: number
}

/** `known` have returned, `unknown` have not; `stepsMax` bounds the steps of the model. */
export function search<State, Input, Output>(
  model: Model<State, Input, Output>,
  known: readonly Operation<Input, Output>[],
  unknown: readonly Operation<Input, Output>[],
  stepsMax: number,
): SearchResult<Input, Output> {
  return new Search(model, known, unknown).run(stepsMax)
}

class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>
  /** Those with an outcome first, each part in the order of its calls. */
  readonly #operations: readonly Operation<Input, Output>[]
  readonly #replies: readonly Reply<Output>[]
  readonly #knownCount: number
  /** Entry -> operation; entry 0 is the head of the list. */
  readonly #operationOf: Int32Array
  /** Entry of a call -> entry of its return, 0 for none; entry of a return -> -1. */
  readonly #returnOf: Int32Array
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #bits: Uint32Array
  readonly #seen = new Set<string>()
  readonly #taken: Taken<State>[] = []
  /** All known operations below `low` are taken, none above `high`. */
  #low = 0
  #high = -1
  #furthest = HEAD
  #longest: readonly number[] = []

  constructor(
    model: Model<State, Input, Output>,
    known: readonly Operation<Input, Output>[],
    unknown: readonly Operation<Input, Output>[],
  ) {
    this.#model = model
    const byCall = (a: Operation, b: Operation): number => a.call - b.call
    this.#operations = [...known.toSorted(byCall), ...unknown.toSorted(byCall)]
    this.#knownCount = known.length
    this.#replies = this.#operations.map((operation, i) =>
      i < known.length ? { known: true, output: operation.output as Output } : { known: false },
    )
    // A return and a call at the same time are concurrent: calls come first.
    const events = this.#operations
      .flatMap((operation, index) => [
        { index, at: operation.call, isReturn: false },
        ...(index < known.length ? [{ index, at: overAt(operation), isReturn: true }] : []),
      ])
      .sort((a, b) => a.at - b.at || Number(a.isReturn) - Number(b.isReturn) || a.index - b.index)
    const size = events.length + 1
    this.#operationOf = new Int32Array(size)
    this.#returnOf = new Int32Array(size)
    this.#next = Int32Array.from({ length: size }, (_, i) => (i + 1 < size ? i + 1 : HEAD))
    this.#previous = Int32Array.from({ length: size }, (_, i) => i - 1)
    this.#bits = new Uint32Array(Math.ceil(this.#operations.length / WORD_BITS) + 1)
    const callOf = new Int32Array(this.#operations.length)
    for (const [i, { index, isReturn }] of events.entries()) {
      const entry = i + 1
      this.#operationOf[entry] = index
      if (isReturn) {
        this.#returnOf[callOf[index] as number] = entry
        this.#returnOf[entry] = -1
      } else callOf[index] = entry
    }
  }

  run(stepsMax: number): SearchResult<Input, Output> {
    let state = this.#model.init
    let left = this.#knownCount
    let entry = this.#next[HEAD] as number
    for (let steps = 0; left > 0;) {
      if (this.#returnOf[entry] === -1) {
        this.#block(entry)
        const undone = this.#undo()
        if (undone === undefined) return this.#violation()
        left += undone.known
        state = undone.state
        entry = this.#next[undone.entry] as number
        continue
      }
      if (++steps > stepsMax) return { result: 'unknown' }
      const index = this.#operationOf[entry] as number
      const next = this.#step(state, index)
      if (next === undefined || !this.#take(entry, index, state, next.state)) {
        entry = this.#next[entry] as number
        continue
      }
      state = next.state
      if (index < this.#knownCount) left--
      entry = this.#next[HEAD] as number
    }
    return { result: 'ok' }
  }

  #step(state: State, index: number): { readonly state: State } | undefined {
    const { input } = this.#operations[index] as Operation<Input, Output>
    if (this.#lastIsUnknown() && this.#model.overwrites?.(input) === true) return undefined
    const next = this.#model.step(state, input, this.#replies[index] as Reply<Output>)
    if (next === undefined || index < this.#knownCount) return next
    // What nobody was told of, and changes nothing, need not have happened here.
    return this.#stateKey(next.state) === this.#stateKey(state) ? undefined : next
  }

  /** Takes an operation next, unless the same ones gave the same state before. */
  #take(entry: number, index: number, before: State, after: State): boolean {
    const { low, high } = this.#mark(index)
    const key = this.#configuration(after, index)
    if (this.#seen.has(key)) {
      this.#unmark(index, low, high)
      return false
    }
    this.#seen.add(key)
    this.#taken.push({ entry, state: before, low, high })
    this.#lift(entry)
    return true
  }

  /** Gives back the last operation taken that could have been another one. */
  #undo(): { entry: number; state: State; known: number } | undefined {
    let known = 0
    for (let last = this.#taken.pop(); last !== undefined; last = this.#taken.pop()) {
      const index = this.#operationOf[last.entry] as number
      this.#unlift(last.entry)
      this.#unmark(index, last.low, last.high)
      if (index < this.#knownCount) known++
      const { input } = this.#operations[index] as Operation<Input, Output>
      if (!this.#model.reads(input)) return { entry: last.entry, state: last.state, known }
    }
    return undefined
  }

  #mark(index: number): { low: number; high: number } {
    const before = { low: this.#low, high: this.#high }
    this.#flip(index)
    if (index < this.#knownCount) {
      this.#high = Math.max(this.#high, index)
      while (this.#low < this.#knownCount && this.#isTaken(this.#low)) this.#low++
    }
    return before
  }

  #unmark(index: number, low: number, high: number): void {
    this.#flip(index)
    this.#low = low
    this.#high = high
  }

  #flip(index: number): void {
    const word = Math.floor(index / WORD_BITS)
    this.#bits[word] = ((this.#bits[word] as number) ^ (1 << (index % WORD_BITS))) >>> 0
  }

  #isTaken(index: number): boolean {
    const word = this.#bits[Math.floor(index / WORD_BITS)] as number
    return ((word >>> (index % WORD_BITS)) & 1) === 1
  }

  #lastIsUnknown(): boolean {
    const last = this.#taken.at(-1)
    return last !== undefined && (this.#operationOf[last.entry] as number) >= this.#knownCount
  }

  /** What is taken, and the state: short, as what returned long ago is all taken. */
  #configuration(state: State, latest: number): string {
    let text = latest < this.#knownCount ? `${this.#low}` : `?${this.#low}`
    const first = Math.floor(this.#low / WORD_BITS)
    const last = Math.floor(this.#high / WORD_BITS)
    for (let word = first; word <= last; word++) text += `.${this.#bits[word]}`
    const unknownFrom = Math.floor(this.#knownCount / WORD_BITS)
    for (let word = unknownFrom; word < this.#bits.length; word++) text += `,${this.#bits[word]}`
    return `${text}|${this.#stateKey(state)}`
  }

  #stateKey(state: State): string {
    return this.#model.stateKey === undefined ? canonical(state) : this.#model.stateKey(state)
  }

  #lift(entry: number): void {
    this.#unlink(entry)
    const end = this.#returnOf[entry] as number
    if (end > 0) this.#unlink(end)
  }

  #unlift(entry: number): void {
    const end = this.#returnOf[entry] as number
    if (end > 0) this.#relink(end)
    this.#relink(entry)
  }

  #unlink(entry: number): void {
    const previous = this.#previous[entry] as number
    const next = this.#next[entry] as number
    this.#next[previous] = next
    if (next !== HEAD) this.#previous[next] = previous
  }

  #relink(entry: number): void {
    this.#next[this.#previous[entry] as number] = entry
    const next = this.#next[entry] as number
    if (next !== HEAD) this.#previous[next] = entry
  }

  /** Returns are entries in the order of time: the furthest one that stopped the search tells why. */
  #block(entry: number): void {
    if (entry < this.#furthest) return
    if (entry > this.#furthest || this.#taken.length > this.#longest.length)
      this.#longest = this.#taken.map((taken) => this.#operationOf[taken.entry] as number)
    this.#furthest = entry
  }

  #violation(): SearchResult<Input, Output> {
    const at = (index: number): Operation<Input, Output> =>
      this.#operations[index] as Operation<Input, Output>
    return {
      result: 'violation',
      stuck: at(this.#operationOf[this.#furthest] as number),
      explained: this.#longest.map(at),
    }
  }
}
