/** Runs a user's app on a node: what it imports as `holdfast`, and its way over the network. */
import { ERRORS, HoldfastError, isHoldfastError } from '../core/errors.ts'
import { compareKeys } from '../core/key-codec.ts'
import { LIMITS } from '../core/limits.ts'
import type { DatabaseOptions } from '../table/start-database.ts'
import { strong, unique, unvalidated, type TableDefinitions } from '../table/schema.ts'
import { ambientOf } from './ambient.ts'
import { startApp, type StartedApp } from './app/app.ts'
import type { AppBundle } from './app/bundle.ts'
import { connectionError, type HostHandler, type Transport } from './app/virtual-fetch.ts'
import type { Kernel } from './kernel.ts'
import type { Incarnation, Running } from './machine.ts'
import { NetworkError, request } from './sim-connection.ts'
import type { SimNetwork } from './sim-network.ts'
import type { Timeline } from './timeline.ts'

export interface HostedApp {
  readonly bundle: AppBundle
  /** Environment variables of every node. */
  readonly env: Readonly<Record<string, string>>
  /** What answers for hosts outside of the cluster, by name. */
  readonly hosts: Readonly<Record<string, HostHandler>>
}

export type SimulatedOpen = (
  options?: DatabaseOptions<TableDefinitions> & { readonly memory?: boolean | undefined },
) => Promise<unknown>

/** What works on folders: there are none here. */
const OF_FOLDERS = [
  'adopt',
  'backup',
  'listBackups',
  'refound',
  'restore',
  'restoreTable',
  'verifyBackup',
]

/** All that `holdfast` exports, with an `open` of the simulated machine. */
function simulatedHoldfast(open: SimulatedOpen): Readonly<Record<string, unknown>> {
  const refused = OF_FOLDERS.map((name) => [name, () => Promise.reject(noFolders(name))] as const)
  return {
    ...Object.fromEntries(refused),
    ERRORS,
    HoldfastError,
    LIMITS,
    compareKeys,
    isHoldfastError,
    open,
    strong,
    unique,
    unvalidated,
  }
}

function noFolders(name: string): HoldfastError {
  return new HoldfastError(
    'Unsupported',
    `${name} works on folders, which a simulated machine has none of; test it with real ones`,
  )
}

export interface HostParts<R extends Running> {
  readonly kernel: Kernel
  readonly timeline: Timeline
  readonly incarnation: Incarnation<R>
  readonly nodes: readonly string[]
  readonly transport: Transport
  readonly open: SimulatedOpen
  /** Told of an error that nobody caught: a process ends of it. */
  readonly onUncaught: (error: unknown) => void
}

/** Starts the app on an incarnation. Rejects with what it throws. */
export function hostApp<R extends Running>(
  { bundle, env, hosts }: HostedApp,
  parts: HostParts<R>,
): Promise<StartedApp> {
  const { kernel, timeline, incarnation, nodes, transport, open, onUncaught } = parts
  const { machine, owner, ended } = incarnation
  const random = kernel.random(`app/${owner.name}`)
  return startApp({
    bundle,
    provide: { holdfast: simulatedHoldfast(open) },
    owner,
    as: (whose, work) => kernel.as(whose, work),
    ambient: ambientOf(incarnation.env, random),
    self: machine.name,
    nodes,
    transport,
    hosts,
    env,
    ended,
    onLine: ({ level, text }) => timeline.add(kernel.nowMs, machine.name, `${level}: ${text}`),
    onUncaught: (error) => {
      onUncaught(error)
      machine.exited(incarnation, error)
    },
    onExit: (code) => machine.exited(incarnation, `process.exit(${code})`),
  })
}

/** Carries requests over the simulated network; `serve` answers on the machine they lead to. */
export function transportOf(
  network: SimNetwork,
  serve: (machine: string, asked: Request) => Promise<Response>,
): Transport {
  return async (from, host, asked) => {
    const label = `${asked.method} ${new URL(asked.url).pathname}`
    try {
      return await request(network, from, host, label, () => serve(host, asked))
    } catch (cause) {
      if (!(cause instanceof NetworkError)) throw cause
      throw connectionError(
        cause.code === 'ETIMEDOUT' ? 'UND_ERR_HEADERS_TIMEOUT' : cause.code,
        host,
      )
    }
  }
}
