/**
 * A graph of dependencies between transactions, and its cycles: components by Tarjan (1972), in each
 * the shortest cycle of the gravest kind by breadth-first search, named as Adya (1999) and Elle do.
 */
export const WW = 1
export const WR = 2
export const RW = 4
export const PROCESS = 8
export const REALTIME = 16
/** Out of a hub: goes on as what led into it. */
const VIA = 32

interface Edge {
  readonly from: number
  readonly to: number
  readonly kind: number
  /** What it is about: the key. */
  readonly key: string
}

export interface Cycle {
  /** G0, G1c, G-single or G2, with `-process` or `-realtime` when it takes that order as well. */
  readonly name: string
  /** Each step's `to` is the next one's `from`. */
  readonly path: readonly Edge[]
}

/** The gravest first: those of data alone, then with the order of processes, then of real time. */
const LEVELS = [0, PROCESS, PROCESS | REALTIME].flatMap((order) =>
  [
    { data: WW, single: false },
    { data: WW | WR, single: false },
    { data: WW | WR, single: true },
    { data: WW | WR | RW, single: false },
  ].map(({ data, single }) => ({ mask: data | order | VIA, single })),
)

/** Bounds the search for the shortest and gravest; that there is a cycle is known before. */
const VISITS_MAX = 2_000_000

export class Graph {
  readonly #edges: Edge[][]
  readonly #transactions: number
  #visits = 0

  /** Nodes from 0 to `transactions` - 1; hubs come after them. */
  constructor(transactions: number) {
    this.#transactions = transactions
    this.#edges = Array.from({ length: transactions }, () => [])
  }

  /** A node that is no transaction, and shortens many edges to few. */
  hub(): number {
    return this.#edges.push([]) - 1
  }

  edge(from: number, to: number, kind: number, key: string): void {
    if (from !== to) this.#edges[from]?.push({ from, to, kind, key })
  }

  /** From each source to each other target. Sources among the targets never come to themselves. */
  everyPair(
    sources: Iterable<readonly [node: number, kind: number]>,
    targets: ReadonlySet<number>,
    key: string,
  ): void {
    if (targets.size === 0) return
    const hub = this.hub()
    for (const to of targets) this.edge(hub, to, VIA, key)
    for (const [from, kind] of sources) {
      if (!targets.has(from)) this.edge(from, hub, kind, key)
      else for (const to of targets) this.edge(from, to, kind, key)
    }
  }

