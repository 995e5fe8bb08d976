/** The links of a cluster, each between two named processes, and the faults that are on them. */
import { Link, OPEN_LINK, type LinkState } from './link.ts'

/** Seen from the process that is named: what it is told, what it says, or both. */
export type Direction = 'both' | 'in' | 'out'

/** What is wrong with the links of one process. */
export type NetworkFault =
  | {
      readonly kind: 'partition'
      readonly name: string
      readonly direction: Direction
      /** From these alone; undefined: from all. */
      readonly others: readonly string[] | undefined
    }
  | { readonly kind: 'cut'; readonly name: string }
  | { readonly kind: 'slow'; readonly name: string; readonly ms: number }

interface Ends {
  /** Who connects. */
  readonly from: string
  readonly to: string
}

export class Network {
  readonly #links: (Ends & { readonly link: Link })[] = []
  #faults: readonly NetworkFault[] = []

  /** In the order in which they came. */
  get faults(): readonly NetworkFault[] {
    return this.#faults
  }

  /** A port of 127.0.0.1 by which `from` reaches `targetPort` of `to`. */
  async link(from: string, to: string, targetPort: number): Promise<number> {
    const link = await Link.open(targetPort)
    this.#links.push({ from, to, link })
    link.set(stateOf({ from, to }, this.#faults))
    return link.port
  }

  add(fault: NetworkFault): void {
    this.#set([...this.#faults, fault])
  }

  heal(): void {
    this.#set([])
  }

  async close(): Promise<void> {
    await Promise.all(this.#links.splice(0).map(({ link }) => link.close()))
  }

  #set(faults: readonly NetworkFault[]): void {
    this.#faults = faults
    for (const { link, ...ends } of this.#links) link.set(stateOf(ends, faults))
  }
}

function stateOf(ends: Ends, faults: readonly NetworkFault[]): LinkState {
  let state = OPEN_LINK
  for (const fault of faults) {
    if (fault.name !== ends.from && fault.name !== ends.to) continue
    if (fault.kind === 'cut') state = { ...state, isCut: true }
    else if (fault.kind === 'slow') state = { ...state, delayMs: state.delayMs + fault.ms }
    else state = held(state, ends, fault)
  }
  return state
}

function held(
  state: LinkState,
  { from, to }: Ends,
  { name, direction, others }: Extract<NetworkFault, { kind: 'partition' }>,
): LinkState {
  const isFrom = name === from
  if (others?.includes(isFrom ? to : from) === false) return state
  const holdsOut = direction !== 'in'
  const holdsIn = direction !== 'out'
  return {
    ...state,
    holdsForward: state.holdsForward || (isFrom ? holdsOut : holdsIn),
    holdsBack: state.holdsBack || (isFrom ? holdsIn : holdsOut),
  }
}
