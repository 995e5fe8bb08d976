/** Real NATS servers of one cluster, as processes of their own, each in a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findNatsServer } from '../../scripts/nats-server.mjs'

export interface NatsServers {
  /** Names of the servers, as they name themselves. */
  readonly names: readonly string[]
  readonly urls: readonly string[]
  /** Monitoring endpoints. */
  readonly monitors: readonly string[]
  /** Resolves at its end, or at once when the signal ends nothing. Default SIGKILL. */
  kill(index: number, signal?: NodeJS.Signals): Promise<void>
  /** Starts a server again that was killed; leaves one that runs. */
  restart(index: number): Promise<void>
  /** Has a server that runs take other lines about who may do what. */
  reload(index: number, access: readonly string[]): void
  stop(): Promise<void>
}

export interface NatsServersOptions {
  /** `sync_interval` of each server. Default 'always' for all. */
  readonly sync?: readonly string[] | undefined
  /** Lines of their configuration about who may do what. Default: everybody everything. */
  readonly access?: readonly string[] | undefined
  /** `max_payload`, in bytes. Default the servers' own. */
  readonly maxPayload?: number | undefined
}

/** Who may ask the servers about themselves. */
export const SYSTEM_USER = { user: 'system', password: 'secret' }

const EVERYBODY = [
  `accounts { SYS { users: [{ user: ${SYSTEM_USER.user}, password: ${SYSTEM_USER.password} }] }`,
  'APP { jetstream: enabled, users: [{ user: app, password: app }] } }',
  'system_account: SYS',
  'no_auth_user: app',
]

interface Server {
  readonly name: string
  readonly config: string
  /** What its configuration says of all else than access. */
  readonly lines: readonly string[]
  child: ChildProcess | undefined
  /** What it said, for when it does not start. */
  said: string
}

/** Ports of one server. */
const PORTS = 3

/**
 * Why no NATS server can be had here, said on stderr as well; undefined when one can. `what`: what
 * is not tested without one.
 */
export function natsServerMissing(what: string): string | undefined {
  try {
    findNatsServer()
    return undefined
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    process.stderr.write(`\nSKIPPED: ${what}: ${why}\n\n`)
    return why
  }
}

/** Starts `count` servers, of one cluster when they are several. */
export async function startNatsServers(
  count: number,
  options: NatsServersOptions = {},
): Promise<NatsServers> {
  const { path } = findNatsServer()
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-nats-'))
  const ports = await freePorts(count * PORTS)
  const routes = ports.slice(count, 2 * count).map((port) => `nats-route://127.0.0.1:${port}`)
  const servers = Array.from({ length: count }, (_, i): Server => {
    const name = `nats-${i + 1}`
    const folder = join(dir, name)
    mkdirSync(folder)
    const config = join(folder, 'server.conf')
    const cluster = `cluster { name: test, listen: "127.0.0.1:${ports[count + i]}", routes: [${routes.join(', ')}] }`
    const lines = [
      `server_name: ${name}`,
      `listen: "127.0.0.1:${ports[i]}"`,
      `http: "127.0.0.1:${ports[2 * count + i]}"`,
      `jetstream { store_dir: "${folder}", sync_interval: ${options.sync?.[i] ?? 'always'} }`,
      ...(options.maxPayload === undefined ? [] : [`max_payload: ${options.maxPayload}`]),
      ...(count === 1 ? [] : [cluster]),
    ]
    const server = { name, config, lines, child: undefined, said: '' }
    configure(server, options.access ?? EVERYBODY)
    return server
  })
  // A run that is ended by force leaves no server behind.
  const killAll = (): void => servers.forEach(({ child }) => child?.kill('SIGKILL'))
  process.once('exit', killAll)
  await Promise.all(servers.map((server) => start(path, server)))
  return {
    names: servers.map(({ name }) => name),
    urls: ports.slice(0, count).map((port) => `nats://127.0.0.1:${port}`),
    monitors: ports.slice(2 * count).map((port) => `http://127.0.0.1:${port}`),
    kill: (index, signal = 'SIGKILL') => end(servers[index] as Server, signal),
    restart: (index) => start(path, servers[index] as Server),
    reload: (index, access) => {
      configure(servers[index] as Server, access)
      servers[index]?.child?.kill('SIGHUP')
    },
    stop: async () => {
      process.off('exit', killAll)
      await Promise.all(servers.map((server) => end(server, 'SIGKILL')))
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

function configure({ config, lines }: Server, access: readonly string[]): void {
  writeFileSync(config, `${[...lines, ...access].join('\n')}\n`)
}

async function start(path: string, server: Server): Promise<void> {
  if (isRunning(server.child)) return
  server.said = ''
  const child = spawn(path, ['-c', server.config], { stdio: ['ignore', 'ignore', 'pipe'] })
  server.child = child
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (data: Buffer) => {
      server.said = (server.said + data.toString()).slice(-4_000)
      if (server.said.includes('Server is ready')) resolve()
    })
    child.once('error', reject)
    child.once('exit', (code) =>
      reject(new Error(`${server.name} ended (${code}): ${server.said}`)),
    )
  })
}

function isRunning(child: ChildProcess | undefined): child is ChildProcess {
  return child !== undefined && child.exitCode === null && child.signalCode === null
}

async function end({ child }: Server, signal: NodeJS.Signals): Promise<void> {
  if (!isRunning(child)) return
  if (signal === 'SIGSTOP' || signal === 'SIGCONT') {
    child.kill(signal)
    return
  }
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

/** Free as long as nobody else takes them: those of one call differ. */
async function freePorts(count: number): Promise<number[]> {
  const open = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = open.map((server) => (server.address() as { port: number }).port)
  await Promise.all(
    open.map(async (server) => {
      server.close()
      await once(server, 'close')
    }),
  )
  return ports
}
