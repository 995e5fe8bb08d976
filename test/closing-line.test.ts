import type { TestModule } from 'vitest/node'
import { describe, expect, it } from 'vitest'
import { closingLine, totalsOf } from '../scripts/closing-line-reporter.ts'

type State = 'passed' | 'failed' | 'skipped' | 'pending'

/** A finished test file as the reporter sees it: its own state, and those of its tests. */
function module(state: 'passed' | 'failed', ...tests: State[]): TestModule {
  const cases = tests.map((each) => ({ result: () => ({ state: each }) }))
  return { state: () => state, children: { allTests: () => cases } } as unknown as TestModule
}

const lineOf = (modules: TestModule[], errors = 0, reason: 'passed' | 'failed' = 'failed') =>
  closingLine(totalsOf(modules, errors, reason))

describe('the closing line', () => {
  it('counts test cases', () => {
    const modules = [module('passed', 'passed', 'passed'), module('failed', 'passed', 'failed')]
    expect(lineOf(modules)).toBe('3 passed, 1 failed')
  })

  it('names skipped ones only when there are any', () => {
    expect(lineOf([module('passed', 'passed')], 0, 'passed')).toBe('1 passed, 0 failed')
    const some = [module('passed', 'passed', 'skipped')]
    expect(lineOf(some, 0, 'passed')).toBe('1 passed, 0 failed, 1 skipped')
  })

  it('counts as failed what did not run to its end', () => {
    expect(lineOf([module('failed')])).toBe('0 passed, 1 failed')
    expect(lineOf([module('passed', 'passed', 'pending')])).toBe('1 passed, 1 failed')
    expect(lineOf([module('passed', 'passed')], 1)).toBe('1 passed, 1 failed')
    expect(lineOf([module('passed', 'passed')])).toBe('1 passed, 1 failed')
  })
})
