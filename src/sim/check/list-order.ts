/** What reads of lists say: the order of appends, and with it who depends on whom. */
import { RW, WR, WW } from './cycles.ts'
import { short } from './verdict.ts'
import {
  isCommitted,
  isOk,
  judgeIntermediate,
  judgeSource,
  type Examination,
  type Unique,
} from './transactions.ts'

interface ListRead {
  readonly index: number
  readonly list: readonly Unique[]
  /** How much of it is not the reader's own. */
  readonly others: number
}

/** Reads of one list. */
interface ListReads {
  readonly reads: ListRead[]
  longest: ListRead | undefined
  /** When the last of them was called. */
  lastCall: number
  /** Everything in any of them. */
  readonly values: Set<Unique>
}

export function examineLists(examination: Examination): Map<string, ListReads> {
  const lists = gatherReads(examination)
  for (const [key, list] of lists) {
    const order = list.longest?.list ?? []
    for (const value of order) list.values.add(value)
    if (list.longest !== undefined) judgeValues(examination, key, list.longest)
    for (const read of list.reads) {
      const last = read.list[read.others - 1]
      if (last !== undefined) judgeIntermediate(examination, read.index, 'list', key, last)
      if (read.list.every((value, i) => value === order[i])) continue
      const both = [read.index, list.longest?.index ?? read.index]
      const message = `list ${key} was read as ${short(read.list)} and as ${short(order)}`
      examination.report('incompatible-order', message, both)
      for (const value of read.list) list.values.add(value)
      judgeValues(examination, key, read)
    }
  }
  return lists
}

/** Adds the dependencies, and names lost appends. Comes after all that looks at reads. */
export function linkLists(examination: Examination, lists: ReadonlyMap<string, ListReads>): void {
  const { graph, writers } = examination
  for (const [key, { longest, reads }] of lists) {
    const order = longest?.list ?? []
    const writerAt = (i: number): number | undefined => {
      const value = order[i]
      const index = value === undefined ? undefined : writers.of('list', key, value)?.index
      return index !== undefined && isCommitted(examination, index) ? index : undefined
    }
    for (let i = 1; i < order.length; i++) link(graph, writerAt(i - 1), writerAt(i), WW, key)
    const last: (readonly [number, number])[] = []
    const lastWriter = writerAt(order.length - 1)
    if (lastWriter !== undefined) last.push([lastWriter, WW])
    for (const { index, others } of reads) {
      link(graph, writerAt(others - 1), index, WR, key)
      if (others < order.length) link(graph, index, writerAt(others), RW, key)
      else last.push([index, RW])
    }
    graph.everyPair(last, unread(examination, key, lists.get(key)), key)
  }
}

/**
 * Who appended what no read shows: after every read, then. An append that returned before a read
 * was called, and is in none, is lost.
 */
function unread(
  examination: Examination,
  key: string,
  list: ListReads | undefined,
): ReadonlySet<number> {
  const { history, writers, report } = examination
  const found = new Set<number>()
  for (const [value, { index }] of writers.values('list', key)) {
    const transaction = history[index]
    if (transaction === undefined || list === undefined) continue
    if (list.values.has(value) || !isCommitted(examination, index)) continue
    if (!isOk(transaction) || transaction.return >= list.lastCall) found.add(index)
    else report('lost-append', `list ${key} lost the acked append of ${value}`, [index])
  }
  return found
}

function link(
  graph: Examination['graph'],
  from: number | undefined,
  to: number | undefined,
  kind: number,
  key: string,
): void {
  if (from !== undefined && to !== undefined) graph.edge(from, to, kind, key)
}

function judgeValues(examination: Examination, key: string, { index, list }: ListRead): void {
  for (const value of list) judgeSource(examination, index, 'list', key, value)
  if (new Set(list).size < list.length)
    examination.report('duplicate-append', `list ${key} has a value twice: ${short(list)}`, [index])
}

/** Reads of transactions that committed, besides those that do not fit their own transaction. */
function gatherReads(examination: Examination): Map<string, ListReads> {
  const lists = new Map<string, ListReads>()
  for (const [index, transaction] of examination.history.entries()) {
    if (!isOk(transaction)) continue
    const own = new Map<string, Unique[]>()
    const now = new Map<string, readonly Unique[]>()
    for (const step of transaction.output ?? []) {
      if (step.kind === 'append') {
        own.set(step.key, [...(own.get(step.key) ?? []), step.value])
        const before = now.get(step.key)
        if (before !== undefined) now.set(step.key, [...before, step.value])
      }
      if (step.kind !== 'read') continue
      const { key, list } = step
      const others = list.length - (own.get(key)?.length ?? 0)
      if (fits(list, own.get(key) ?? [], now.get(key))) {
        addRead(lists, key, { index, list, others }, transaction.call)
      } else {
        const message = `list ${key} was read as ${short(list)} against the transaction's own steps`
        examination.report('internal', message, [index])
      }
      now.set(key, list)
    }
  }
  return lists
}

/** Ends with the transaction's own appends, and is what it read before, if it did. */
function fits(
  list: readonly Unique[],
  own: readonly Unique[],
  now: readonly Unique[] | undefined,
): boolean {
  const others = list.length - own.length
  if (others < 0 || own.some((value, i) => list[others + i] !== value)) return false
  return now === undefined || (now.length === list.length && now.every((v, i) => v === list[i]))
}

function addRead(lists: Map<string, ListReads>, key: string, read: ListRead, call: number): void {
  let list = lists.get(key)
  if (list === undefined) {
    list = { reads: [], longest: undefined, lastCall: Number.NEGATIVE_INFINITY, values: new Set() }
    lists.set(key, list)
  }
  list.reads.push(read)
  list.lastCall = Math.max(list.lastCall, call)
  if (read.list.length > (list.longest?.list.length ?? -1)) list.longest = read
}