  /** One for each strongly connected component. */
  cycles(): Cycle[] {
    const everything = WW | WR | RW | PROCESS | REALTIME | VIA
    const all = this.#edges.map((_, node) => node)
    return this.#components(all, everything).map((component) => {
      for (const { mask, single } of LEVELS) {
        this.#visits = 0
        const path = single ? this.#singleCycle(component, mask) : this.#dataCycle(component, mask)
        if (path !== undefined) return { name: nameOf(path), path: this.#withoutHubs(path) }
      }
      throw new Error('a component without a cycle')
    })
  }

  #dataCycle(within: readonly number[], mask: number): Edge[] | undefined {
    const component = this.#components(within, mask).sort((a, b) => a.length - b.length)[0]
    if (component === undefined) return undefined
    const inside = new Set(component)
    let best: Edge[] | undefined
    for (const start of component) {
      if (start >= this.#transactions) continue
      if (best !== undefined && this.#visits > VISITS_MAX) break
      const path = this.#shortest(start, start, mask, inside, best && this.#length(best))
      if (path !== undefined) best = path
    }
    return best
  }

  /** A cycle with one anti-dependency in it. */
  #singleCycle(component: readonly number[], mask: number): Edge[] | undefined {
    const inside = new Set(component)
    let best: Edge[] | undefined
    for (const node of component) {
      for (const edge of this.#edges[node] ?? []) {
        if (edge.kind !== RW || !inside.has(edge.to)) continue
        if (this.#visits > VISITS_MAX) return best
        const found = this.#shortest(edge.to, node, mask & ~RW, inside, best && this.#length(best))
        const path = found && [edge, ...found]
        if (path && (best === undefined || this.#length(path) < this.#length(best))) best = path
      }
    }
    return best
  }

  /** In transactions. */
  #length(path: readonly Edge[]): number {
    return path.filter(({ to }) => to < this.#transactions).length
  }

  /** The path of at least one edge over fewest transactions, if over fewer than `below`. */
  #shortest(
    start: number,
    goal: number,
    mask: number,
    inside: ReadonlySet<number>,
    below = Number.POSITIVE_INFINITY,
  ): Edge[] | undefined {
    const reachedBy = new Map<number, Edge>()
    let frontier = [start]
    for (let length = 1; frontier.length > 0 && length < below; length++) {
      const next: number[] = []
      for (const node of frontier) {
        for (const edge of this.#edges[node] ?? []) {
          if ((edge.kind & mask) === 0 || !inside.has(edge.to) || reachedBy.has(edge.to)) continue
          this.#visits++
          reachedBy.set(edge.to, edge)
          if (edge.to === goal) return pathBack(reachedBy, start, goal)
          // A hub is no step: what it leads to is as near.
          if (edge.to < this.#transactions) next.push(edge.to)
          else frontier.push(edge.to)
        }
      }
      frontier = next
    }
    return undefined
  }

  /** Strongly connected components of more than one node, along edges of `mask`. */
  #components(nodes: readonly number[], mask: number): number[][] {
    const walk = new TarjanWalk(this.#edges, new Set(nodes), mask)
    for (const node of nodes) walk.from(node)
    return walk.components
  }

  #withoutHubs(path: readonly Edge[]): Edge[] {
    const first = path.findIndex(({ from }) => from < this.#transactions)
    const rotated = [...path.slice(first), ...path.slice(0, first)]
    const steps: Edge[] = []
    for (const edge of rotated) {
      const last = steps.at(-1)
      if (edge.from < this.#transactions || last === undefined) steps.push(edge)
      else steps[steps.length - 1] = { ...last, to: edge.to }
    }
    return steps
  }
}

function pathBack(reachedBy: ReadonlyMap<number, Edge>, start: number, goal: number): Edge[] {
  const path: Edge[] = []
  let node = goal
  do {
    const edge = reachedBy.get(node)
    if (edge === undefined) break
    path.push(edge)
    node = edge.from
  } while (node !== start)
  return path.reverse()
}

function nameOf(path: readonly Edge[]): string {
  const count = (kind: number): number => path.filter((edge) => edge.kind === kind).length
  const anti = count(RW)
  const data = anti > 1 ? 'G2' : anti === 1 ? 'G-single' : count(WR) > 0 ? 'G1c' : 'G0'
  if (count(REALTIME) > 0) return `${data}-realtime`
  return count(PROCESS) > 0 ? `${data}-process` : data
}

/** Tarjan's walk, with a stack of its own: histories are longer than the call stack is deep. */
class TarjanWalk {
  readonly components: number[][] = []
  readonly #edges: readonly (readonly Edge[])[]
  readonly #inside: ReadonlySet<number>
  readonly #mask: number
  readonly #index = new Map<number, number>()
  readonly #low = new Map<number, number>()
  readonly #open: number[] = []
  readonly #isOpen = new Set<number>()

  constructor(edges: readonly (readonly Edge[])[], inside: ReadonlySet<number>, mask: number) {
    this.#edges = edges
    this.#inside = inside
    this.#mask = mask
  }

  from(root: number): void {
    if (this.#index.has(root)) return
    const stack = [{ node: root, at: 0 }]
    this.#enter(root)
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const edge = this.#edges[frame.node]?.[frame.at++]
      if (edge === undefined) {
        stack.pop()
        this.#leave(frame.node)
        const parent = stack.at(-1)
        if (parent !== undefined) this.#lower(parent.node, this.#low.get(frame.node))
      } else if ((edge.kind & this.#mask) !== 0 && this.#inside.has(edge.to)) {
        if (!this.#index.has(edge.to)) {
          this.#enter(edge.to)
          stack.push({ node: edge.to, at: 0 })
        } else if (this.#isOpen.has(edge.to)) this.#lower(frame.node, this.#index.get(edge.to))
      }
    }
  }

  #enter(node: number): void {
    this.#low.set(node, this.#index.size)
    this.#index.set(node, this.#index.size)
    this.#open.push(node)
    this.#isOpen.add(node)
  }

  #lower(node: number, to = 0): void {
    this.#low.set(node, Math.min(this.#low.get(node) ?? to, to))
  }

  #leave(node: number): void {
    if (this.#low.get(node) !== this.#index.get(node)) return
    const component = this.#open.splice(this.#open.lastIndexOf(node))
    for (const member of component) this.#isOpen.delete(member)
    if (component.length > 1) this.components.push(component)
  }
}
