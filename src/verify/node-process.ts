/** A node of a cluster as a process of its own, which reaches each server by a link. */
import { mkdirSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from './free-ports.ts'
import { ManagedProcess, type Launch, type OnEnd } from './managed-process.ts'
import type { NatsServer } from './nats-servers.ts'
import type { Network } from './network.ts'

export interface NodeOptions {
  /** Further arguments of `holdfast start`, or of `script`. */
  readonly args?: readonly string[] | undefined
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /**
   * What runs instead of `holdfast start`: a module, run as `node <script> <folder> <reach as JSON>
   * <args>`, which talks with this process by messages and counts as ready at once.
   */
  readonly script?: string | undefined
}

/** How a node reaches the servers: members of `ClusterOptions`. */
export interface Reach {
  readonly servers: readonly string[]
  readonly monitors: readonly string[]
}

export interface NodePlace {
  readonly name: string
  readonly dir: string
  readonly servers: readonly NatsServer[]
  readonly network: Network
  readonly onEnd: OnEnd | undefined
}

export class NodeProcess extends ManagedProcess {
  readonly dir: string
  readonly reach: Reach

  constructor(place: NodePlace, reach: Reach, port: number, options: NodeOptions) {
    const { name, dir, onEnd } = place
    const url = options.script === undefined ? `http://127.0.0.1:${port}` : ''
    super(name, url, () => launch(dir, reach, port, options), onEnd)
    this.dir = dir
    this.reach = reach
  }
}

/** Its links and its port, the same at every start. */
export async function makeNode(place: NodePlace, options: NodeOptions): Promise<NodeProcess> {
  const { name, servers, network } = place
  const reached = servers.map(async (server) => {
    const clients = await network.link(name, server.name, server.port)
    const monitor = await network.link(name, server.name, server.monitorPort)
    return { clients: `nats://127.0.0.1:${clients}`, monitor: `http://127.0.0.1:${monitor}` }
  })
  const urls = await Promise.all(reached)
  const reach = {
    servers: urls.map(({ clients }) => clients),
    monitors: urls.map(({ monitor }) => monitor),
  }
  const [port = 0] = await freePorts(1)
  return new NodeProcess(place, reach, port, options)
}

const COMMAND = fileURLToPath(new URL('../../bin/holdfast', import.meta.url))

function launch(
  dir: string,
  reach: Reach,
  port: number,
  { args = [], env, script }: NodeOptions,
): Launch {
  mkdirSync(dir, { recursive: true })
  const command = process.execPath
  if (script !== undefined) {
    return { command, args: [script, dir, JSON.stringify(reach), ...args], env, hasChannel: true }
  }
  const start = [
    ...[COMMAND, 'start', '--dir', dir, '--json', '--no-input', '--port', String(port)],
    ...['--cluster', reach.servers.join(','), '--node', basename(dir)],
    ...['--monitor', ...reach.monitors],
  ]
  // The one line of data that `start --json` gives: it serves.
  const isReady = (line: string): boolean => line.startsWith('{"serving":')
  return { command, args: [...start, ...args], env, isReady }
}
