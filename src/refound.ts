/**
 * Founds a cluster's log anew where the engine lost it (S7): from the folders of its stopped nodes.
 * Nothing is changed before it is known that no acked write is given up unasked; then
 *
 *   entries to those behind ─▶ folders sealed ─▶ old stream sealed ─▶ new log ─▶ genesis ─▶ whose?
 *
 * Each step can be the last one before a crash, and the next call goes on.
 */
import { equalBytes, hex, type Bytes } from './core/bytes.ts'
import { HoldfastError, isHoldfastError } from './core/errors.ts'
import { DIGEST_BYTES } from './core/hash.ts'
import { encodeControl } from './log/entry-codec.ts'
import { readEntry } from './log/entry-store.ts'
import type { Log } from './log/log.ts'
import {
  clusterOf,
  DATABASE,
  openClusterLog,
  retireClusterLog,
  systemEnv,
  withFolder,
  type ClusterOptions,
} from './open.ts'
import { storedState } from './shard/apply-loop.ts'
import { beginLog, isBegunBy, markOf } from './shard/begin-log.ts'
import { parentIn } from './shard/genesis.ts'
import { readHead } from './shard/log-head.ts'
import { entryAt } from './shard/log-identity.ts'
import type { LogState } from './shard/log-state.ts'
import { readNodeId } from './shard/node-id.ts'
import { handOver } from './shard/refound/hand-over.ts'
import { planRefound, type Plan, type Report } from './shard/refound/plan.ts'
import { putSeal, readSeal, type Seal } from './shard/seal.ts'
import { StoreBatch, type Store } from './store/store.ts'

export interface RefoundOptions {
  /** The cluster, and with `name` the database. */
  readonly cluster: string | readonly string[] | ClusterOptions
  /** The folders of its nodes, which are stopped. */
  readonly folders: readonly string[]
  /** Ids of nodes whose folders are not here, or give way: what only they applied is lost. */
  readonly acceptLoss?: readonly string[] | undefined
}

export interface RefoundedNode {
  readonly node: string
  readonly dir: string
  /** Where its folder stood. */
  readonly position: number
  /** `lost`: what it has goes no further; it starts over with an empty folder. */
  readonly now: 'level' | 'caught-up' | 'lost'
}

export interface Refounded {
  readonly database: string
  readonly identity: string
  /** The last position of the old log: all up to it is kept. */
  readonly position: number
  readonly nodes: readonly RefoundedNode[]
}

interface Folder {
  readonly report: Report
  readonly store: Store
  readonly state: LogState
}

/** Stands for the old log among those whose writes may be given up. */
const OLD_LOG = 'log'

/**
 * Founds the log of a cluster's database anew, where the engine lost, replaced or damaged it. Its
 * position is the highest of the folders', if all agree there. Interrupted, it can be run again; the
 * nodes are opened as before once it is done.
 *
 * @throws HoldfastError `LossNotAccepted` for nodes that may have acked what is not here: name them in
 *   `acceptLoss`; `LogMismatch` when another refound was first; `InvalidArgument` for a log that is
 *   sound; `FolderNotFound`, `FolderInUse`, `Unreachable`, `LogUnavailable`
 */
export function refound(options: RefoundOptions): Promise<Refounded> {
  const open = async (rest: readonly string[], folders: readonly Folder[]): Promise<Refounded> => {
    const [dir, ...others] = rest
    if (dir === undefined) return refoundFrom(options, folders)
    return withFolder(dir, (store, path) => open(others, [...folders, folderOf(store, path)]))
  }
  return open(options.folders, [])
}

function folderOf(store: Store, dir: string): Folder {
  const state = storedState(store)
  const node = readNodeId(store)
  if (state === undefined || node === undefined || (state.alone && !sealOf(store, state))) {
    throw new HoldfastError('InvalidArgument', `${dir} is not the folder of a cluster's node`)
  }
  const { position, entryChain, decisionChain, sessions } = state
  const known = [...new Set([...sessions.values()].map((session) => hex(session.node)))]
  const entry = (at: number): Bytes | undefined => readEntry(store, at)
  const report = { node: hex(node), dir, known, entry, position, entryChain, decisionChain }
  return { report, store, state }
}

