// Ends a test run with one line that a script can read: `12 passed, 0 failed`, and `, 3 skipped`
// when there are any. It is the last line printed, so it stands last in the list of reporters.
// A file that does not load, and an error outside any test, count as a failure each:
// a run that exits non-zero never says `0 failed`.

import type { Reporter, TestModule, TestRunEndReason } from 'vitest/node'

/** What a run came to, in test cases. */
export type Totals = { passed: number; failed: number; skipped: number }

/** The closing line itself. */
export function closingLine({ passed, failed, skipped }: Totals): string {
  const line = `${passed} passed, ${failed} failed`
  return skipped > 0 ? `${line}, ${skipped} skipped` : line
}

/** Counts the test cases of a run; see the head of this file for what else counts as failed. */
export function totalsOf(
  modules: Iterable<TestModule>,
  unhandledErrors: number,
  reason: TestRunEndReason,
): Totals {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 }
  for (const module of modules) {
    const failedBefore = totals.failed
    for (const test of module.children.allTests()) {
      const { state } = test.result()
      // A test that never ended (its process died, the run was interrupted) did not pass.
      totals[state === 'pending' ? 'failed' : state] += 1
    }
    if (module.state() === 'failed' && totals.failed === failedBefore) totals.failed += 1
  }
  totals.failed += unhandledErrors
  if (reason !== 'passed' && totals.failed === 0) totals.failed = 1
  return totals
}

/** The reporter, for `test.reporters` of the vitest configuration. */
export class ClosingLineReporter implements Reporter {
  onTestRunEnd(
    modules: ReadonlyArray<TestModule>,
    unhandledErrors: ReadonlyArray<unknown>,
    reason: TestRunEndReason,
  ): void {
    const line = closingLine(totalsOf(modules, unhandledErrors.length, reason))
    process.stdout.write(`${line}\n`)
  }
}
