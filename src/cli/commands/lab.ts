/** `holdfast lab`: does something to a cluster that runs on this machine, and says what to expect. */
import { resolve } from 'node:path'
import type { LabCall, LabProcess, LabView } from '../../verify/lab.ts'
import { callLab } from '../../verify/lab-client.ts'
import type { NetworkFault } from '../../verify/network.ts'
import { EXIT } from '../exit-codes.ts'
import type { Shell } from '../shell.ts'
import { printTable } from '../text-table.ts'

export async function labCommand(shell: Shell, dir: string, call: LabCall): Promise<number> {
  const view = await callLab(resolve(dir), call, shell.signal)
  if (shell.json) await shell.outJson({ ...call, ...view })
  else if (call.action === 'show') await show(shell, view)
  else for (const line of [didWhat(call, view), ...expected(call, view)]) await shell.out(line)
  return EXIT.ok
}

async function show(shell: Shell, { nodes, servers, faults, leader }: LabView): Promise<void> {
  const rows = [...servers, ...nodes].map(({ name, state, pid, url }) => ({
    process: name,
    state: name === leader ? `${state}, leads the log` : state,
    pid,
    url,
    network: faults
      .filter((fault) => fault.name === name)
      .map(faultText)
      .join('; '),
  }))
  await printTable(shell, rows)
  const text = quorumText(servers, faults)
  if (text !== undefined) shell.say(text)
}

function faultText(fault: NetworkFault): string {
  switch (fault.kind) {
    case 'cut':
      return 'cut off'
    case 'slow':
      return `${fault.ms} ms slower each way`
    case 'partition': {
      const { direction, others } = fault
      const from = others === undefined ? 'the others' : others.join(', ')
      if (direction === 'both') return `parted from ${from}`
      return direction === 'in' ? `hears nothing of ${from}` : `is not heard by ${from}`
    }
  }
}

function didWhat(call: Exclude<LabCall, { readonly action: 'show' }>, view: LabView): string {
  if (call.action === 'heal') return 'the network is whole again'
  const { name } = call
  const pid = [...view.nodes, ...view.servers].find((one) => one.name === name)?.pid
  switch (call.action) {
    case 'kill':
      return `killed ${name}`
    case 'restart':
      return `${name} runs (process ${pid})`
    case 'pause':
      return `paused ${name} (process ${pid})`
    case 'resume':
      return `${name} goes on (process ${pid})`
    case 'cut':
      return `cut ${name} off: its connections were reset`
    case 'slow':
      return `${name} is ${call.ms} ms slower each way`
    case 'partition':
      return `${name}: ${faultText({ ...call, kind: 'partition' })}`
  }
}

/** What somebody who watches will see, and how it ends. */
function expected(call: LabCall, { servers, faults, leader }: LabView): string[] {
  if (call.action === 'show') return []
  if (call.action === 'heal') {
    const dead = servers.filter(({ state }) => state !== 'running').map(({ name }) => name)
    const still = dead.length === 0 ? [] : [`still not running: ${dead.join(', ')}`]
    return ['what was held arrives now; who was behind catches up', ...still]
  }
  const { action, name } = call
  if (action === 'slow') return ['writes through it take that much longer; holdfast lab heal']
  if (action === 'restart' || action === 'resume') return ['it catches up from the log']
  const back = undo(action, name)
  const quorum = quorumText(servers, faults)
  const isServer = servers.some((server) => server.name === name)
  if (!isServer) {
    return [
      'what it acked stays; callers of other nodes go on, and its own go to another node',
      ...(action === 'kill' ? [] : ['its own calls wait, and fail when their time is over']),
      back,
    ]
  }
  if (quorum !== undefined) return [quorum, back]
  if (name !== leader) return ['the log goes on with the others; what was acked stays', back]
  return [
    'it led the log: writes wait until another does (some seconds) and go on by themselves',
    'what was acked stays; reads of level local go on',
    back,
  ]
}

function undo(action: 'kill' | 'pause' | 'cut' | 'partition', name: string): string {
  if (action === 'kill') return `holdfast lab restart ${name} brings it back`
  return action === 'pause'
    ? `holdfast lab resume ${name} lets it go on`
    : 'holdfast lab heal makes the network whole'
}

/** Undefined when the log has a quorum. */
function quorumText(
  servers: readonly LabProcess[],
  faults: readonly NetworkFault[],
): string | undefined {
  const parted = new Set(
    faults.filter((fault) => fault.kind === 'cut' || isWhole(fault)).map(({ name }) => name),
  )
  const there = servers.filter(({ name, state }) => state === 'running' && !parted.has(name))
  if (there.length > servers.length / 2) return undefined
  return (
    `${there.length} of ${servers.length} servers are left, no quorum: writes and linearizable ` +
    'reads wait and then fail by name; reads of level local go on'
  )
}

function isWhole(fault: NetworkFault): boolean {
  return fault.kind === 'partition' && fault.others === undefined
}
