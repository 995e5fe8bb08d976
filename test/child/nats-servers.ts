/** Real NATS servers of one cluster for tests, in a folder of their own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findNatsServer } from '../../scripts/nats-server.mjs'
import { makeNatsServers, type NatsServer } from '../../src/verify/nats-servers.ts'

export interface NatsServers {
  /** Names of the servers, as they name themselves. */
  readonly names: readonly string[]
  readonly urls: readonly string[]
  /** Monitoring endpoints. */
  readonly monitors: readonly string[]
  /** SIGKILL. Resolves at its end. */
  kill(index: number): Promise<void>
  /** SIGSTOP. */
  pause(index: number): void
  /** Starts a server again that was killed; leaves one that runs. */
  restart(index: number): Promise<void>
  /** Has a server that runs take other lines about who may do what. */
  reload(index: number, access: readonly string[]): void
  stop(): Promise<void>
}

export interface TestServersOptions {
  /** `sync_interval` of each server. Default 'always' for all. */
  readonly sync?: readonly string[] | undefined
  /** Lines of their configuration about who may do what. Default: everybody everything. */
  readonly access?: readonly string[] | undefined
  /** `max_payload`, in bytes. Default the servers' own. */
  readonly maxPayload?: number | undefined
}

/** Who may ask the servers about themselves. */
export const SYSTEM_USER = { user: 'system', password: 'secret' }

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
  options: TestServersOptions = {},
): Promise<NatsServers> {
  const { path: binary } = findNatsServer()
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-nats-'))
  const servers = await makeNatsServers({ binary, dir, count, system: SYSTEM_USER, ...options })
  await Promise.all(servers.map((server) => server.start()))
  const at = (index: number): NatsServer => servers[index] as NatsServer
  return {
    names: servers.map(({ name }) => name),
    urls: servers.map(({ url }) => url),
    monitors: servers.map(({ monitor }) => monitor),
    kill: (index) => at(index).end(),
    pause: (index) => at(index).pause(),
    restart: (index) => at(index).start(),
    reload: (index, access) => at(index).reload(access),
    stop: async () => {
      await Promise.all(servers.map((server) => server.end()))
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
