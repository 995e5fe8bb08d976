/** What reads and writes of registers say: who replaced whose value, and who read it before. */
import { RW, WR, WW } from './cycles.ts'
import {
  isCommitted,
  isOk,
  judgeIntermediate,
  judgeSource,
  type Examination,
  type Transaction,
  type Unique,
} from './transactions.ts'

interface RegisterUse {
  readonly index: number
  readonly key: string
  /** Read it; or replaced it; or wrote, and it is not known over what. */
  readonly kind: 'got' | 'replaced' | 'blind'
  /** Null: never written. */
  readonly value: Unique | null
}

export function examineRegisters(examination: Examination): RegisterUse[] {
  const usesOfEach = new Map<number, readonly RegisterUse[]>()
  for (const [index, transaction] of examination.history.entries()) {
    if (transaction.outcome !== 'failed')
      usesOfEach.set(index, usesOf(examination, transaction, index))
  }
  const judged = new Set<number>()
  // An unknown transaction that was seen committed: so did those whose values it replaced.
  for (let before = -1; before < judged.size;) {
    before = judged.size
    for (const [index, own] of usesOfEach) {
      if (judged.has(index) || !isCommitted(examination, index)) continue
      judged.add(index)
      for (const { key, kind, value } of own) {
        if (kind === 'blind' || value === null) continue
        judgeSource(examination, index, 'register', key, value)
        judgeIntermediate(examination, index, 'register', key, value)
      }
    }
  }
  return [...usesOfEach.values()].flat()
}

/** Adds the dependencies, and names lost updates. Comes after all that looks at reads. */
export function linkRegisters(examination: Examination, uses: readonly RegisterUse[]): void {
  const { graph, report, writers } = examination
  const committed = uses.filter(({ index }) => isCommitted(examination, index))
  const replacedBy = new Map<string, number>()
  const blind = new Map<string, Set<number>>()
  const lost = new Set<string>()
  for (const { index, key, kind, value } of committed) {
    const name = JSON.stringify([key, value])
    const other = replacedBy.get(name)
    if (kind === 'blind') blind.set(key, (blind.get(key) ?? new Set()).add(index))
    if (kind === 'replaced' && other !== undefined && other !== index) {
      lost.add(name)
      report('lost-update', `two replaced value ${value} of register ${key}`, [other, index])
    }
    if (kind === 'replaced') replacedBy.set(name, index)
  }
  const unwritten = new Map<string, (readonly [number, number])[]>()
  for (const { index, key, kind, value } of committed) {
    const writer = value === null ? undefined : writers.of('register', key, value)?.index
    if (kind !== 'blind' && writer !== undefined)
      graph.edge(writer, index, kind === 'got' ? WR : WW, key)
    if (kind !== 'got') continue
    const name = JSON.stringify([key, value])
    const next = lost.has(name) ? undefined : replacedBy.get(name)
    if (next !== undefined) graph.edge(index, next, RW, key)
    if (value === null) unwritten.set(key, [...(unwritten.get(key) ?? []), [index, RW]])
  }
  for (const [key, readers] of unwritten) graph.everyPair(readers, blind.get(key) ?? new Set(), key)
}

function usesOf({ report }: Examination, transaction: Transaction, index: number): RegisterUse[] {
  const uses: RegisterUse[] = []
  const now = new Map<string, Unique | null>()
  const wrote = new Set<string>()
  for (const step of transaction.output ?? []) {
    if (step.kind !== 'get' && step.kind !== 'set') continue
    const { key } = step
    const claimed = step.kind === 'get' ? step.value : step.before
    const before = now.get(key)
    if (before !== undefined && claimed !== undefined && claimed !== before) {
      const message = `register ${key} was read as ${claimed}, after ${before} in one transaction`
      if (isOk(transaction)) report('internal', message, [index])
    }
    const value = before ?? claimed ?? null
    if (step.kind === 'get' && before === undefined) uses.push({ index, key, kind: 'got', value })
    if (step.kind === 'set' && !wrote.has(key)) {
      const isKnown = before !== undefined || claimed !== undefined
      uses.push({ index, key, kind: isKnown ? 'replaced' : 'blind', value })
      wrote.add(key)
    }
    now.set(key, step.value)
  }
  return uses
}
