/**
 * A history on disk, for another judgement: JSON, one object a line. docs/TESTING.md describes it;
 * what is written here is read there by people, and by `verify --check`.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { HoldfastError } from '../core/errors.ts'
import type { Case } from '../sim/check/judge.ts'
import type { Operation } from '../sim/check/history.ts'

export const FORMAT = 'holdfast-history-1'

/** Lines are written in pieces of about so many characters. */
const PIECE_CHARS = 1_000_000

export interface Header {
  readonly kind: 'header'
  readonly format: typeof FORMAT
  readonly round: number
  readonly seed: number
  readonly holdfast: string
  readonly node: string
  readonly nodes: readonly string[]
  readonly servers: readonly string[]
  readonly nemeses: readonly string[]
  readonly workloads: readonly string[]
}

export class HistoryFile {
  readonly #file: number
  #piece = ''

  constructor(path: string, header: Omit<Header, 'kind' | 'format'>) {
    this.#file = openSync(path, 'wx')
    this.line({ kind: 'header', format: FORMAT, ...header })
  }

  line(value: object): void {
    this.#piece += `${JSON.stringify(value)}\n`
    if (this.#piece.length > PIECE_CHARS) this.#flush()
  }

  /** The operations of one case, and behind them the case itself, which says how they are judged. */
  case(workload: string, number: number, part: Case): void {
    const name = { workload, case: number }
    const { operations = [], ...facts } = part as Case & {
      readonly operations?: readonly Operation[]
    }
    for (const operation of operations) {
      const { return: end, ...others } = operation
      const returned = operation.outcome === 'unknown' ? {} : { return: end }
      this.line({ kind: 'operation', ...name, ...others, ...returned })
    }
    this.line({ kind: 'case', ...name, ...facts })
  }

  close(): void {
    this.#flush()
    closeSync(this.#file)
  }

  #flush(): void {
    writeSync(this.#file, this.#piece)
    this.#piece = ''
  }
}

export interface KeptCase {
  readonly workload: string
  readonly part: Case
}

interface Line {
  readonly kind: string
  readonly workload: string
  readonly case: number
}

/** The cases of a file, with their operations. Throws `InvalidArgument` when it is no history. */
export function readCases(path: string): KeptCase[] {
  const cases: KeptCase[] = []
  const open = new Map<string, Operation[]>()
  const [first, ...lines] = readFileSync(path, 'utf8').split('\n')
  if (!isHeader(first)) {
    throw new HoldfastError('InvalidArgument', `${path} is no history of the form ${FORMAT}`)
  }
  for (const text of lines) {
    if (text === '') continue
    const { kind, ...rest } = JSON.parse(text) as Line
    const { workload, case: number, ...others } = rest
    const name = `${workload}/${number}`
    if (kind === 'operation') {
      const operations = open.get(name) ?? []
      open.set(name, operations)
      operations.push({ return: Number.POSITIVE_INFINITY, ...others } as unknown as Operation)
    } else if (kind === 'case') {
      const part = { operations: open.get(name) ?? [], ...others } as unknown as Case
      cases.push({ workload, part })
      open.delete(name)
    }
  }
  return cases
}

function isHeader(text: string | undefined): boolean {
  try {
    return (JSON.parse(text ?? '') as Partial<Header>).format === FORMAT
  } catch {
    return false
  }
}
