// Heartbeats as bytes: what comes from outside is read whole, or not at all.
import { expect, it } from 'vitest'
import { encodeValue, type Value } from '../core/value-codec.ts'
import { heartbeat } from './heartbeat-samples.contract.ts'
import { decodeHeartbeat, encodeHeartbeat, type Heartbeat } from './heartbeat.ts'

const mark = { position: 1_024, entries: 'aa', decisions: 'bb' }
const full = heartbeat('a', {
  url: 'http://127.0.0.1:1',
  stalenessMs: 12.5,
  halted: { code: 'StorageFull', message: 'the disk is full' },
  at: mark,
  marks: [mark, mark],
})

it('comes back as it was, and is small', () => {
  for (const told of [full, heartbeat('b')]) {
    const bytes = encodeHeartbeat(told)
    expect(decodeHeartbeat(bytes)).toMatchObject(JSON.parse(JSON.stringify(told)) as Heartbeat)
    expect(bytes.length).toBeLessThan(600)
  }
})

it.each([
  { format: 2 },
  { node: 7 },
  { log: undefined },
  { last: -1 },
  { last: '1' },
  { leaves: 'no' },
  { url: 1 },
  { stalenessMs: 'x' },
  { halted: { code: 1, message: '' } },
  { at: null },
  { at: { ...mark, position: -1 } },
  { at: { ...mark, entries: 1 } },
  { marks: {} },
  { marks: [null] },
  { marks: Array.from({ length: 1_000 }, () => mark) },
])('with %j is not read', (more) => {
  expect(decodeHeartbeat(encodeValue({ ...full, format: 1 } as unknown as Value))).toBeDefined()
  const bytes = encodeValue({ ...full, format: 1, ...more } as unknown as Value)
  expect(decodeHeartbeat(bytes)).toBeUndefined()
})

it('that is other bytes is not read', () => {
  for (const length of [0, 1, 50]) {
    expect(decodeHeartbeat(new Uint8Array(length).fill(0xc1))).toBeUndefined()
  }
  expect(decodeHeartbeat(encodeHeartbeat(full).subarray(0, 100))).toBeUndefined()
  for (const value of [null, 1, 'x', []])
    expect(decodeHeartbeat(encodeValue(value))).toBeUndefined()
})
