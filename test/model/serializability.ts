/**
 * A checker of strict serializability for histories over lists and registers, in the manner of Elle
 * (Kingsbury and Alvaro, VLDB 2020): values are unique, so what was read says who wrote it, and the
 * longest read of a list says in which order. Dependencies and real time make a graph; a cycle in it
 * is a history that no serial order explains.
 */
export type Step =
  /** Read a list, or found none. */
  | { readonly kind: 'read'; readonly key: string; readonly list: readonly number[] }
  | { readonly kind: 'append'; readonly key: string; readonly value: number }
  /** Read a register (0: it was never written) and, in the same transaction, perhaps wrote it. */
  | { readonly kind: 'get'; readonly key: string; readonly value: number }
  | { readonly kind: 'set'; readonly key: string; readonly before: number; readonly value: number }

export interface Transacted {
  /** Event numbers: of the call, and of its return. */
  readonly from: number
  readonly to: number
  /** `failed`: it was said not to be applied. `unknown`: nothing was said. */
  readonly outcome: 'ok' | 'failed' | 'unknown'
  readonly steps: readonly Step[]
}

type Writer = { readonly index: number; readonly last: boolean }

class Graph {
  readonly #edges: Map<number, string>[] = []

  node(): number {
    return this.#edges.push(new Map()) - 1
  }

  edge(from: number, to: number, why: string): void {
    const edges = this.#edges[from]
    if (from !== to && edges !== undefined && !edges.has(to)) edges.set(to, why)
  }

  /** One cycle, as text, or undefined: by removing what has nothing before it, again and again. */
  cycle(): string | undefined {
    const before = this.#edges.map(() => 0)
    for (const edges of this.#edges) {
      for (const to of edges.keys()) before[to] = (before[to] ?? 0) + 1
    }
    const free = before.flatMap((count, node) => (count === 0 ? [node] : []))
    let removed = 0
    for (let node = free.pop(); node !== undefined; node = free.pop()) {
      removed++
      before[node] = -1
      for (const to of this.#edges[node]?.keys() ?? []) {
        before[to] = (before[to] ?? 0) - 1
        if (before[to] === 0) free.push(to)
      }
    }
    if (removed === this.#edges.length) return undefined
    return this.#walk(before.map((count) => count > 0))
  }

  /** Among nodes that all have another one before them: walks back until one comes again. */
  #walk(left: readonly boolean[]): string {
    const back = new Map<number, [number, string]>()
    for (const [from, edges] of this.#edges.entries()) {
      if (left[from] !== true) continue
      for (const [to, why] of edges) if (left[to] === true) back.set(to, [from, why])
    }
    const path: string[] = []
    const seen = new Map<number, number>()
    let node = left.indexOf(true)
    while (!seen.has(node)) {
      seen.set(node, path.length)
      const [from, why] = back.get(node) ?? [node, '?']
      path.push(`${from} -${why}-> ${node}`)
      node = from
    }
    return path.slice(seen.get(node)).reverse().join(', ')
  }
}

/**
 * What is wrong with a history; empty when a serial order in real time explains it. The history ends
 * with reads of every list, so that every append that was acked must have been seen.
 */
