/**
 * The door to a cluster that runs in a folder: who claims the folder serves it, by the socket and
 * protocol that a database's folder has, with one method, `lab`.
 */
import type { Socket } from 'node:net'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import type { Value } from '../core/wire.ts'
import {
  CONNECTION,
  decodeMessage,
  encodeError,
  encodeMessage,
  LineSplitter,
  type Message,
} from '../server/protocol.ts'
import { claimFolder, type Claim } from '../store/folder-claim.ts'
import type { ProcessState } from './managed-process.ts'
import type { Direction, NetworkFault } from './network.ts'
import type { ProcessCluster } from './process-cluster.ts'
import { currentLeader } from './stream-leader.ts'

export const LAB_METHOD = 'lab'

/** What is asked of a lab. */
export type LabCall =
  | { readonly action: 'kill' | 'restart' | 'pause' | 'resume' | 'cut'; readonly name: string }
  | {
      readonly action: 'partition'
      readonly name: string
      readonly direction: Direction
      /** Undefined: from all. */
      readonly others: readonly string[] | undefined
    }
  | { readonly action: 'slow'; readonly name: string; readonly ms: number }
  | { readonly action: 'heal' }
  | { readonly action: 'show' }

/** How the cluster is, once that was done. */
export interface LabView {
  readonly nodes: readonly LabProcess[]
  readonly servers: readonly LabProcess[]
  readonly faults: readonly NetworkFault[]
  /** The server that led the log before; undefined when none was known. */
  readonly leader: string | undefined
}

export interface LabProcess {
  readonly name: string
  readonly state: ProcessState
  readonly pid: number | undefined
  readonly url: string
}

export class Lab {
  readonly #claim: Claim

  private constructor(claim: Claim) {
    this.#claim = claim
  }

  /** Claims the folder of a cluster, which is made; calls wait for `serve`. Throws `FolderInUse`. */
  static async claim(dir: string): Promise<Lab> {
    const incarnation = crypto.randomUUID()
    return new Lab(await claimFolder(dir, { create: true, pid: process.pid, incarnation }))
  }

  /** `onCall` is told of each call that changes something, as `kill node-2`. */
  serve(cluster: ProcessCluster, onCall: (call: string) => void): void {
    this.#claim.serve((socket) => {
      const lines = new LineSplitter()
      // Its close says all there is to say.
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Uint8Array) => {
        try {
          for (const line of lines.push(chunk)) {
            void answer(socket, decodeMessage(line), cluster, onCall)
          }
        } catch {
          // It does not speak our protocol.
          socket.destroy()
        }
      })
      socket.write(encodeMessage({ id: CONNECTION }))
    })
  }

  async release(): Promise<void> {
    this.#claim.serve((socket) => socket.destroy())
    await this.#claim.release()
  }
}

async function answer(
  socket: Socket,
  { id, method, params }: Message,
  cluster: ProcessCluster,
  onCall: (call: string) => void,
): Promise<void> {
  let reply: Message
  try {
    if (method !== LAB_METHOD) throw noDatabase(cluster)
    const call = params as unknown as LabCall
    if (call.action !== 'show') onCall(wordsOf(call))
    reply = { id, ok: (await perform(cluster, call)) as unknown as Value }
  } catch (cause) {
    // A process that did not start says why in a plain error.
    const error = isHoldfastError(cause)
      ? cause
      : new HoldfastError('Unreachable', cause instanceof Error ? cause.message : String(cause))
    reply = { id, error: encodeError(error) }
  }
  if (!socket.destroyed) socket.write(encodeMessage(reply))
}

function wordsOf(call: LabCall): string {
  return 'name' in call ? `${call.action} ${call.name}` : call.action
}

function noDatabase({ dir, nodes }: ProcessCluster): HoldfastError {
  const message = `${dir} is the folder of a whole cluster: each node has a database in it`
  const next = `holdfast --dir ${nodes[0]?.dir ?? dir} ...`
  return new HoldfastError('Unsupported', message, { details: { dir, next } })
}

async function perform(cluster: ProcessCluster, call: LabCall): Promise<LabView> {
  const { nodes, servers } = cluster
  const leader = await currentLeader(servers, 'holdfast')
  await act(cluster, call)
  const show = ({ name, state, pid, url }: LabProcess): LabProcess => ({ name, state, pid, url })
  return { nodes: nodes.map(show), servers: servers.map(show), faults: cluster.faults, leader }
}

async function act(cluster: ProcessCluster, call: LabCall): Promise<void> {
  switch (call.action) {
    case 'kill':
      return cluster.kill(call.name)
    case 'restart':
      return cluster.restart(call.name)
    case 'pause':
      return cluster.pause(call.name)
    case 'resume':
      return cluster.resume(call.name)
    case 'cut':
      return cluster.cut(call.name)
    case 'partition':
      return cluster.partition(call.name, call.direction, call.others)
    case 'slow':
      return cluster.slow(call.name, call.ms)
    case 'heal':
      return cluster.heal()
    case 'show':
      return undefined
  }
}
