/**
 * The trace of a run: a rolling hash of everything that happened, in order (D2). The same seed,
 * commit and Node version give the same hash; when two runs do not, the first divergent event is
 * found in two passes, so that neither costs much memory: the first keeps the hash at checkpoints,
 * the second records the events between the last equal checkpoint and the first unequal one, each
 * with the stack that scheduled it.
 *
 * The hash is two lanes of 32 bits: FNV-1a, and one that rotates before it multiplies.
 */

/** Which events to record: `events` of them from number `fromEvent` on. */
export interface RecordWindow {
  readonly fromEvent: number
  readonly events: number
}

export interface RecordedEvent {
  /** Its number in the run, from 0. */
  readonly event: number
  /** Time, owner, label, and how much was drawn before it. */
  readonly line: string
  readonly notes: string[]
  /** Who scheduled it. */
  readonly stack: string
}

export interface Divergence {
  /** The number of the first event that differs. */
  readonly event: number
  /** Undefined: this run had ended. */
  readonly first: RecordedEvent | undefined
  readonly second: RecordedEvent | undefined
  /** Both lines and both stacks, to print. */
  readonly text: string
}

/** Checkpoints kept; when there are more, every second one goes. */
const CHECKPOINTS_MAX = 1_024
const FIRST_INTERVAL = 64
/** Events recorded at most, and notes of each. */
const RECORDED_MAX = 65_536
const NOTES_MAX = 100
const STACK_FRAMES = 16
/** Of a stack: its message, `Trace.site` and `Kernel.after`. */
const OWN_LINES = 3
/** A second pass that diverged before its window moves the window; it may do so this often. */
const PASSES_MAX = 4

export class Trace {
  readonly recorded: RecordedEvent[] = []
  readonly #window: RecordWindow | undefined
  /** The hash before event i * interval. */
  #checkpoints: string[] = []
  #interval = FIRST_INTERVAL
  #untilCheckpoint = 0
  #events = 0
  #low = 0x811c9dc5
  #high = 0x9e3779b9
  readonly #float = new Float64Array(1)
  readonly #words = new Uint32Array(this.#float.buffer)

  constructor(window?: RecordWindow) {
    this.#window = window
  }

  get events(): number {
    return this.#events
  }

  /** Of everything so far: 16 hexadecimal digits. */
  get hash(): string {
    return hex(this.#high) + hex(this.#low)
  }

  get interval(): number {
    return this.#interval
  }

  get checkpoints(): readonly string[] {
    return this.#checkpoints
  }

  /** Whether the stack of what is scheduled now may be wanted. */
  get recording(): boolean {
    const window = this.#window
    // What is scheduled now may run at any later time.
    return window !== undefined && this.#events < window.fromEvent + window.events
  }

  /** The stack from here; it is formatted only if its event is recorded. */
  site(): Error {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = STACK_FRAMES
    const error = new Error('scheduled')
    Error.stackTraceLimit = limit
    return error
  }

  event(atMs: number, owner: string, label: string, draws: number, site: Error | undefined): void {
    if (this.#untilCheckpoint === 0) this.#checkpoint()
    this.#untilCheckpoint--
    this.#number(atMs)
    this.#number(draws)
    this.#text(owner)
    this.#text(label)
    if (this.#inWindow()) {
      const line = `${atMs} ms ${owner} ${label} (${draws} draws before)`
      const stack = framesOf(site)
      this.recorded.push({ event: this.#events, line, notes: [], stack })
    }
    this.#events++
  }

  note(text: string): void {
    this.#text(text)
    const last = this.recorded.at(-1)
    if (last?.event === this.#events - 1 && last.notes.length < NOTES_MAX) last.notes.push(text)
  }

  #inWindow(): boolean {
    const window = this.#window
    if (window === undefined || this.recorded.length >= RECORDED_MAX) return false
    const into = this.#events - window.fromEvent
    return into >= 0 && into < window.events
  }

  #checkpoint(): void {
    if (this.#checkpoints.length === CHECKPOINTS_MAX) {
      this.#checkpoints = this.#checkpoints.filter((_, i) => i % 2 === 0)
      this.#interval *= 2
    }
    this.#checkpoints.push(this.hash)
    this.#untilCheckpoint = this.#interval
  }

  #number(value: number): void {
    this.#float[0] = value
    this.#word(this.#words[0] as number)
    this.#word(this.#words[1] as number)
  }

  #text(text: string): void {
    for (let i = 0; i < text.length; i++) this.#word(text.charCodeAt(i))
    // Its length, so that two texts do not run into one.
    this.#word(text.length)
  }

  #word(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x01000193)
    this.#high = Math.imul(((this.#high << 5) | (this.#high >>> 27)) ^ word, 0x85ebca6b)
  }
}

/** The first recorded event in which two runs differ; undefined: none of those recorded does. */
export function firstDivergence(a: Trace, b: Trace): Divergence | undefined {
  const count = Math.max(a.recorded.length, b.recorded.length)
  for (let i = 0; i < count; i++) {
    const first = a.recorded[i]
    const second = b.recorded[i]
    if (first !== undefined && second !== undefined && same(first, second)) continue
    const event = (first ?? second)?.event ?? 0
    const text = [
      `the runs diverge at event ${event}`,
      `first run:  ${told(first)}`,
      `second run: ${told(second)}`,
    ].join('\n')
    return { event, first, second, text }
  }
  return undefined
}

/** Where to record, to see how two runs came to differ; undefined: they are equal. */
function divergentWindow(a: Trace, b: Trace): RecordWindow | undefined {
  if (a.hash === b.hash && a.events === b.events) return undefined
  const interval = Math.max(a.interval, b.interval)
  const at = (trace: Trace, i: number): string | undefined =>
    trace.checkpoints[(i * interval) / trace.interval]
  let equal = 0
  while (at(a, equal + 1) !== undefined && at(a, equal + 1) === at(b, equal + 1)) equal++
  return { fromEvent: equal * interval, events: Math.min(interval + 1, RECORDED_MAX) }
}

/**
 * Runs twice and says where the runs differ, in four runs or a few more; undefined: they are equal.
 * `run` makes one run from its beginning, handing the window on to its Kernel.
 */
export async function compareRuns(
  run: (record?: RecordWindow) => Promise<Trace>,
): Promise<Divergence | undefined> {
  let window = divergentWindow(await run(), await run())
  if (window === undefined) return undefined
  for (let pass = 0; pass < PASSES_MAX; pass++) {
    const a = await run(window)
    const b = await run(window)
    const moved = divergentWindow(a, b)
    if (moved !== undefined && moved.fromEvent < window.fromEvent) window = moved
    else {
      const found = firstDivergence(a, b)
      if (found !== undefined) return found
      if (moved !== undefined) window = moved
    }
  }
  const { fromEvent, events } = window
  const text = `the runs diverged in events ${fromEvent} to ${fromEvent + events}, but not again when these were recorded`
  return { event: fromEvent, first: undefined, second: undefined, text }
}

function same(a: RecordedEvent, b: RecordedEvent): boolean {
  return a.line === b.line && a.notes.join('\n') === b.notes.join('\n')
}

function told(recorded: RecordedEvent | undefined): string {
  if (recorded === undefined) return 'nothing more'
  const notes = recorded.notes.map((note) => `\n  note: ${note}`).join('')
  return `${recorded.line}${notes}\n  scheduled by\n${recorded.stack}`
}

function framesOf(site: Error | undefined): string {
  return (site?.stack ?? '').split('\n').slice(OWN_LINES).join('\n')
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}
