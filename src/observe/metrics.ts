/**
 * Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4).
 * Whoever counts often keeps the series that `with` gives: counting is then one addition.
 * Labels name parts of the system, never keys or contents: each set of labels is a series for ever.
 */

/** What `/metrics` answers with. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Upper bounds, in seconds: from what a row in memory takes to what a deadline allows. */
const DURATION_BUCKETS: readonly number[] = [
  0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

type Kind = 'counter' | 'gauge' | 'histogram'

/** Metrics of one process or server. Names are unique in it. */
export class Metrics {
  readonly #families = new Map<string, Family<object>>()
  readonly #collectors: (() => void)[] = []

  counter(name: string, help: string, labels: readonly string[] = []): Family<Counter> {
    return this.#add('counter', name, help, labels, () => new Counter())
  }

  gauge(name: string, help: string, labels: readonly string[] = []): Family<Gauge> {
    return this.#add('gauge', name, help, labels, () => new Gauge())
  }

  /** `buckets`: upper bounds, rising; what is above the last is counted under `+Inf`. */
  histogram(
    name: string,
    help: string,
    labels: readonly string[] = [],
    buckets: readonly number[] = DURATION_BUCKETS,
  ): Family<Histogram> {
    return this.#add('histogram', name, help, labels, () => new Histogram(buckets))
  }

  /** Calls `collect` before each `text`, to set what is measured only when asked for. */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect)
  }

  text(): string {
    for (const collect of this.#collectors) collect()
    let text = ''
    for (const family of this.#families.values()) text += family.text()
    return text
  }

  #add<S extends Series>(
    kind: Kind,
    name: string,
    help: string,
    labels: readonly string[],
    make: () => S,
  ): Family<S> {
    if (this.#families.has(name)) throw new TypeError(`there is a metric ${name} already`)
    const family = new Family<S>(kind, name, help, labels, make)
    this.#families.set(name, family)
    return family
  }
}

interface Series {
  /** Lines of the text: a suffix of the name, more labels, and the value of each. */
  samples(): Iterable<readonly [suffix: string, label: string, value: number]>
}

/** One metric: a series for each set of values of its labels. */
export class Family<S extends object> {
  readonly #kind: Kind
  readonly #name: string
  readonly #help: string
  readonly #labels: readonly string[]
  readonly #make: () => S
  readonly #series = new Map<string, S>()

  constructor(kind: Kind, name: string, help: string, labels: readonly string[], make: () => S) {
    this.#kind = kind
    this.#name = name
    this.#help = help
    this.#labels = labels
    this.#make = make
  }

  /** The series of these values, in the order of the labels. */
  with(...values: readonly string[]): S {
    const labels = this.#labels.map((label, i) => `${label}="${escapeLabel(values[i] ?? '')}"`)
    const key = labels.join(',')
    let series = this.#series.get(key)
    if (series === undefined) this.#series.set(key, (series = this.#make()))
    return series
  }

  /** Forgets all series: for gauges that are set anew at each collection. */
  clear(): void {
    this.#series.clear()
  }

  text(): string {
    if (this.#series.size === 0) return ''
    let text = `# HELP ${this.#name} ${escapeHelp(this.#help)}\n# TYPE ${this.#name} ${this.#kind}\n`
    for (const [labels, series] of this.#series) {
      for (const [suffix, label, value] of (series as unknown as Series).samples()) {
        const all = [labels, label].filter((part) => part !== '').join(',')
        text += `${this.#name}${suffix}${all === '' ? '' : `{${all}}`} ${numberText(value)}\n`
      }
    }
    return text
  }
}

export class Counter implements Series {
  #value = 0

  add(count = 1): void {
    this.#value += count
  }

  /** For counts that are kept elsewhere. Never goes back. */
  raiseTo(value: number): void {
    this.#value = Math.max(this.#value, value)
  }

  *samples(): Generator<readonly [string, string, number]> {
    yield ['', '', this.#value]
  }
}

export class Gauge implements Series {
  #value = 0

  set(value: number): void {
    this.#value = value
  }

  add(count = 1): void {
    this.#value += count
  }

  *samples(): Generator<readonly [string, string, number]> {
    yield ['', '', this.#value]
  }
}

export class Histogram implements Series {
  readonly #bounds: readonly number[]
  /** How many were in each bucket; the last is for what is above all bounds. */
  readonly #counts: Float64Array
  #sum = 0

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let at = 0
    while (at < this.#bounds.length && value > (this.#bounds[at] as number)) at++
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sum += value
  }

  *samples(): Generator<readonly [string, string, number]> {
    let count = 0
    for (const [i, bound] of this.#bounds.entries()) {
      count += this.#counts[i] as number
      yield ['_bucket', `le="${numberText(bound)}"`, count]
    }
    count += this.#counts[this.#bounds.length] as number
    yield ['_bucket', 'le="+Inf"', count]
    yield ['_sum', '', this.#sum]
    yield ['_count', '', count]
  }
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}