export function checkSerializable(history: readonly Transacted[]): string[] {
  const wrong: string[] = []
  const writers = new Map<string, Writer>()
  for (const [index, { steps }] of history.entries()) {
    for (const [at, step] of steps.entries()) {
      if (step.kind !== 'append' && step.kind !== 'set') continue
      const last = !steps
        .slice(at + 1)
        .some((later) => later.kind === step.kind && later.key === step.key)
      const name = `${step.key}:${step.value}`
      if (writers.has(name)) wrong.push(`${name} was written twice`)
      writers.set(name, { index, last })
    }
  }
  const read = (index: number, key: string, value: number): Writer | undefined => {
    const writer = writers.get(`${key}:${value}`)
    if (writer === undefined) wrong.push(`${index} read ${key}:${value}, which nobody wrote`)
    else if (history[writer.index]?.outcome === 'failed')
      wrong.push(`${index} read ${key}:${value} of ${writer.index}, which failed`)
    else if (!writer.last && writer.index !== index)
      wrong.push(`${index} read ${key}:${value}, which ${writer.index} wrote over`)
    return writer
  }
  const orders = orderLists(history, wrong)
  const graph = new Graph()
  for (const _ of history) graph.node()
  const order = (key: string): readonly number[] => orders.get(key) ?? []
  for (const [key, values] of orders) {
    for (let i = 0; i < values.length; i++) {
      const writer = read(-1, key, values[i] as number) ?? { index: -1 }
      const next = writers.get(`${key}:${values[i + 1]}`)
      // Another one's append between two of its own would be seen as an intermediate read.
      if (next !== undefined && writer.index >= 0) graph.edge(writer.index, next.index, 'ww')
    }
  }
  wrong.splice(0, wrong.length, ...wrong.filter((line) => !/^-1 read .* wrote over$/.test(line)))
  for (const [index, { outcome, steps }] of history.entries()) {
    if (outcome !== 'ok') continue
    const own = new Map<string, number[]>()
    for (const step of steps) {
      if (step.kind === 'append') {
        own.set(step.key, [...(own.get(step.key) ?? []), step.value])
        if (!order(step.key).includes(step.value))
          wrong.push(`${index} appended ${step.key}:${step.value}, which is lost`)
      }
      if (step.kind === 'read') {
        const mine = own.get(step.key) ?? []
        const others = step.list.slice(0, step.list.length - mine.length)
        if (step.list.slice(others.length).join() !== mine.join())
          wrong.push(`${index} did not read its own appends to ${step.key}`)
        const last = others.at(-1)
        const writer = last === undefined ? undefined : read(index, step.key, last)
        if (writer !== undefined) graph.edge(writer.index, index, 'wr')
        const next = order(step.key)[others.length]
        const after = next === undefined ? undefined : writers.get(`${step.key}:${next}`)
        if (after !== undefined) graph.edge(index, after.index, 'rw')
      }
      if (step.kind === 'get' && step.value !== 0) {
        const writer = read(index, step.key, step.value)
        if (writer !== undefined) graph.edge(writer.index, index, 'wr')
      }
    }
  }
  addRegisters(history, writers, graph, wrong)
  addTime(history, graph)
  const cycle = graph.cycle()
  if (cycle !== undefined) wrong.push(`a cycle: ${cycle}`)
  return wrong
}

/** The order of each list's appends: its longest read, which every other read is a beginning of. */
function orderLists(history: readonly Transacted[], wrong: string[]): Map<string, number[]> {
  const orders = new Map<string, number[]>()
  const reads: [number, string, readonly number[]][] = []
  for (const [index, { outcome, steps }] of history.entries()) {
    if (outcome !== 'ok') continue
    for (const step of steps) if (step.kind === 'read') reads.push([index, step.key, step.list])
  }
  for (const [, key, list] of reads) {
    if (list.length > (orders.get(key)?.length ?? 0)) orders.set(key, [...list])
  }
  for (const [index, key, list] of reads) {
    const order = orders.get(key) ?? []
    if (list.some((value, i) => order[i] !== value))
      wrong.push(`${index} read ${key} as ${list.join()}, which is no beginning of ${order.join()}`)
    if (new Set(list).size < list.length) wrong.push(`${index} read a value of ${key} twice`)
  }
  return orders
}

/** Each write of a register read what it replaced: that is its order. */
function addRegisters(
  history: readonly Transacted[],
  writers: ReadonlyMap<string, Writer>,
  graph: Graph,
  wrong: string[],
): void {
  const replaced = new Map<string, number>()
  for (const [index, { outcome, steps }] of history.entries()) {
    if (outcome !== 'ok') continue
    for (const step of steps) {
      if (step.kind !== 'set') continue
      const name = `${step.key}:${step.before}`
      const other = replaced.get(name)
      if (other !== undefined)
        wrong.push(`${other} and ${index} both replaced ${name}: one is lost`)
      replaced.set(name, index)
      const before = writers.get(name)
      if (before !== undefined) graph.edge(before.index, index, 'ww')
    }
  }
  for (const [index, { outcome, steps }] of history.entries()) {
    if (outcome !== 'ok') continue
    for (const step of steps) {
      const next = step.kind === 'get' ? replaced.get(`${step.key}:${step.value}`) : undefined
      if (next !== undefined) graph.edge(index, next, 'rw')
    }
  }
}

/** What returned before another one was called comes before it: by a chain of returns. */
function addTime(history: readonly Transacted[], graph: Graph): void {
  const returns = history
    .flatMap(({ outcome, to }, index) =>
      outcome === 'ok' ? [{ to, index, node: graph.node() }] : [],
    )
    .sort((a, b) => a.to - b.to)
  for (const [i, { index, node }] of returns.entries()) {
    graph.edge(index, node, 'returned')
    const next = returns[i + 1]
    if (next !== undefined) graph.edge(node, next.node, 'then')
  }
  for (const [index, { outcome, from }] of history.entries()) {
    if (outcome !== 'ok') continue
    let low = 0
    for (let high = returns.length; low < high;) {
      const middle = (low + high) >>> 1
      if ((returns[middle]?.to ?? 0) < from) low = middle + 1
      else high = middle
    }
    const latest = returns[low - 1]
    if (latest !== undefined) graph.edge(latest.node, index, 'called')
  }
}
