/** Histories of transactions over lists and registers whose written values are unique. */
import type { Graph } from './cycles.ts'
import { certainty, type Operation } from './history.ts'

export type Unique = string | number

export type Step =
  /** Read a list; an empty one if there was none. */
  | { readonly kind: 'read'; readonly key: string; readonly list: readonly Unique[] }
  | { readonly kind: 'append'; readonly key: string; readonly value: Unique }
  /** Read a register; null: it was never written. */
  | { readonly kind: 'get'; readonly key: string; readonly value: Unique | null }
  /**
   * Wrote a register. `before`: what it replaced, where that is known; a `get` of the same key
   * before it in the transaction says so as well. Without it the order of writes stays unknown, and
   * less can be found.
   */
  | {
      readonly kind: 'set'
      readonly key: string
      readonly before?: Unique | null
      readonly value: Unique
    }

/**
 * A transaction: its steps are its output, those of one attempt. Of a failed or unknown one the
 * writes count, which no other attempt may have used. Lists and registers are apart: the same key
 * names two things.
 */
export type Transaction = Operation<unknown, readonly Step[]>

export type Space = 'list' | 'register'

export interface Writer {
  readonly index: number
  /** Whether no later write of the same transaction replaced it or was added behind it. */
  readonly final: boolean
}

/** Who wrote what. */
export class Writers {
  readonly #writers: Readonly<Record<Space, Map<string, Map<Unique, Writer>>>> = {
    list: new Map(),
    register: new Map(),
  }

  /** Calls `twice` for a value written by two. */
  constructor(history: readonly Transaction[], twice: (step: Step, indexes: number[]) => void) {
    for (const [index, { output = [] }] of history.entries()) {
      const later = new Set<string>()
      for (const step of output.toReversed()) {
        if (step.kind !== 'append' && step.kind !== 'set') continue
        const space = step.kind === 'append' ? 'list' : 'register'
        const values = this.#valuesOf(space, step.key)
        const other = values.get(step.value)
        if (other !== undefined) twice(step, [other.index, index])
        const name = `${step.kind} ${step.key}`
        values.set(step.value, { index, final: !later.has(name) })
        later.add(name)
      }
    }
  }

  of(space: Space, key: string, value: Unique): Writer | undefined {
    return this.#writers[space].get(key)?.get(value)
  }

  /** Everything written to one list or register. */
  values(space: Space, key: string): Iterable<readonly [Unique, Writer]> {
    return this.#writers[space].get(key) ?? []
  }

  #valuesOf(space: Space, key: string): Map<Unique, Writer> {
    let values = this.#writers[space].get(key)
    if (values === undefined) this.#writers[space].set(key, (values = new Map<Unique, Writer>()))
    return values
  }
}

/** What the parts of the check share. */
export interface Examination {
  readonly history: readonly Transaction[]
  readonly writers: Writers
  readonly graph: Graph
  /** Unknown transactions of which something was read: they did commit. */
  readonly seen: Set<number>
  readonly report: (anomaly: string, message: string, indexes: readonly number[]) => void
}

export function isOk(transaction: Transaction): boolean {
  return certainty(transaction) === 'ok'
}

/** Whether a transaction certainly committed. Asked after all reads were looked at. */
export function isCommitted({ history, seen }: Examination, index: number): boolean {
  const transaction = history[index]
  if (transaction === undefined) return false
  return isOk(transaction) || (certainty(transaction) === 'unknown' && seen.has(index))
}

/** Names what is wrong with having read a value at all, and notes that its writer was seen. */
export function judgeSource(
  { history, writers, seen, report }: Examination,
  reader: number,
  space: Space,
  key: string,
  value: Unique,
): void {
  const writer = writers.of(space, key, value)
  const name = `${space} ${key} value ${value}`
  if (writer === undefined)
    report('garbage-read', `${name} was read, and nobody wrote it`, [reader])
  else if (history[writer.index]?.outcome === 'failed')
    report('G1a', `${name} was read, and its writer failed`, [reader, writer.index])
  else seen.add(writer.index)
}

/** What was read last is whole: not its own writer's stopover, nor what the reader wrote only later. */
export function judgeIntermediate(
  { writers, report }: Examination,
  reader: number,
  space: Space,
  key: string,
  value: Unique,
): void {
  const writer = writers.of(space, key, value)
  if (writer === undefined || (writer.final && writer.index !== reader)) return
  const name = `${space} ${key} value ${value}`
  if (writer.index === reader)
    return report('internal', `${name} was read before it was written`, [reader])
  report('G1b', `${name} was read, and its writer went on`, [reader, writer.index])
}
