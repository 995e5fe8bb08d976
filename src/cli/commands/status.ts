/** `holdfast status`: nodes, log, what is survived now, what is wrong and what to do. */
import { resolve } from 'node:path'
import { delay } from '../../core/env.ts'
import { isHoldfastError } from '../../core/errors.ts'
import { folderHolder, systemEnv } from '../../open.ts'
import type { CallTypes } from '../../server/operations.ts'
import { callLab } from '../../verify/lab-client.ts'
import { EXIT, Interrupted } from '../exit-codes.ts'
import { CLUSTER_DIR } from '../lab-folder.ts'
import { withSession } from '../open-session.ts'
import { printable } from '../printable.ts'
import { count, size } from '../progress.ts'
import type { Target } from '../settings/resolve.ts'
import type { Session } from '../session.ts'
import type { Shell } from '../shell.ts'
import { tableLines } from '../text-table.ts'

export interface StatusOptions {
  /** Goes on until Ctrl-C. */
  readonly watch?: boolean | undefined
}

type Status = CallTypes['status']['result']
type NodeStatus = Status['nodes'][number]

const EVERY_MS = 1_000
/** Homes the cursor, and clears what is below it. */
const REDRAW = '\u001b[H\u001b[J'

export async function statusCommand(shell: Shell, { watch }: StatusOptions): Promise<number> {
  if (watch === true) return watchStatus(shell)
  const target = await labNode(shell)
  const status = await withSession(shell, (session) => session.call('status', {}), { target })
  if (shell.json) await shell.outJson(status)
  else for (const line of statusLines(shell, status)) await shell.out(line)
  return EXIT.ok
}

/**
 * Where nothing is named and nobody has the default folder open: a node of the cluster that
 * `npm run cluster` runs here, if one does.
 */
async function labNode(shell: Shell): Promise<Target | undefined> {
  const { target, settings } = shell.settings
  const isNamed = settings.every(({ origin }) => origin !== 'default')
  if (shell.session !== undefined || isNamed || target.kind !== 'folder') return undefined
  if ((await folderHolder(target.dir)) !== undefined) return undefined
  try {
    const { nodes } = await callLab(resolve(CLUSTER_DIR), { action: 'show' }, shell.signal)
    const url = nodes.find(({ state }) => state === 'running')?.url
    return url === undefined ? undefined : { kind: 'url', url }
  } catch (error) {
    if (isHoldfastError(error, 'Unreachable')) return undefined
    throw error
  }
}

/** A node that is gone meanwhile is no end of it: it may be the one that is looked at. */
async function watchStatus(shell: Shell): Promise<number> {
  let hasShown = false
  const show = async (status: Status): Promise<void> => {
    await showNext(shell, status)
    hasShown = true
  }
  for (;;) {
    try {
      const target = await labNode(shell)
      const look = async (session: Session): Promise<never> => {
        for (;;) {
          await show(await session.call('status', {}))
          await pause(shell)
        }
      }
      await withSession(shell, look, { target })
    } catch (error) {
      if (shell.signal.aborted) throw new Interrupted()
      if (!hasShown || !isHoldfastError(error)) throw error
      if (shell.columns !== undefined && !shell.json) shell.stdout.write(REDRAW)
      shell.error(error)
      await pause(shell)
    }
  }
}

async function pause(shell: Shell): Promise<void> {
  await delay(systemEnv, EVERY_MS)
  if (shell.signal.aborted) throw new Interrupted()
}

async function showNext(shell: Shell, status: Status): Promise<void> {
  const time = new Date(systemEnv.clock.wallMs()).toISOString()
  if (shell.json) return shell.outJson({ time, ...status })
  if (shell.columns === undefined) return shell.out(`${time}  ${statusLine(status)}`)
  const lines = [time, '', ...statusLines(shell, status)]
  return shell.out(REDRAW + lines.join('\n'))
}

/** All of it on one line. */
function statusLine({ nodes, log, survives, problems }: Status): string {
  const states = ['alive', 'suspect', 'dead', 'halted'] as const
  const counted = states.flatMap((state) => {
    const some = nodes.filter((node) => node.state === state)
    return some.length === 0 ? [] : [`${some.length} ${state}`]
  })
  const lag = Math.max(...nodes.map((node) => node.lag))
  const parts = [`nodes: ${counted.join(', ')}; lag ${count(lag)}`]
  if (log !== undefined) parts.push(`log: ${logText(log)}`)
  parts.push(survives.text, ...problems.map(({ what }) => what))
  return printable(parts.join('; '))
}

function statusLines(shell: Shell, status: Status): string[] {
  const { bold, red, yellow, dim } = shell.paint
  const { kind, identity, shards, copies, durability, nodes, log, survives, problems } = status
  const place = kind === 'cluster' ? `${shards} shards × ${copies} copies` : 'one process'
  const [header = '', ...rows] = tableLines(nodes.map(cellsOf), { width: shell.columns })
  const paintOf = ({ state }: NodeStatus): ((text: string) => string) =>
    state === 'alive' ? (text) => text : state === 'suspect' ? yellow : red
  const lines = [
    `${bold(kind)} ${identity}  ${place}, acks: ${durability}`,
    '',
    bold(header),
    ...rows.map((row, i) => paintOf(nodes[i] as NodeStatus)(row)),
    '',
  ]
  if (log !== undefined) lines.push(`${bold('log')}  ${printable(log.name)}  ${logText(log)}`)
  lines.push(bold(survives.text))
  for (const { what, next } of problems) {
    lines.push('', `${red('wrong')}  ${printable(what)}`, `${dim('try')}    ${printable(next)}`)
  }
  return lines
}

function cellsOf(node: NodeStatus): Record<string, string | number> {
  const { isSelf, name, state, position, lag, stalenessMs, silentMs, version, url } = node
  return {
    node: `${isSelf ? '* ' : '  '}${name}`,
    state,
    position,
    lag,
    'stale ms': stalenessMs === undefined ? '-' : Math.round(stalenessMs),
    'heard ms': isSelf ? '-' : Math.round(silentMs),
    version,
    url: url ?? '',
  }
}

function logText({
  servers,
  lastPosition,
  bytes,
  maxBytes,
  problem,
}: NonNullable<Status['log']>): string {
  const room = maxBytes > 0 ? ` of ${size(maxBytes)}` : ''
  const kept = `position ${count(lastPosition)}, ${size(bytes)}${room}`
  if (problem !== undefined) return `silent; last known: ${kept}`
  const said = servers.map(({ name, isLeader, isCurrent }) =>
    isLeader ? `${name} leads` : `${name} ${isCurrent ? 'current' : 'NOT current'}`,
  )
  return `${said.join(', ')}; ${kept}`
}
