/**
 * Nodes of one log decide alike (S4, S7): at the same position they have the same log-wide state and
 * the same window, whatever each of them went through. Looked at in passing, at positions that all
 * nodes come by, and once more when a run is over.
 */
import { hex } from '../core/bytes.ts'
import { digest } from '../core/hash.ts'
import type { Position } from '../log/log.ts'
import { encodeDefinitions, encodeState } from '../shard/log-state.ts'
import type { Node } from '../shard/node.ts'

/** Positions from one look to the next: each costs as much as the window is long. */
const EVERY = 64

export class Agreement {
  readonly #tell: (message: string) => void
  readonly #seen = new Map<Position, { readonly name: string; readonly hash: string }>()
  /** What runs now, by the name of its machine. */
  readonly #nodes = new Map<string, Node>()

  /** `tell`: told about nodes that have decided differently. */
  constructor(tell: (message: string) => void) {
    this.#tell = tell
  }

  watch(name: string, node: Node): void {
    this.#nodes.set(name, node)
    node.loop.listen({
      applied: ({ position }) => {
        if (position % EVERY === 0) this.#look(name, node, position)
      },
      halted: () => undefined,
    })
  }

  /** Compares all nodes. False while they are at different positions. */
  compare(): boolean {
    const nodes = [...this.#nodes]
    const positions = new Set(nodes.flatMap(([, { loop }]) => [loop.flushed, loop.state.position]))
    const [position] = positions
    if (positions.size !== 1 || position === undefined) return false
    for (const [name, node] of nodes) this.#look(name, node, position)
    return true
  }

  #look(name: string, { loop }: Node, position: Position): void {
    const { state, window } = loop
    // It has decided more than it has flushed: its state is that of a later position.
    if (state.position !== position) return
    const hash = hex(digest(encodeState(state), encodeDefinitions(state), window.fingerprint()))
    const known = this.#seen.get(position)
    if (known === undefined) this.#seen.set(position, { name, hash })
    else if (known.hash !== hash) {
      this.#tell(`at position ${position}, ${name} has not decided as ${known.name} has`)
    }
  }
}
