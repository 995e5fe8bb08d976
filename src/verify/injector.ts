/** Does to the processes what a plan says, and undoes it. */
import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { injectionText, LEADER, type Injection, type Lane, type Skew } from './nemesis.ts'
import type { NodeOptions, NodeProcess } from './node-process.ts'
import type { ProcessCluster } from './process-cluster.ts'
import { CLOCK_FILE } from './skewed-clock.ts'

const TRUE_CLOCK: Skew = { jumpMs: 0, rate: 1 }
/** Milliseconds between two tries to start a process again. */
const AGAIN_MS = 500

export interface Injected {
  readonly kind: string
  readonly text: string
  readonly fromMs: number
  toMs: number | undefined
}

export interface InjectorParts {
  readonly cluster: ProcessCluster
  readonly nowMs: () => number
  /** Told when a fault begins, and when something is to be known about it. */
  readonly say: (text: string) => void
}

type Undo = () => void | Promise<void>

/** Where a node's calls go, and how its process is started. */
export class Injector {
  readonly #parts: InjectorParts
  /** What is wrong with the network now; healing is for the whole of it. */
  readonly #network = new Set<() => void>()
  /** A second process of the same identity, by the name of the first. */
  readonly #forks = new Map<string, NodeProcess>()
  /** Of which an end is expected. */
  readonly #ending = new Set<string>()
  #calls = 0
  injected: Injected[] = []

  constructor(parts: InjectorParts) {
    this.#parts = parts
  }

  /** How a node of that name is started: with a clock that can be set. */
  static nodeOptions(dir: string, name: string): NodeOptions {
    const file = clockFile(dir, name)
    writeFileSync(file, JSON.stringify(TRUE_CLOCK))
    const preload = new URL(
      import.meta.url.endsWith('.ts') ? './skewed-clock.ts' : './skewed-clock.js',
      import.meta.url,
    )
    const given = process.env['NODE_OPTIONS'] ?? ''
    const env = { [CLOCK_FILE]: file, NODE_OPTIONS: `${given} --import=${preload.href}`.trim() }
    return { args: ['--no-sample'], env }
  }

  /** Whether the end of a process is our doing. */
  isEnding(name: string): boolean {
    return this.#ending.has(name)
  }

  /** Where to call a node now: while there are two of it, either of them in turn. */
  urlOf(node: NodeProcess): string {
    const fork = this.#forks.get(node.name)
    if (fork === undefined || fork.state === 'dead') return node.url
    return this.#calls++ % 2 === 0 ? node.url : fork.url
  }

  /** Both lanes of a round; resolves when the last fault is over. */
  async run(injections: readonly Injection[], beginMs: number, signal: AbortSignal): Promise<void> {
    const lane = async (which: Lane): Promise<void> => {
      for (const injection of injections.filter((one) => one.lane === which)) {
        await this.#until(beginMs + injection.atMs, signal)
        if (signal.aborted) return
        await this.#inject(injection, beginMs, signal)
      }
    }
    await Promise.all([lane('node'), lane('server')])
  }

