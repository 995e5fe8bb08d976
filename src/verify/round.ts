/** One round: workloads on tables of their own, faults meanwhile, healing, liveness, judgement. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Draw } from '../sim/draw.ts'
import type { Workload, WorkloadClient, WorkloadNode, WorkloadRun } from '../sim/workload.ts'
import type { HistoryFile } from './history-file.ts'
import type { Injected, Injector } from './injector.ts'
import type { Injection } from './nemesis.ts'
import type { ProcessCluster } from './process-cluster.ts'
import { RealHost, type Counts, type Found } from './real-host.ts'
import { RemoteNode } from './remote-node.ts'

export interface RoundParts {
  readonly number: number
  readonly seed: number
  readonly draw: Draw
  readonly workloads: readonly Workload[]
  /** Of each workload. */
  readonly clients: number
  readonly durationMs: number
  readonly injections: readonly Injection[]
  readonly cluster: ProcessCluster
  /** Those of the cluster that are asked; forks of them are not. */
  readonly nodes: readonly string[]
  readonly injector: Injector
  readonly history: HistoryFile
  readonly nowMs: () => number
  readonly say: (text: string) => void
  /** Ends it early, and in order. */
  readonly signal: AbortSignal
}

export interface RoundResult {
  readonly counts: readonly Counts[]
  readonly found: readonly Found[]
  readonly injected: readonly Injected[]
}

/** In the mean, between two operations of a client. */
const PAUSE_MS = 40
/** Numbers of operations, as the simulation has them: values are made of them. */
const OPERATIONS_MAX = 800
const LIVENESS_FROM = 900
/** Operations of each client after healing; all of them must be answered. */
const LIVENESS_OPERATIONS = 4
/** More than any workload has in one round. */
const CLIENTS_OF_ROUND = 1_000
/** Milliseconds after healing in which every process starts, and every node answers. */
const LIVE_MS = 60_000
const PROBE_MS = 100
/** Of what does not belong to a workload. */
export const CLUSTER = 'cluster'

interface Part {
  readonly host: RealHost
  readonly run: WorkloadRun
}

export async function runRound(parts: RoundParts): Promise<RoundResult> {
  const found: Found[] = []
  const { injector, history, nowMs, say } = parts
  injector.injected = []
  const running: Part[] = []
  try {
    for (const workload of parts.workloads) running.push(await begin(parts, workload))
    await load(parts, running)
    await heal(parts)
    for (const { host } of running) host.isHealed = true
    say('healed; everything must be answered now')
    await Promise.all(running.map((part) => live(part, parts.clients)))
    for (const { host, run } of running) {
      try {
        await run.finish()
      } catch (cause) {
        host.violated('finish', told(cause))
      }
    }
    await Promise.all(running.map((part) => drop(part)))
  } catch (cause) {
    found.push({ workload: CLUSTER, property: 'liveness', message: told(cause) })
  }
  for (const { kind, text, fromMs, toMs } of injector.injected) {
    history.line({ kind: 'fault', nemesis: kind, text, fromMs, toMs })
  }
  found.push(...running.flatMap(({ host }) => host.found))
  for (const one of found) history.line({ kind: 'violation', ...one })
  history.line({ kind: 'end', atMs: nowMs() })
  const counts = running.map(({ host }) => host.counts)
  return { counts, found, injected: injector.injected }
}

const prefixOf = (round: number, { name }: Workload): string =>
  `r${round}_${name.replaceAll('-', '_')}_`

