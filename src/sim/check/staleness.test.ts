import { describe, expect, it } from 'vitest'
import { checkStaleness, type StalenessOperation } from './staleness.ts'

const write = (position: number, returnMs: number): StalenessOperation => ({
  process: 'a',
  call: position * 2,
  return: position * 2 + 1,
  outcome: 'ok',
  input: { kind: 'write', key: 'k' },
  position,
  callMs: returnMs - 1,
  returnMs,
})

const read = (
  position: number | undefined,
  callMs: number,
  maxStalenessMs?: number,
): StalenessOperation => ({
  process: 'b',
  call: 100,
  return: 101,
  outcome: 'ok',
  input: { kind: 'read', key: 'k', maxStalenessMs },
  position,
  callMs,
  returnMs: callMs,
})

const HISTORY = [write(1, 10), write(2, 50)]

describe('a read with a bound on its staleness', () => {
  it('may miss what was acked since its bound began', () => {
    const { result, checks } = checkStaleness([...HISTORY, read(1, 80, 30)])
    expect([result, checks]).toEqual(['ok', 1])
  })

  it('misses nothing that was acked before', () => {
    const { counts } = checkStaleness([...HISTORY, read(1, 81, 30)])
    expect(counts).toEqual({ staleness: 1 })
  })

  it('is not held to what was never acked, nor to other keys', () => {
    const unknown: StalenessOperation = { ...write(3, 51), outcome: 'unknown' }
    const other: StalenessOperation = { ...write(4, 52), input: { kind: 'write', key: 'other' } }
    expect(checkStaleness([...HISTORY, unknown, other, read(2, 900, 30)]).result).toBe('ok')
  })

  it('is looked at only with a bound, and with what it saw', () => {
    const { checks } = checkStaleness([...HISTORY, read(1, 900), read(undefined, 900, 30)])
    expect(checks).toBe(0)
  })
})
