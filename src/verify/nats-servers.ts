/** NATS servers as processes of their own, each in a folder of its own, of one cluster when several. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from './free-ports.ts'
import { ManagedProcess, type OnEnd } from './managed-process.ts'

export interface NatsServersOptions {
  /** The program. */
  readonly binary: string
  /** Each server has a folder of its name in it, which is kept. */
  readonly dir: string
  readonly count: number
  /** `sync_interval` of each server. Default 'always' for all. */
  readonly sync?: readonly string[] | undefined
  /** `max_payload`, in bytes. Default the servers' own. */
  readonly maxPayload?: number | undefined
  /** Who may ask the servers about themselves. Default nobody. */
  readonly system?: { readonly user: string; readonly password: string } | undefined
  /** Lines of their configuration about who may do what, in place of `system`. */
  readonly access?: readonly string[] | undefined
  /**
   * The port by which server `from` reaches the routes of server `to`; nobody then learns of another
   * way than those that it was given. Default `routePort` itself.
   */
  readonly route?: ((from: string, to: string, routePort: number) => Promise<number>) | undefined
  readonly onEnd?: OnEnd | undefined
}

export class NatsServer extends ManagedProcess {
  /** Its client port. */
  readonly port: number
  readonly monitorPort: number
  readonly dir: string
  readonly #config: ServerConfig
  #access: readonly string[] | undefined

  constructor(config: ServerConfig, binary: string, onEnd: OnEnd | undefined) {
    const { name, dir, port, monitorPort } = config
    super(
      name,
      `nats://127.0.0.1:${port}`,
      () => ({
        command: binary,
        args: ['-c', writeConfig(config, this.#access)],
        isReady: (line) => line.includes('Server is ready'),
      }),
      onEnd,
    )
    this.dir = dir
    this.#config = config
    this.#access = config.options.access
    this.port = port
    this.monitorPort = monitorPort
  }

  /** Has it take other lines about who may do what; now, when it runs. */
  reload(access: readonly string[]): void {
    this.#access = access
    writeConfig(this.#config, access)
    this.child?.kill('SIGHUP')
  }

  /** Its monitoring endpoint. */
  get monitor(): string {
    return `http://127.0.0.1:${this.monitorPort}`
  }
}

interface ServerConfig {
  readonly name: string
  readonly dir: string
  readonly port: number
  readonly monitorPort: number
  readonly routePort: number
  /** Where it reaches the other servers. */
  readonly routes: readonly number[]
  readonly sync: string
  readonly options: NatsServersOptions
}

/** Of one server: clients, monitoring, routes. */
const PORTS = 3
/** Where nobody listens. */
const NOWHERE = '127.0.0.1:1'

/** Makes `nats-1`, `nats-2`, ...; none is started yet. */
export async function makeNatsServers(options: NatsServersOptions): Promise<NatsServer[]> {
  const { binary, dir, count, sync, route, onEnd } = options
  const ports = await freePorts(count * PORTS)
  const names = Array.from({ length: count }, (_, i) => `nats-${i + 1}`)
  const portOf = (i: number, which: number): number => ports[i * PORTS + which] as number
  return Promise.all(
    names.map(async (name, i) => {
      const others = names.filter((other) => other !== name)
      const routes = others.map((other) => {
        const routePort = portOf(names.indexOf(other), 2)
        return route?.(name, other, routePort) ?? Promise.resolve(routePort)
      })
      const config: ServerConfig = {
        name,
        dir: join(dir, name),
        port: portOf(i, 0),
        monitorPort: portOf(i, 1),
        routePort: portOf(i, 2),
        routes: await Promise.all(routes),
        sync: sync?.[i] ?? 'always',
        options,
      }
      return new NatsServer(config, binary, onEnd)
    }),
  )
}

/** At each start: the folder may have been removed since. Returns the file's path. */
function writeConfig(config: ServerConfig, access: readonly string[] | undefined): string {
  const { name, dir, port, monitorPort, routePort, routes, sync } = config
  const { maxPayload, system, route } = config.options
  const urls = routes.map((to) => `nats-route://127.0.0.1:${to}`).join(', ')
  const lines = [
    `server_name: ${name}`,
    `listen: "127.0.0.1:${port}"`,
    `http: "127.0.0.1:${monitorPort}"`,
    `jetstream { store_dir: "${dir}", sync_interval: ${sync} }`,
    ...(maxPayload === undefined ? [] : [`max_payload: ${maxPayload}`]),
    ...(routes.length === 0
      ? []
      : [
          `cluster { name: holdfast, listen: "127.0.0.1:${routePort}", routes: [${urls}]`,
          route === undefined ? '}' : `no_advertise: true, advertise: "${NOWHERE}" }`,
        ]),
    ...(access ?? accessOf(system)),
  ]
  mkdirSync(dir, { recursive: true })
  const path = join(dir, 'server.conf')
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

/** Everybody may do everything, and one user ask the servers about themselves. */
function accessOf(system: NatsServersOptions['system']): readonly string[] {
  if (system === undefined) return []
  return [
    `accounts { SYS { users: [{ user: ${system.user}, password: ${system.password} }] }`,
    'APP { jetstream: enabled, users: [{ user: app, password: app }] } }',
    'system_account: SYS',
    'no_auth_user: app',
  ]
}
