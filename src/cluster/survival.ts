/** What a cluster survives now, by its nodes and the servers of its log. */
import type { LogStatus } from '../log/log-status.ts'

export interface Survival {
  /** Nodes that may be lost before no copy of the data is left outside of the log. */
  readonly nodes: number
  /** Servers of the log that may be lost before writes wait; undefined where they are not known. */
  readonly servers: number | undefined
  /** The same in a sentence. */
  readonly text: string
}

/** `copies`: nodes that live and have not halted. */
export function survivalOf(copies: number, log: LogStatus | undefined): Survival {
  const nodes = Math.max(0, copies - 1)
  if (log === undefined)
    return { nodes, servers: undefined, text: `survives ${lost(nodes, 'node')}` }
  const { servers: all, leader, problem } = log
  const current = all.filter(({ isCurrent }) => isCurrent).length
  const needed = Math.floor(all.length / 2) + 1
  if (problem !== undefined || leader === undefined || current < needed) {
    const why = problem === undefined ? `${current} of ${all.length} servers are current` : 'silent'
    const rest = `${needed} are needed; reads go on, at ${counted(copies, 'node')}`
    return { nodes, servers: 0, text: `writes wait: the log has no leader (${why}; ${rest})` }
  }
  const servers = current - needed
  const only = current < all.length ? ` (${current} of ${all.length} are current)` : ''
  const text = `survives ${lost(servers, 'server')}${only} and ${lost(nodes, 'node')}`
  return { nodes, servers, text }
}

const lost = (count: number, what: string): string =>
  count === 0 ? `no more ${what}` : counted(count, what)

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`
