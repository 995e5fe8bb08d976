/** How the database is: its nodes, its log, what it survives now, what is wrong and what to do. */
import type { Member } from '../cluster/membership.ts'
import { survivalOf, type Survival } from '../cluster/survival.ts'
import { hex } from '../core/bytes.ts'
import { ERRORS, type ErrorCode } from '../core/errors.ts'
import { VERSION } from '../core/version.ts'
import type { LogStatus } from '../log/log-status.ts'
import type { Position } from '../log/log.ts'
import type { Durability } from '../shard/durability.ts'
import type { Node } from '../shard/node.ts'

/** `suspect`: heartbeats are late. `dead`: none for 10 s. `halted`: it answers reads alone. */
export type NodeState = 'alive' | 'suspect' | 'dead' | 'halted'

export interface NodeStatus {
  /** For ever, in hex. */
  readonly id: string
  /** The beginning of the id, unless it was given one. */
  readonly name: string
  /** The one that says all this. */
  readonly isSelf: boolean
  readonly state: NodeState
  /** The newest position applied and flushed there, and entries of the log after it. */
  readonly position: Position
  readonly lag: number
  /** How old what is read there may be, in milliseconds; undefined before a linearizable read. */
  readonly stalenessMs: number | undefined
  /** Milliseconds since it was heard. */
  readonly silentMs: number
  /** φ of the failure detector: it is suspected from 8 on. */
  readonly suspicion: number
  readonly version: string
  readonly startedAt: Date
  /** Where it serves HTTP. */
  readonly url: string | undefined
  /** Why it halted. */
  readonly halted: { readonly code: string; readonly message: string } | undefined
}

export interface StatusProblem {
  readonly what: string
  /** What to do about it. */
  readonly next: string
}

export interface DatabaseStatus {
  readonly kind: 'embedded' | 'cluster'
  readonly identity: string
  readonly version: string
  /** What an ack means. */
  readonly durability: Durability
  readonly shards: number
  /** Of each shard: one on each node that is alive. */
  readonly copies: number
  readonly nodes: readonly NodeStatus[]
  /** Undefined where the log is this process's own. */
  readonly log: LogStatus | undefined
  readonly survives: Survival
  readonly problems: readonly StatusProblem[]
}

/** Above this share of its room a log is called nearly full. */
const NEARLY_FULL = 0.8
/** Milliseconds that the log may owe an answer before it is told. */
const SILENT_MS = 2_000

/** Every node of this log that was heard, this one first. */
export function nodesOf(node: Node): NodeStatus[] {
  const { peers } = node
  if (peers === undefined) return [embedded(node)]
  const own: Member = { heartbeat: peers.own(), state: 'alive', suspicion: 0, silentMs: 0 }
  const { log } = own.heartbeat
  const isOther = ({ heartbeat }: Member): boolean =>
    heartbeat.node !== node.id && heartbeat.log === log
  const others = peers.members().filter(isOther)
  const last = Math.max(...[own, ...others].map(({ heartbeat }) => heartbeat.last))
  return [own, ...others].map((member) => nodeOf(member, last, member === own))
}

function nodeOf(member: Member, last: Position, isSelf: boolean): NodeStatus {
  const { heartbeat, state, suspicion, silentMs } = member
  const { node, name, at, stalenessMs, version, startedMs, url, halted } = heartbeat
  return {
    id: node,
    name,
    isSelf,
    state: state !== 'dead' && halted !== undefined ? 'halted' : state,
    position: at.position,
    lag: Math.max(0, last - at.position),
    stalenessMs,
    silentMs,
    suspicion,
    version,
    startedAt: new Date(startedMs),
    url,
    halted,
  }
}

function embedded({ id, loop, startedMs, url }: Node): NodeStatus {
  const halted = loop.halted && { code: loop.halted.code, message: loop.halted.message }
  return {
    id,
    name: 'this process',
    isSelf: true,
    state: halted === undefined ? 'alive' : 'halted',
    position: loop.flushed,
    lag: 0,
    stalenessMs: 0,
    silentMs: 0,
    suspicion: 0,
    version: VERSION,
    startedAt: new Date(startedMs),
    url,
    halted,
  }
}

