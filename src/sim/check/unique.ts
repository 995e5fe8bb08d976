/** Unique values (S11): one owner at most, at every moment, and an index that agrees with its rows. */
import { certainty, type Operation } from './history.ts'
import { Findings, type Verdict } from './verdict.ts'

/** All rows and the whole index as they were at one moment. */
export interface UniqueView {
  /** Each row's key and its value; without one: it has none. */
  readonly rows: Iterable<readonly [key: string, value?: string | undefined]>
  /** Each entry of the index: a value and the key of the row it leads to. Absent: not read. */
  readonly index?: Iterable<readonly [value: string, key: string]> | undefined
}

/**
 * Looks at every answered operation whose output is a view; others have none. Properties:
 * `unique:two-owners`, `unique:index-without-row`, `unique:row-without-index`.
 */
export function checkUnique(
  history: readonly Operation<unknown, UniqueView | undefined>[],
): Verdict {
  const findings = new Findings()
  for (const operation of history) {
    const { output } = operation
    if (certainty(operation) !== 'ok' || output === undefined) continue
    findings.checked()
    const found = (anomaly: string, message: string): void =>
      findings.found(`unique:${anomaly}`, message, [operation])
    const owners = new Map<string, string>()
    const rows = [...output.rows]
    for (const [key, value] of rows) {
      if (value === undefined) continue
      const other = owners.get(value)
      if (other !== undefined) found('two-owners', `${value} belongs to ${other} and to ${key}`)
      owners.set(value, key)
    }
    if (output.index !== undefined)
      checkIndex(new Map(rows.map(([key, value]) => [key, value])), [...output.index], found)
  }
  return findings.verdict()
}

function checkIndex(
  rows: ReadonlyMap<string, string | undefined>,
  index: readonly (readonly [value: string, key: string])[],
  found: (anomaly: string, message: string) => void,
): void {
  const listed = new Set<string>()
  for (const [value, key] of index) {
    if (rows.get(key) !== value)
      found('index-without-row', `the index has ${value} for ${key}, whose row has not`)
    listed.add(JSON.stringify([value, key]))
  }
  for (const [key, value] of rows) {
    if (value !== undefined && !listed.has(JSON.stringify([value, key])))
      found('row-without-index', `the row ${key} has ${value}, and the index has not`)
  }
}
