/** A node as the driver of a run sees it. */
import type { Machine } from './machine.ts'
import type { SimulatedNode, World } from './world.ts'

export class SimNode<Api = unknown> {
  readonly name: string
  readonly #machine: Machine<SimulatedNode<Api>>
  readonly #world: World<Api>

  constructor(machine: Machine<SimulatedNode<Api>>, world: World<Api>) {
    this.name = machine.name
    this.#machine = machine
    this.#world = world
  }

  get isUp(): boolean {
    return this.#machine.isUp
  }

  /**
   * Runs `work` inside the node, on what it runs now. Rejects with `NoResponder` when it is down,
   * and with `OutcomeUnknown` when it ends before it answers.
   */
  call<T>(work: (node: SimulatedNode<Api>) => T | Promise<T>): Promise<T> {
    return this.#machine.call(work)
  }

  /**
   * What the app exports beside its handler, and what its function returns. Throws `NoResponder`
   * when the node is down.
   */
  get api(): Api {
    return this.#machine.running.api
  }

  /** Ends the node at once: its process alone, or with the machine's power. It stays down. */
  crash(how: 'process' | 'power' = 'power'): void {
    this.#did(how === 'power' ? 'power-loss' : 'process-kill')
    this.#machine.crash(how)
  }

  /** Starts the node unless it runs; resolves once it is up. */
  async start(): Promise<void> {
    this.#machine.start()
    await this.#machine.up()
  }

  /** Ends the node in order. */
  stop(): Promise<void> {
    this.#did('stop')
    return this.#machine.stop()
  }

  /** Its process stands still, and knows nothing of it, until `resume`, healing or its end. */
  pause(): void {
    this.#did('pause')
    this.#machine.pause()
  }

  resume(): void {
    this.#machine.resume()
  }

  #did(kind: string): void {
    const { kernel, timeline, desk } = this.#world
    timeline.add(kernel.nowMs, this.name, `${kind}, by the test`, true)
    desk.counts[kind] = (desk.counts[kind] ?? 0) + 1
  }
}
