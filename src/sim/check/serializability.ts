/**
 * Strict serializability of transactions over lists and registers, in the manner of Elle (Kingsbury
 * and Alvaro, VLDB 2020): values are unique, so what was read says who wrote it, and the longest read
 * of a list says in which order. Dependencies, processes and real time make a graph; a cycle in it
 * is a history that no serial order explains. Near linear in the length of the history.
 */
import { Graph, PROCESS, REALTIME, RW, WR, WW, type Cycle } from './cycles.ts'
import { overAt } from './history.ts'
import { examineLists, linkLists } from './list-order.ts'
import { examineRegisters, linkRegisters } from './register-order.ts'
import { isCommitted, isOk, Writers, type Examination, type Transaction } from './transactions.ts'
import { Findings, type Verdict } from './verdict.ts'

export interface SerializabilityOptions {
  /**
   * The order that has to be kept besides that of the data. `realtime` (the default) is strict
   * serializability, `process` keeps each client's own order, `none` is plain serializability.
   */
  readonly order?: 'realtime' | 'process' | 'none'
}

const KIND_NAMES = new Map([
  [WW, 'ww'],
  [WR, 'wr'],
  [RW, 'rw'],
  [PROCESS, 'process'],
  [REALTIME, 'realtime'],
])

/**
 * Properties are named `strict-serializability:` (or `serializability:` without real time) and one of
 * `G0`, `G1a`, `G1b`, `G1c`, `G-single`, `G2`, the cycles among them also with `-process` or
 * `-realtime`; `internal`, `garbage-read`, `incompatible-order`, `duplicate-append`, `lost-append`,
 * `lost-update`. `history:value-written-twice` is a fault of the workload. A lost append shows in a
 * later read of its list only, so a workload ends with reads of everything.
 */
export function checkSerializable(
  history: readonly Transaction[],
  { order = 'realtime' }: SerializabilityOptions = {},
): Verdict {
  const findings = new Findings()
  findings.checked(history.length)
  const of = (indexes: readonly number[]): Transaction[] =>
    [...new Set(indexes)].flatMap((index) => history[index] ?? [])
  const prefix = order === 'realtime' ? 'strict-serializability' : 'serializability'
  const examination: Examination = {
    history,
    graph: new Graph(history.length),
    seen: new Set(),
    writers: new Writers(history, (step, indexes) =>
      findings.found('history:value-written-twice', JSON.stringify(step), of(indexes)),
    ),
    report: (anomaly, message, indexes) =>
      findings.found(`${prefix}:${anomaly}`, message, of(indexes)),
  }
  const lists = examineLists(examination)
  const registers = examineRegisters(examination)
  linkLists(examination, lists)
  linkRegisters(examination, registers)
  if (order !== 'none') linkProcesses(examination)
  if (order === 'realtime') linkTime(examination)
  for (const { name, path } of examination.graph.cycles())
    examination.report(
      name,
      pathText(history, path),
      path.map(({ from }) => from),
    )
  return findings.verdict()
}

function pathText(history: readonly Transaction[], path: Cycle['path']): string {
  const name = (index: number): string => {
    const { process = '?', call = 0 } = history[index] ?? {}
    return `${process} at ${call}`
  }
  const steps = path.map(({ from, kind, key }) => {
    const about = key === '' ? '' : ` ${key}`
    return `${name(from)} -${KIND_NAMES.get(kind) ?? '?'}${about}->`
  })
  return `${steps.join(' ')} ${name(path[0]?.from ?? 0)}`
}

/** A client's transactions follow each other, where its clock is too coarse to say so as well. */
function linkProcesses(examination: Examination): void {
  const latest = new Map<string, number>()
  for (const index of byCall(examination)) {
    const { process, call } = examination.history[index] as Transaction
    const before = latest.get(process)
    const previous = before === undefined ? undefined : examination.history[before]
    if (before !== undefined && previous !== undefined && overAt(previous) <= call)
      examination.graph.edge(before, index, PROCESS, '')
    if (isOk(examination.history[index] as Transaction)) latest.set(process, index)
  }
}

/**
 * What returned before another one was called comes before it: each return leads into a chain of
 * all returns, and each call comes out of the last one before it. Linear, where pairs are quadratic.
 */
function linkTime(examination: Examination): void {
  const { history, graph } = examination
  const called = byCall(examination)
  const returned = called
    .filter((index) => overAt(history[index] as Transaction) < Number.POSITIVE_INFINITY)
    .sort((a, b) => (history[a]?.return ?? 0) - (history[b]?.return ?? 0))
  let chain: number | undefined
  let at = 0
  for (const index of called) {
    const { call } = history[index] as Transaction
    for (let next = returned[at]; next !== undefined; next = returned[++at]) {
      if ((history[next]?.return ?? 0) >= call) break
      const link = graph.hub()
      if (chain !== undefined) graph.edge(chain, link, REALTIME, '')
      graph.edge(next, link, REALTIME, '')
      chain = link
    }
    if (chain !== undefined) graph.edge(chain, index, REALTIME, '')
  }
}

/** Those that committed. */
function byCall(examination: Examination): number[] {
  const { history } = examination
  return [...history.keys()]
    .filter((index) => isCommitted(examination, index))
    .sort((a, b) => (history[a]?.call ?? 0) - (history[b]?.call ?? 0))
}
