/** Heartbeats for tests. */
import type { Heartbeat } from './heartbeat.ts'

export const heartbeat = (node: string, more: Partial<Heartbeat> = {}): Heartbeat => ({
  node,
  incarnation: `${node}#1`,
  name: node,
  version: '1.0.0',
  log: 'ab',
  startedMs: 0,
  leaves: false,
  url: undefined,
  durability: 'quorum',
  last: 0,
  stalenessMs: undefined,
  logSilentMs: 0,
  halted: undefined,
  at: { position: 0, entries: '', decisions: '' },
  marks: [],
  ...more,
})