export function statusOf(
  node: Node,
  log: LogStatus | undefined,
  background: readonly string[],
): DatabaseStatus {
  const nodes = nodesOf(node)
  const isCluster = node.peers !== undefined
  const copies = nodes.filter(({ state }) => state === 'alive').length
  return {
    kind: isCluster ? 'cluster' : 'embedded',
    identity: hex(node.loop.state.identity),
    version: VERSION,
    durability: node.durability,
    shards: node.shards,
    copies,
    nodes,
    log,
    survives: isCluster ? survivalOf(copies, log) : alone(node.durability),
    problems: [
      ...nodes.flatMap(ofNode),
      ...(isCluster ? [...ofCluster(node, nodes), ...ofLog(node, log)] : []),
      ...background.map((what) => ({ what, next: 'it is tried again; see what it names' })),
    ],
  }
}

function alone(durability: Durability): Survival {
  const text =
    durability === 'memory'
      ? 'survives nothing: the data is in the memory of this process'
      : 'survives a crash of the process and of the machine; the loss of the disk by a backup alone'
  return { nodes: 0, servers: undefined, text }
}

function ofNode({ name, isSelf, state, silentMs, halted }: NodeStatus): StatusProblem[] {
  const who = isSelf ? 'this node' : `node ${name}`
  if (state === 'alive') return []
  if (state === 'halted')
    return [{ what: `${who} halted: ${halted?.message}`, next: advice(halted) }]
  const what = `${who} has not been heard for ${Math.round(silentMs / 1_000)} s`
  const next =
    state === 'suspect'
      ? 'wait: it may be slow, or cut off'
      : 'start it again, or mend its network; it catches up by itself'
  return [{ what, next }]
}

function advice(halted: NodeStatus['halted']): string {
  const code = halted?.code ?? ''
  return Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].advice : 'read the cause there'
}

function ofCluster(node: Node, nodes: readonly NodeStatus[]): StatusProblem[] {
  const found: StatusProblem[] = []
  if (node.peers?.withholds === true) {
    found.push({
      what: 'writes wait: a node halted ahead of this one, or nodes have different histories',
      next: 'wait some seconds: this node catches up, or the minority halts',
    })
  }
  const own = node.peers?.own().log
  for (const { heartbeat, state } of node.peers?.members() ?? []) {
    if (state === 'dead') continue
    if (heartbeat.node === node.id) {
      found.push({
        what: 'another process runs as this node: its folder was copied',
        next: 'stop one of them, and start it with an empty folder',
      })
    } else if (heartbeat.log !== own && heartbeat.log !== '') {
      found.push({
        what: `node ${heartbeat.name} reads another log of this database, and does not count`,
        next: 'start it again; refused, with an empty folder, its old one kept aside',
      })
    }
  }
  const versions = new Set(nodes.map(({ version }) => version))
  if (versions.size > 1) {
    found.push({
      what: `nodes run different versions: ${[...versions].sort().join(', ')}`,
      next: 'upgrade the others',
    })
  }
  return found
}

function ofLog(node: Node, log: LogStatus | undefined): StatusProblem[] {
  const found: StatusProblem[] = []
  const silentMs = node.peers?.own().logSilentMs ?? 0
  if (silentMs >= SILENT_MS) {
    found.push({
      what: `the log has owed this node an answer for ${Math.round(silentMs / 1_000)} s`,
      next: 'see that most of its NATS servers run, and reach each other and this machine',
    })
  }
  if (log !== undefined) found.push(...ofServers(log))
  if (log !== undefined && node.durability === 'quorum') {
    found.push({
      what: 'it is not known that the servers sync before they ack',
      next: 'set sync_interval: always, and name their monitoring endpoints when nodes start',
    })
  }
  return found
}

function ofServers({ servers, bytes, maxBytes, problem }: LogStatus): StatusProblem[] {
  const found: StatusProblem[] = []
  if (problem !== undefined) {
    found.push({
      what: `the servers of the log do not answer: ${problem}`,
      next: 'start NATS servers until most of those that keep it run, or mend the way to them',
    })
  } else {
    for (const { name, isCurrent } of servers) {
      if (isCurrent) continue
      const what = `the server ${name} is not current`
      found.push({ what, next: 'start it, or wait: it catches up by itself' })
    }
  }
  if (maxBytes > 0 && bytes > NEARLY_FULL * maxBytes) {
    const share = Math.round((100 * bytes) / maxBytes)
    const next =
      'let a second node run: what two have is let go; or give its stream more bytes (max_bytes)'
    found.push({ what: `the log is ${share} % full`, next })
  }
  return found
}
