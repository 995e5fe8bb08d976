import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { History } from '../sim/check/history.ts'
import { judge, type Case } from '../sim/check/judge.ts'
import type { CasInput } from '../sim/check/zones.ts'
import { HistoryFile, readCases } from './history-file.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-history-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

let files = 0
function keep(parts: readonly Case[]): string {
  const path = join(dir, `round-${++files}.jsonl`)
  const file = new HistoryFile(path, {
    ...{ round: 1, seed: 1, holdfast: '0', node: '0' },
    ...{ nodes: [], servers: [], nemeses: [], workloads: [] },
  })
  for (const [i, part] of parts.entries()) file.case('sample', i, part)
  file.close()
  return path
}

/** One write, one read of what was there before it, one call that nobody answered. */
function registerHistory(readValue: unknown): Case {
  const history = new History<CasInput, unknown>(() => 1.5)
  history.call('a', { kind: 'cas', key: 'x', expected: undefined, value: 1 }).ok(true)
  history.call('b', { kind: 'swap', key: 'x', value: 2 }).unknown()
  history.call('c', { kind: 'read', key: 'x' }).ok(readValue)
  history.call('c', { kind: 'read', key: 'none' }).ok(undefined)
  history.call('d', { kind: 'write', key: 'x', value: 3 })
  return { by: 'cas-registers', operations: history.operations }
}

const CASES: readonly Case[] = [
  registerHistory(2),
  {
    by: 'unique',
    operations: [
      {
        ...{ process: 'a', call: 1, return: 2, outcome: 'ok', input: { kind: 'view' } },
        output: { rows: [['u1'], ['u2', 'n']], index: [['n', 'u2']] },
      },
    ],
  },
  {
    by: 'feed',
    truth: [
      { position: 3, ordinal: 0, key: 'k', value: 'v' },
      { position: 4, ordinal: 1, key: 'k', value: undefined },
    ],
    events: [
      { kind: 'open', after: undefined },
      { kind: 'change', change: { position: 3, ordinal: 0, key: 'k', value: 'v' } },
      { kind: 'change', change: { position: 4, ordinal: 1, key: 'k', value: undefined } },
    ],
  },
]

describe('a kept history', () => {
  it('is judged as it was before', () => {
    const path = keep(CASES)
    const verdicts = readCases(path).map(({ part }) => judge(part))
    expect(verdicts).toEqual(CASES.map((part) => judge(part)))
    expect(verdicts.map(({ result }) => result)).toEqual(['ok', 'ok', 'ok'])
  })

  it('shows what was wrong in it, and what somebody made wrong', () => {
    const wrong = readCases(keep([registerHistory(7)])).map(({ part }) => judge(part))
    expect(wrong[0]).toMatchObject({ result: 'violation' })
    const path = keep([registerHistory(1)])
    expect(readCases(path).map(({ part }) => judge(part).result)).toEqual(['ok'])
    writeFileSync(path, readFileSync(path, 'utf8').replace('"output":1', '"output":9'))
    expect(readCases(path).map(({ part }) => judge(part).result)).toEqual(['violation'])
  })

  it('is taken for none when it does not say what it is', () => {
    const path = join(dir, 'other.jsonl')
    appendFileSync(path, '{"kind":"header"}\n')
    expect(() => readCases(path)).toThrow(expect.objectContaining({ code: 'InvalidArgument' }))
  })
})
