/** Transfers between accounts: every read of all of them shows the same total. */
import { certainty, type Operation } from './history.ts'
import { Findings, short, type Verdict } from './verdict.ts'

export type Balances = Readonly<Record<string, number>>

export interface BankOptions {
  readonly accounts: readonly string[]
  readonly total: number
  /** Whether a balance may go below zero. Default false. */
  readonly overdraft?: boolean
}

/**
 * Looks at every answered operation whose output is the balances it saw; others have none.
 * Properties: `bank:accounts` (one is missing, or not of the bank), `bank:total`, `bank:overdraft`.
 */
export function checkBank(
  history: readonly Operation<unknown, Balances | undefined>[],
  { accounts, total, overdraft = false }: BankOptions,
): Verdict {
  const findings = new Findings()
  const expected = accounts.toSorted().join()
  for (const operation of history) {
    const { output } = operation
    if (certainty(operation) !== 'ok' || output === undefined) continue
    findings.checked()
    const found = (anomaly: string, message: string): void =>
      findings.found(`bank:${anomaly}`, message, [operation])
    const names = Object.keys(output).toSorted().join()
    if (names !== expected) found('accounts', `read ${names}, and there are ${expected}`)
    const sum = Object.values(output).reduce((all, balance) => all + balance, 0)
    if (sum !== total) found('total', `read ${sum} in all, and there are ${total}`)
    const below = Object.entries(output).filter(([, balance]) => balance < 0)
    if (below.length > 0 && !overdraft)
      found('overdraft', `read ${short(Object.fromEntries(below))}`)
  }
  return findings.verdict()
}
