// What is said to be survived, by what is there.
import { expect, it } from 'vitest'
import type { LogStatus } from '../log/log-status.ts'
import { survivalOf } from './survival.ts'

function log(servers: number, current: number, more: Partial<LogStatus> = {}): LogStatus {
  return {
    name: 'HOLDFAST_x',
    leader: 's1',
    servers: Array.from({ length: servers }, (_, i) => ({
      name: `s${i + 1}`,
      isLeader: i === 0,
      isCurrent: i < current,
    })),
    lastPosition: 1,
    bytes: 1,
    maxBytes: 10,
    problem: undefined,
    ...more,
  }
}

it.each([
  [3, log(3, 3), 2, 1, 'survives 1 server and 2 nodes'],
  [2, log(5, 5), 1, 2, 'survives 2 servers and 1 node'],
  [3, log(3, 2), 2, 0, 'survives no more server (2 of 3 are current) and 2 nodes'],
  [1, log(1, 1), 0, 0, 'survives no more server and no more node'],
  [0, log(5, 4), 0, 1, 'survives 1 server (4 of 5 are current) and no more node'],
  [3, undefined, 2, undefined, 'survives 2 nodes'],
] as const)('%i copies, log %#', (copies, kept, nodes, servers, text) => {
  expect(survivalOf(copies, kept)).toEqual({ nodes, servers, text })
})

it.each([log(3, 1), log(3, 3, { leader: undefined }), log(3, 3, { problem: 'timeout' })])(
  'says that writes wait when the log has no quorum, %#',
  (kept) => {
    const { nodes, servers, text } = survivalOf(2, kept)
    expect([nodes, servers]).toEqual([1, 0])
    expect(text).toMatch(/^writes wait: the log has no leader .*reads go on, at 2 nodes/)
  },
)
