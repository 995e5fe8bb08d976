/**
 * Registers whose written values are all different, in O(n log n) (Gibbons and Korach, 1997): a write
 * and the reads of its value stand together in any order, so each such group comes wholly before or
 * wholly after each other one. It has to come before if one of its operations was over when one of
 * the other's was called; the history is right iff that holds both ways for no two groups.
 */
import { canonical } from './canonical.ts'
import { overAt, type Operation } from './history.ts'

export type RegisterInput =
  | { readonly kind: 'read'; readonly key: string }
  /** A value of undefined deletes. */
  | { readonly kind: 'write'; readonly key: string; readonly value: unknown }

export type CasInput =
  | RegisterInput
  /** The reply says whether the value was as expected, and is now the new one. */
  | {
      readonly kind: 'cas'
      readonly key: string
      readonly expected: unknown
      readonly value: unknown
    }
  /** Writes only over a value; the reply is that value, or undefined when there was none. */
  | { readonly kind: 'swap'; readonly key: string; readonly value: unknown }
  /** The reply says whether there was a value. */
  | { readonly kind: 'remove'; readonly key: string }

type Register = Operation<CasInput>

interface Group {
  write: Register | undefined
  readonly reads: Register[]
  /** The first that was over, and when; the last that was called, and when. */
  first: Register | undefined
  over: number
  last: Register | undefined
  called: number
}

/**
 * Operations that cannot be put in order, as few as will do; none when all can. Undefined when it is
 * for others to say: a value was written twice, or by comparing. `unknown` ones may be left out.
 */
export function registerConflict(
  known: readonly Register[],
  unknown: readonly Register[],
): readonly Register[] | undefined {
  const groups = groupsOf([...known, ...unknown])
  if (groups === undefined) return undefined
  const isUnwritten = canonical(undefined)
  const all: Group[] = []
  for (const [value, group] of groups) {
    const { write, reads } = group
    const [read] = reads
    if (write === undefined && read !== undefined && value !== isUnwritten) return [read]
    const early = reads.find((one) => write !== undefined && one.return < write.call)
    if (early !== undefined && write !== undefined) return [early, write]
    // What was not answered, and nobody saw, need not have happened.
    if (read !== undefined || group.over < Number.POSITIVE_INFINITY) all.push(group)
  }
  return conflictIn(all)
}

function groupsOf(operations: readonly Register[]): Map<string, Group> | undefined {
  const groups = new Map<string, Group>()
  for (const operation of operations) {
    const { input, output } = operation
    if (input.kind !== 'read' && input.kind !== 'write') return undefined
    const value = canonical(input.kind === 'write' ? input.value : output)
    const isUnwritten = value === canonical(undefined)
    const group = groups.get(value) ?? newGroup(isUnwritten)
    groups.set(value, group)
    if (input.kind === 'read') group.reads.push(operation)
    else if (isUnwritten || group.write !== undefined) return undefined
    else group.write = operation
    if (overAt(operation) < group.over) {
      group.over = overAt(operation)
      group.first = operation
    }
    if (operation.call > group.called) {
      group.called = operation.call
      group.last = operation
    }
  }
  return groups
}

/** What was there at first was written before everything. */
function newGroup(isUnwritten: boolean): Group {
  const over = isUnwritten ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  const none = { write: undefined, first: undefined, last: undefined }
  return { ...none, reads: [], over, called: Number.NEGATIVE_INFINITY }
}

function conflictIn(groups: readonly Group[]): readonly Register[] {
  const spans = groups.filter(({ over, called }) => over < called).sort((a, b) => a.over - b.over)
  for (const [i, span] of spans.entries()) {
    const before = spans[i - 1]
    if (before !== undefined && span.over < before.called) return shown(before, span)
  }
  // Spans are apart now: only the last that begins before a group's last call can hold it.
  for (const group of groups) {
    if (group.over < group.called) continue
    let low = 0
    for (let high = spans.length; low < high;) {
      const middle = Math.floor((low + high) / 2)
      if ((spans[middle] as Group).over < group.called) low = middle + 1
      else high = middle
    }
    const around = spans[low - 1]
    if (around !== undefined && group.over < around.called) return shown(around, group)
  }
  return []
}

function shown(...groups: readonly Group[]): Register[] {
  const all = groups.flatMap(({ write, first, last }) => [write, first, last])
  return [...new Set(all)].filter((one) => one !== undefined)
}
