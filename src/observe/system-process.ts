/** What this process takes of its machine, for metrics. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

const NS = 1e9
const US = 1e6
const QUANTILES: readonly (readonly [name: string, percentile: number])[] = [
  ['0.5', 50],
  ['0.99', 99],
  ['1', 100],
]

/** Measures from now on; each reading says how late callbacks ran since the one before. */
export function watchProcess(): () => {
  readonly residentBytes: number
  readonly heapUsedBytes: number
  readonly cpuSeconds: number
  readonly loopDelaySeconds: readonly (readonly [string, number])[]
} {
  const delay = monitorEventLoopDelay()
  delay.enable()
  return () => {
    const { rss, heapUsed } = process.memoryUsage()
    const { user, system } = process.cpuUsage()
    const measured = delay.count > 0
    const loopDelaySeconds = QUANTILES.map(
      ([name, percentile]) => [name, measured ? delay.percentile(percentile) / NS : 0] as const,
    )
    delay.reset()
    return {
      residentBytes: rss,
      heapUsedBytes: heapUsed,
      cpuSeconds: (user + system) / US,
      loopDelaySeconds,
    }
  }
}
