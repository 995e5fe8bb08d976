/**
 * A cluster of real processes on this machine: NATS servers and nodes, with a link of our own between
 * every two that talk, so that each can be killed, paused, cut off or slowed down without privileges.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../core/errors.ts'
import type { Managed, ManagedProcess, OnEnd } from './managed-process.ts'
import { makeNatsServers, type NatsServer } from './nats-servers.ts'
import { Network, type Direction, type NetworkFault } from './network.ts'
import { makeNode, type NodeOptions, type NodeProcess } from './node-process.ts'
import { streamLeader } from './stream-leader.ts'

export interface ProcessCluster {
  readonly dir: string
  readonly nodes: readonly NodeProcess[]
  readonly servers: readonly NatsServer[]
  /** What is wrong with the network now. */
  readonly faults: readonly NetworkFault[]
  /** Starts one more node, as `node-<n>`, and resolves once it serves. */
  addNode(options?: NodeOptions): Promise<NodeProcess>
  /** The process of that name. Throws `InvalidArgument` when there is none. */
  find(name: string): Managed
  /** SIGKILL; resolves at its end. */
  kill(name: string): Promise<void>
  /** Starts one that is dead, on its folder; leaves one that is there. Resolves once it is ready. */
  restart(name: string): Promise<void>
  /** SIGSTOP. */
  pause(name: string): void
  resume(name: string): void
  /**
   * Holds what it is told (`in`), what it says (`out`), or both, on its links to `others`, by default
   * to all. Connections stay, and nothing arrives before `heal`. Of a node these are its links to the
   * servers; whoever calls its HTTP API still reaches it.
   */
  partition(name: string, direction: Direction, others?: readonly string[]): void
  /** Resets its connections to the other processes, new ones as well, until `heal`. */
  cut(name: string): void
  /** Adds milliseconds each way on its links; once more adds more. */
  slow(name: string, ms: number): void
  /** Makes the network whole. Processes stay as they are. */
  heal(): void
  /** Removes the folder of a process that is dead. Throws `InvalidArgument` when it is not. */
  wipe(name: string): void
  /** The server that leads the log of a database, default `holdfast`, as soon as there is one. */
  leader(database?: string): Promise<string>
  /** Ends all, nodes first, and nothing else. Default SIGTERM. */
  stop(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>
}

export interface ProcessClusterOptions {
  /** Each process has a folder of its name in it. They are kept: a later run goes on with them. */
  readonly dir: string
  /** The program nats-server, from 2.10.23 on. */
  readonly natsServer: string
  /** Default 3. */
  readonly servers?: number | undefined
  /** Nodes to start with, all alike and one after the other. Default 3; `addNode` adds others. */
  readonly nodes?: number | undefined
  /** How each of them is started. */
  readonly node?: NodeOptions | undefined
  /** Who may ask the servers about themselves. Default nobody. */
  readonly system?: { readonly user: string; readonly password: string } | undefined
  /** Told of each process that ended, whoever ended it. */
  readonly onEnd?: OnEnd | undefined
}

const COUNT = 3

/** Starts a cluster, and resolves once all its processes serve. What fails ends all it started. */
export async function startProcessCluster(options: ProcessClusterOptions): Promise<ProcessCluster> {
  const { dir, natsServer, servers: count = COUNT, nodes = COUNT, node, system, onEnd } = options
  const network = new Network()
  const servers = await makeNatsServers({
    ...{ binary: natsServer, dir, count, system, onEnd },
    route: (from, to, port) => network.link(from, to, port),
  })
  const cluster = new Cluster(dir, network, servers, onEnd)
  try {
    await Promise.all(servers.map((server) => server.start()))
    for (let i = 0; i < nodes; i++) await cluster.addNode(node)
    return cluster
  } catch (cause) {
    await cluster.stop('SIGKILL')
    throw cause
  }
}

class Cluster implements ProcessCluster {
  readonly dir: string
  readonly servers: readonly NatsServer[]
  readonly nodes: NodeProcess[] = []
  readonly #network: Network
  readonly #onEnd: OnEnd | undefined
  #named = 0

  constructor(
    dir: string,
    network: Network,
    servers: readonly NatsServer[],
    onEnd: OnEnd | undefined,
  ) {
    this.dir = dir
    this.#network = network
    this.servers = servers
    this.#onEnd = onEnd
  }

  get faults(): readonly NetworkFault[] {
    return this.#network.faults
  }

  async addNode(options: NodeOptions = {}): Promise<NodeProcess> {
    const { servers } = this
    const name = `node-${++this.#named}`
    const node = await makeNode(
      { name, dir: join(this.dir, name), servers, network: this.#network, onEnd: this.#onEnd },
      options,
    )
    this.nodes.push(node)
    this.nodes.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
    await node.start()
    return node
  }

  find(name: string): ManagedProcess {
    const all = [...this.nodes, ...this.servers]
    const found = all.find((one) => one.name === name)
    if (found !== undefined) return found
    const names = all.map((one) => one.name).join(', ')
    throw new HoldfastError('InvalidArgument', `there is no process ${name}; there are ${names}`)
  }

  async kill(name: string): Promise<void> {
    await this.find(name).end()
  }

  async restart(name: string): Promise<void> {
    await this.find(name).start()
  }

  pause(name: string): void {
    this.find(name).pause()
  }

  resume(name: string): void {
    this.find(name).resume()
  }

  partition(name: string, direction: Direction, others?: readonly string[]): void {
    for (const one of [name, ...(others ?? [])]) this.find(one)
    this.#network.add({ kind: 'partition', name, direction, others })
  }

  cut(name: string): void {
    this.find(name)
    this.#network.add({ kind: 'cut', name })
  }

  slow(name: string, ms: number): void {
    this.find(name)
    this.#network.add({ kind: 'slow', name, ms })
  }

  heal(): void {
    this.#network.heal()
  }

  wipe(name: string): void {
    if (this.find(name).state !== 'dead') {
      throw new HoldfastError(
        'InvalidArgument',
        `${name} is not dead; kill it before its folder goes`,
      )
    }
    rmSync(join(this.dir, name), { recursive: true, force: true })
  }

  leader(database = 'holdfast'): Promise<string> {
    return streamLeader(this.servers, database)
  }

  async stop(signal: 'SIGKILL' | 'SIGTERM' = 'SIGTERM'): Promise<void> {
    // So that nodes can settle what is under way; they end first, while their log is there.
    this.heal()
    for (const server of this.servers) server.resume()
    await Promise.all(this.nodes.map((node) => node.end(signal)))
    await Promise.all(this.servers.map((server) => server.end(signal)))
    await this.#network.close()
  }
}
