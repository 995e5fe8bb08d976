/** What the servers say of a log's stream. */
import type { PeerInfo, StreamInfo } from '@nats-io/jetstream'
import { NANOS_PER_MS } from '../core/nats-stream.ts'
import type { LogServer, LogStatus } from './log-status.ts'

/** The leader heard of a replica within so many milliseconds, and it is so many messages behind. */
const SEEN_MS = 2_000
const LAG_MAX = 1_000

/** `lone`: the server, where it is no cluster. `problem`: why `info` is an earlier answer. */
export function logStatus(info: StreamInfo, lone: string, problem?: string): LogStatus {
  const { config, state, cluster } = info
  const leader = cluster === undefined ? lone : cluster.leader === '' ? undefined : cluster.leader
  return {
    name: config.name,
    leader: problem === undefined ? leader : undefined,
    servers: serversOf(info, leader),
    lastPosition: state.last_seq,
    bytes: state.bytes,
    maxBytes: config.max_bytes,
    problem,
  }
}

function serversOf({ cluster }: StreamInfo, leader: string | undefined): LogServer[] {
  const servers: LogServer[] = leader === undefined ? [] : [ofLeader(leader)]
  for (const replica of cluster?.replicas ?? []) {
    servers.push({ name: replica.name, isLeader: false, isCurrent: isCurrent(replica) })
  }
  return servers.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Under load every replica is some messages behind now and then: it is counted all the same. */
function isCurrent({ current, offline, active, lag }: PeerInfo): boolean {
  // Servers leave out what is false, or 0.
  const isNear = active < SEEN_MS * NANOS_PER_MS && !(lag >= LAG_MAX)
  return !offline && (current || isNear)
}

const ofLeader = (name: string): LogServer => ({ name, isLeader: true, isCurrent: true })