async function begin(parts: RoundParts, workload: Workload): Promise<Part> {
  const { cluster, injector, history, number, nowMs } = parts
  const prefix = prefixOf(number, workload)
  const nodes = parts.nodes.map((name): WorkloadNode => {
    const node = cluster.nodes.find((one) => one.name === name)
    return new RemoteNode(name, () => (node === undefined ? '' : injector.urlOf(node)), prefix)
  }) as [WorkloadNode, ...WorkloadNode[]]
  let cases = 0
  const host = new RealHost({
    ...{ workload, nodes, nowMs },
    seed: `${parts.seed}/round-${number}/${workload.name}`,
    firstClient: number * CLIENTS_OF_ROUND + 1,
    onCase: (part) => history.case(workload.name, cases++, part),
  })
  for (const [name, definition] of Object.entries(workload.tables)) {
    await nodes[0].call(({ db }) => db.define(name, definition))
  }
  // Elsewhere a table is there once its definition was applied.
  for (const node of nodes) await answers(node, Object.keys(workload.tables), nowMs)
  const run = workload.begin(host)
  await run.setUp?.()
  return { host, run }
}

/** Clients of all workloads at once, and the faults of the round beside them. */
async function load(parts: RoundParts, running: readonly Part[]): Promise<void> {
  const { injector, injections, durationMs, nowMs, clients } = parts
  const beginMs = nowMs()
  const end = new AbortController()
  const over = end.signal
  const timer = setTimeout(() => end.abort(), durationMs)
  const stop = (): void => end.abort()
  parts.signal.addEventListener('abort', stop)
  const faults = injector.run(injections, beginMs, over)
  const work = running.map(({ host, run }) =>
    guarded(host, () =>
      host.clients(clients, async (client) => {
        for (let number = 1; number <= OPERATIONS_MAX && !over.aborted; number++) {
          await client.sleep(client.drawOf(`pause-${number}`).exponential(PAUSE_MS))
          await run.operation(client, number)
        }
      }),
    ),
  )
  await Promise.all([faults, ...work])
  clearTimeout(timer)
  parts.signal.removeEventListener('abort', stop)
}

/** What an operation throws is an error of the workload, or a bug that Holdfast told of itself. */
async function guarded(host: RealHost, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (cause) {
    host.violated('no-error', told(cause))
  }
}

/** Everything runs and is whole again: throws what does not come back in time. */
async function heal(parts: RoundParts): Promise<void> {
  const { cluster, injector, nodes, nowMs } = parts
  const servers = cluster.servers.map(({ name }) => name)
  await injector.heal([...servers, ...nodes], LIVE_MS)
  for (const name of nodes) {
    const node = cluster.nodes.find((one) => one.name === name)
    if (node === undefined) continue
    const prefix = prefixOf(parts.number, parts.workloads[0] as Workload)
    const tables = Object.keys(parts.workloads[0]?.tables ?? {})
    await answers(new RemoteNode(name, () => node.url, prefix), tables, nowMs)
  }
}

/** Resolves once a node gives linearizable reads of these tables. */
async function answers(
  node: WorkloadNode,
  tables: readonly string[],
  nowMs: () => number,
): Promise<void> {
  const untilMs = nowMs() + LIVE_MS
  for (;;) {
    try {
      for (const table of tables) await node.call(({ db }) => db.table(table).get('probe'))
      return
    } catch (cause) {
      if (nowMs() > untilMs) throw new Error(`${node.name} does not answer`, { cause })
      await sleep(PROBE_MS)
    }
  }
}

async function live({ host, run }: Part, clients: number): Promise<void> {
  const before = host.overdue.length
  await guarded(host, () =>
    host.clients(clients, async (client: WorkloadClient) => {
      for (let number = 1; number <= LIVENESS_OPERATIONS; number++) {
        await run.operation(client, LIVENESS_FROM + number)
      }
    }),
  )
  const overdue = host.overdue.slice(before)
  host.check('liveness', overdue.length === 0, `no outcome after healing: ${overdue.join('; ')}`)
}

/** So that a long run keeps a bounded number of rows. */
async function drop({ host }: Part): Promise<void> {
  for (const table of Object.keys(host.workload.tables)) {
    await host.nodes[0].call(({ db }) => db.drop(table))
  }
}

/** An error with what led to it. */
function told(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const why = cause.cause === undefined ? '' : ` (${told(cause.cause)})`
  return `${cause.name}: ${cause.message}${why}`
}