  async #inject(injection: Injection, beginMs: number, signal: AbortSignal): Promise<void> {
    const { nowMs, say } = this.#parts
    const target = await this.#target(injection)
    if (target === undefined) return
    const entry: Injected = {
      kind: injection.harm.kind,
      text: injectionText(injection, target),
      fromMs: nowMs(),
      toMs: undefined,
    }
    this.injected.push(entry)
    say(`!! ${entry.text}`)
    const undo = await this.#begin(injection, target)
    await this.#until(beginMs + injection.atMs + injection.forMs, signal)
    await undo()
    entry.toMs = nowMs()
  }

  /** Undefined: there is no leader now. */
  async #target({ target }: Injection): Promise<string | undefined> {
    if (target !== LEADER) return target
    try {
      return await this.#parts.cluster.leader()
    } catch (cause) {
      this.#parts.say(`no fault: ${(cause as Error).message}`)
      return undefined
    }
  }

  async #begin(injection: Injection, target: string): Promise<Undo> {
    const { cluster } = this.#parts
    const { harm } = injection
    switch (harm.kind) {
      case 'kill-node':
      case 'kill-server':
        await this.#kill(target)
        return () => this.#start(target)
      case 'pause-node':
      case 'pause-server':
        cluster.pause(target)
        return () => cluster.resume(target)
      case 'wipe-node':
        await this.#kill(target)
        cluster.wipe(target)
        return () => this.#start(target)
      case 'fork-node':
        return this.#fork(target)
      case 'clock-skew':
        this.#setClock(target, harm.skew)
        return () => this.#setClock(target, TRUE_CLOCK)
      case 'quorum-loss': {
        const lost = cluster.servers.map(({ name }) => name).filter((name) => name !== harm.spared)
        await Promise.all(lost.map((name) => this.#kill(name)))
        return async () => {
          await Promise.all(lost.map((name) => this.#start(name)))
        }
      }
      case 'partition': {
        const others = harm.others?.filter((name) => name !== target)
        return this.#harmNetwork(() =>
          cluster.partition(target, harm.direction, others?.length === 0 ? undefined : others),
        )
      }
      case 'slow':
        return this.#harmNetwork(() => cluster.slow(target, harm.ms))
    }
  }

  #harmNetwork(harm: () => void): Undo {
    this.#network.add(harm)
    harm()
    return () => {
      this.#network.delete(harm)
      this.#parts.cluster.heal()
      for (const other of this.#network) other()
    }
  }

  async #kill(name: string): Promise<void> {
    this.#ending.add(name)
    await this.#parts.cluster.kill(name)
  }

  /** Once: without a quorum a node may have to give up; `heal` tries again. */
  async #start(name: string): Promise<void> {
    try {
      await this.#parts.cluster.restart(name)
      this.#ending.delete(name)
    } catch (cause) {
      this.#parts.say(`${name} did not start: ${lastLine(cause)}`)
    }
  }

  #setClock(name: string, skew: Skew): void {
    writeFileSync(clockFile(this.#parts.cluster.dir, name), JSON.stringify(skew))
  }

  /** The folder as it is now, copied file by file, and a second process on the copy. */
  async #fork(name: string): Promise<Undo> {
    const { cluster, say } = this.#parts
    const original = cluster.nodes.find((node) => node.name === name) as NodeProcess
    const forkName = `node-${cluster.nodes.length + 1}`
    const dir = join(cluster.dir, forkName)
    const isPlain = (path: string): boolean => !basename(path).endsWith('.sock')
    cpSync(original.dir, dir, { recursive: true, filter: isPlain })
    this.#ending.add(forkName)
    try {
      const fork = await cluster.addNode(Injector.nodeOptions(cluster.dir, forkName))
      this.#forks.set(name, fork)
    } catch (cause) {
      say(`the copy of ${name} did not start: ${lastLine(cause)}`)
    }
    return async () => {
      this.#forks.delete(name)
      await this.#kill(forkName)
      rmSync(dir, { recursive: true, force: true })
    }
  }

  /**
   * Undoes whatever is there, and starts what is dead. Throws when a process of `names` does not
   * start within `withinMs`.
   */
  async heal(names: readonly string[], withinMs: number): Promise<void> {
    const { cluster, nowMs } = this.#parts
    this.#network.clear()
    cluster.heal()
    const untilMs = nowMs() + withinMs
    for (const name of names) if (cluster.find(name).state === 'paused') cluster.resume(name)
    await Promise.all(names.map((name) => this.#startUntil(name, untilMs)))
  }

  async #startUntil(name: string, untilMs: number): Promise<void> {
    const { cluster, nowMs } = this.#parts
    for (;;) {
      try {
        await cluster.restart(name)
        this.#ending.delete(name)
        return
      } catch (cause) {
        if (nowMs() > untilMs) throw cause
        await sleep(AGAIN_MS)
      }
    }
  }

  async #until(atMs: number, signal: AbortSignal): Promise<void> {
    const leftMs = atMs - this.#parts.nowMs()
    if (leftMs > 0 && !signal.aborted)
      await sleep(leftMs, undefined, { signal }).catch(() => undefined)
  }
}

const clockFile = (dir: string, name: string): string => join(dir, `${name}.clock`)

const lastLine = (cause: unknown): string =>
  String((cause as Error).message)
    .trim()
    .split('\n')
    .at(-1) ?? ''