async function refoundFrom(
  { cluster, acceptLoss = [] }: RefoundOptions,
  folders: readonly Folder[],
): Promise<Refounded> {
  const options = clusterOf(cluster)
  const database = options.name ?? DATABASE
  const plan = planRefound(
    folders.map(({ report }) => report),
    acceptLoss,
  )
  const of = ({ dir }: Report): Folder => folders.find(({ report }) => report.dir === dir) as Folder
  const source = of(plan.source)
  await assertNeeded(options, source, acceptLoss.includes(OLD_LOG))
  for (const report of plan.behind) {
    await handOver(systemEnv, of(report).store, source.store, plan.source)
  }
  const next = sealOf(source.store, source.state)?.next ?? systemEnv.random.bytes(DIGEST_BYTES)
  for (const report of [...plan.level, ...plan.behind]) {
    const batch = new StoreBatch()
    putSeal(batch, { kind: 'refound', identity: source.state.identity, next, database })
    await of(report).store.write(batch)
  }
  await begin(options, source.state, next, new Set(acceptLoss))
  return { database, identity: hex(next), position: plan.source.position, nodes: nodesOf(plan) }
}

const sealOf = (store: Store, { identity }: LogState): Seal | undefined => readSeal(store, identity)

function nodesOf({ level, behind, over }: Plan): RefoundedNode[] {
  const as =
    (now: RefoundedNode['now']) =>
    ({ node, dir, position }: Report): RefoundedNode => ({ node, dir, position, now })
  return [...level.map(as('level')), ...behind.map(as('caught-up')), ...over.map(as('lost'))]
}

/**
 * Throws unless the newest log is one that this history lost: gone, sealed, shorter than the folders,
 * or with other entries.
 */
async function assertNeeded(
  cluster: ClusterOptions,
  { state, report }: Folder,
  acceptsLog: boolean,
): Promise<void> {
  const log = await openClusterLog(cluster, { mustExist: true }).catch((cause: unknown) => {
    if (isHoldfastError(cause, 'LogReset', 'LogSealed')) return undefined
    throw cause
  })
  if (log === undefined) return
  try {
    const { begun, follows } = await readHead(systemEnv, log, state)
    if (follows !== undefined) return
    if (begun !== undefined && !equalBytes(begun.identity, state.identity)) {
      const parent = parentIn(begun.genesis)
      throw another(
        parent !== undefined && equalBytes(parent.identity, state.identity)
          ? `the log was founded anew from position ${parent.position} before`
          : `the log is of another database, ${hex(begun.identity)}`,
      )
    }
    const { position } = report
    if (log.last() < position) return
    const [there, here] = [await entryAt(systemEnv, log, position), report.entry(position)]
    // A log that was made to go on from here, and has nothing yet.
    if (there === undefined && log.last() === position) return
    // What was trimmed cannot be compared: what lies behind it is not given up for that.
    const isKnown = there !== undefined && here !== undefined
    if (isKnown && !equalBytes(there, here)) return
    if (!acceptsLog || (isKnown && log.last() === position)) throw sound(log, position)
  } finally {
    await log.close()
  }
}

function sound(log: Log, position: number): HoldfastError {
  const beyond = log.last() - position
  return new HoldfastError(
    'InvalidArgument',
    beyond === 0
      ? `the log has all that the folders have, up to ${position}: open the nodes with it`
      : `the log goes on for ${beyond} entries behind ${position}: open the nodes with it, or give ` +
          `these up with --accept-loss ${OLD_LOG}`,
    { details: { position, last: log.last() } },
  )
}

function another(message: string): HoldfastError {
  return new HoldfastError('LogMismatch', message, {
    details: { next: 'holdfast start --cluster URLS   (with folders that agree with it)' },
  })
}

/** Makes the next log, and begins it. */
async function begin(
  cluster: ClusterOptions,
  state: LogState,
  next: Bytes,
  givenUp: ReadonlySet<string>,
): Promise<void> {
  const goesOn = { first: state.position + 1, mark: markOf(state) }
  const number = await retireClusterLog(cluster, { mark: goesOn.mark, least: state.epoch + 1 })
  const log = await openClusterLog(cluster, { number, goesOn })
  try {
    const begun = await beginLog(systemEnv, log, state, next)
    if (!isBegunBy(begun, next)) {
      throw another(`another refound from position ${state.position} was first`)
    }
    // Nobody is left who would: what they had under way is over.
    for (const { id, node, open } of state.sessions.values()) {
      if (!open || !givenUp.has(hex(node))) continue
      const frame = encodeControl(next, { kind: 'close', session: id })
      await log.append(frame, `${hex(next)}.close.${id}`)
    }
  } finally {
    await log.close()
  }
}
