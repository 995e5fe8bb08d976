/** `/metrics`: what the server counts, what the database says of itself, and the process. */
import { isHoldfastError } from '../../core/errors.ts'
import { METRICS_TYPE, type Metrics } from '../../observe/metrics.ts'
import { nodesKnown } from '../../table/database.ts'
import type { DatabaseStats } from '../../table/handles.ts'
import type { NodeState } from '../../table/status.ts'
import type { AnyDatabase } from '../any-rows.ts'
import type { HttpApp, HttpParts } from './parts.ts'
import { scoped } from './route.ts'

/** What is known of the process at one moment. */
export interface ProcessReading {
  readonly residentBytes: number
  readonly heapUsedBytes: number
  readonly cpuSeconds: number
  /** How late callbacks ran, in seconds, since the last reading: by quantile. */
  readonly loopDelaySeconds: readonly (readonly [quantile: string, seconds: number])[]
}
export type ProcessReader = () => ProcessReading

/** Names of tables that are the database's own begin so. */
const HIDDEN = '_'

export function metricsRoutes(app: HttpApp, parts: HttpParts, process?: ProcessReader): void {
  const { all } = parts.metrics
  databaseMetrics(all, parts.db)
  nodeMetrics(all, parts.db)
  if (process !== undefined) processMetrics(all, process)
  app.get(
    '/metrics',
    scoped(
      parts,
      'read',
      () => new Response(all.text(), { headers: { 'content-type': METRICS_TYPE } }),
    ),
  )
}

function databaseMetrics(all: Metrics, db: AnyDatabase): void {
  const rows = all.gauge('holdfast_rows', 'Rows, by table.', ['table'])
  const rowBytes = all.gauge('holdfast_row_bytes', 'Bytes of rows, by table.', ['table'])
  const position = all.gauge('holdfast_position', 'The newest position of the log.').with()
  const oldest = all.gauge('holdfast_oldest_position', 'The oldest position kept.').with()
  const bytes = all.gauge('holdfast_data_bytes', 'Bytes of the data file.').with()
  const problems = all
    .gauge('holdfast_problems', 'Background work that failed last time it ran.')
    .with()
  const halted = all.gauge('holdfast_halted', '1 when nothing can be written until restart.').with()
  const up = all.gauge('holdfast_open', '1 while the database is open.').with()
  all.onCollect(() => {
    rows.clear()
    rowBytes.clear()
    const stats = statsOf(db)
    up.set(stats === undefined ? 0 : 1)
    if (stats === undefined) return
    for (const table of stats.tables) {
      if (table.name.startsWith(HIDDEN)) continue
      rows.with(table.name).set(table.rows)
      rowBytes.with(table.name).set(table.bytes)
    }
    position.set(stats.position)
    oldest.set(stats.oldestPosition)
    bytes.set(stats.bytes)
    problems.set(stats.problems.length)
    halted.set(stats.halted === undefined ? 0 : 1)
  })
}

/** Of all nodes, as this one sees them. */
function nodeMetrics(all: Metrics, db: AnyDatabase): void {
  const nodes = all.gauge('holdfast_nodes', 'Nodes that were heard, by state.', ['state'])
  const suspicion = all.gauge('holdfast_node_suspicion', 'φ of the failure detector: 8 suspects.', [
    'node',
    'name',
  ])
  const lag = all.gauge('holdfast_node_lag', 'Entries of the log that a node is behind.', [
    'node',
    'name',
  ])
  all.onCollect(() => {
    suspicion.clear()
    lag.clear()
    const known = statsOf(db) === undefined ? [] : nodesKnown(db)
    for (const state of STATES) {
      nodes.with(state).set(known.filter((node) => node.state === state).length)
    }
    for (const node of known) {
      suspicion.with(node.id, node.name).set(node.suspicion)
      lag.with(node.id, node.name).set(node.lag)
    }
  })
}

const STATES: readonly NodeState[] = ['alive', 'suspect', 'dead', 'halted']

/** Undefined for a database that is closed: the process and its counts go on. */
function statsOf(db: AnyDatabase): DatabaseStats | undefined {
  try {
    return db.stats()
  } catch (error) {
    if (isHoldfastError(error, 'Closed')) return undefined
    throw error
  }
}

function processMetrics(all: Metrics, read: ProcessReader): void {
  const resident = all.gauge('process_resident_memory_bytes', 'Memory of the process.').with()
  const heap = all.gauge('nodejs_heap_size_used_bytes', 'Used bytes of the heap.').with()
  const cpu = all.counter('process_cpu_seconds_total', 'CPU time of the process.').with()
  const delay = all.gauge(
    'nodejs_eventloop_delay_seconds',
    'How late callbacks ran since the last collection.',
    ['quantile'],
  )
  all.onCollect(() => {
    const reading = read()
    resident.set(reading.residentBytes)
    heap.set(reading.heapUsedBytes)
    cpu.raiseTo(reading.cpuSeconds)
    for (const [quantile, seconds] of reading.loopDelaySeconds) delay.with(quantile).set(seconds)
  })
}
