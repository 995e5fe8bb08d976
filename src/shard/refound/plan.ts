/**
 * Where a history goes on when its log is lost (S7): at the highest place that a folder has, where all
 * the others agree. A folder that does not agree, and a node whose folder is not here, may have acked
 * what the others have not; each has to be given up by name.
 *
 * Pure.
 */
import { equalBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { digest } from '../../core/hash.ts'
import type { Position } from '../../log/log.ts'
import type { Place } from '../genesis.ts'

/** What a node's folder says of itself. */
export interface Report extends Place {
  /** The node's id, in hex. */
  readonly node: string
  readonly dir: string
  /** The nodes that it knows, in hex. */
  readonly known: readonly string[]
  /** The raw entry at a position, undefined when it is not kept. */
  readonly entry: (position: Position) => Bytes | undefined
}

export interface Plan {
  /** The folder that stands highest. */
  readonly source: Report
  /** Those at its place, itself first; and those that get what they lack from it. */
  readonly level: readonly Report[]
  readonly behind: readonly Report[]
  /** Folders that cannot go on: given up, or too far behind for what the others have kept. */
  readonly over: readonly Report[]
}

/**
 * Decides where to go on. `accepted`: ids of nodes whose writes may be lost. Throws `LossNotAccepted`,
 * with the nodes in its details, and `NotFound` without any folder.
 */
export function planRefound(reports: readonly Report[], accepted: readonly string[]): Plan {
  const givenUp = new Set(accepted)
  const kept = reports.filter(({ node }) => !givenUp.has(node))
  const [source, ...others] = kept.toSorted((a, b) => b.position - a.position)
  if (source === undefined) throw new HoldfastError('NotFound', 'no folder is left to go on from')
  assertNoneMissing(reports, givenUp)
  const level = [source]
  const behind: Report[] = []
  const over = reports.filter(({ node }) => givenUp.has(node))
  const forked: Report[] = []
  for (const report of others) {
    const found = compare(source, report)
    if (found === 'forked') forked.push(report)
    else if (found === 'trimmed') over.push(report)
    else if (report.position === source.position) level.push(report)
    else behind.push(report)
  }
  if (forked.length > 0) throw notOneHistory(source, forked)
  return { source, level, behind, over }
}

/** How the history of `report`, which is not higher, lies to that of `source`. */
function compare(source: Report, report: Report): 'same' | 'forked' | 'trimmed' {
  let chain = report.entryChain
  for (let position = report.position + 1; position <= source.position; position++) {
    const frame = source.entry(position)
    if (frame === undefined) return 'trimmed'
    chain = digest(chain, frame)
  }
  if (!equalBytes(chain, source.entryChain)) return 'forked'
  const isLevel = report.position === source.position
  return isLevel && !equalBytes(report.decisionChain, source.decisionChain) ? 'forked' : 'same'
}

function assertNoneMissing(reports: readonly Report[], givenUp: ReadonlySet<string>): void {
  const here = new Set(reports.map(({ node }) => node))
  const known = new Set(reports.flatMap((report) => report.known))
  const missing = [...known].filter((node) => !here.has(node) && !givenUp.has(node))
  if (missing.length === 0) return
  throw new HoldfastError(
    'LossNotAccepted',
    `no folder of ${missing.join(', ')} is here: what only they applied would be lost`,
    { details: { missing } },
  )
}

function notOneHistory(source: Report, forked: readonly Report[]): HoldfastError {
  const sides = forked.map(({ node, position, dir }) => `${node} at ${position} (${dir})`)
  return new HoldfastError(
    'LossNotAccepted',
    `${sides.join(', ')} and ${source.node} at ${source.position} (${source.dir}) ` +
      'have different histories: one side has to be given up',
    { details: { sides: [source.node, ...forked.map(({ node }) => node)] } },
  )
}
