import { expect, it } from 'vitest'
import { Metrics } from './metrics.ts'

it('writes counters and gauges with their help, type and labels', () => {
  const metrics = new Metrics()
  const requests = metrics.counter('requests_total', 'Requests.', ['method', 'status'])
  requests.with('GET', '200').add()
  requests.with('GET', '200').add(2)
  requests.with('PUT', '409').add()
  metrics.gauge('open', 'Open now.').with().set(-1.5)
  expect(metrics.text()).toBe(
    '# HELP requests_total Requests.\n' +
      '# TYPE requests_total counter\n' +
      'requests_total{method="GET",status="200"} 3\n' +
      'requests_total{method="PUT",status="409"} 1\n' +
      '# HELP open Open now.\n' +
      '# TYPE open gauge\n' +
      'open -1.5\n',
  )
})

it('counts in histograms what is at most each bound, and all of it under +Inf', () => {
  const metrics = new Metrics()
  const seconds = metrics.histogram('seconds', 'How long.', ['route'], [0.1, 1]).with('/')
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.observe(value)
  expect(metrics.text().split('\n').slice(2)).toEqual([
    'seconds_bucket{route="/",le="0.1"} 2',
    'seconds_bucket{route="/",le="1"} 3',
    'seconds_bucket{route="/",le="+Inf"} 4',
    'seconds_sum{route="/"} 7.65',
    'seconds_count{route="/"} 4',
    '',
  ])
})

it('escapes what would end a label or a line', () => {
  const metrics = new Metrics()
  metrics.gauge('g', 'back\\slash and\nline', ['table']).with('a"b\\c\nd').set(1)
  expect(metrics.text()).toBe(
    '# HELP g back\\\\slash and\\nline\n# TYPE g gauge\ng{table="a\\"b\\\\c\\nd"} 1\n',
  )
})

it('collects before it writes, and forgets series that were cleared', () => {
  const metrics = new Metrics()
  const rows = metrics.gauge('rows', 'Rows.', ['table'])
  let tables = ['a', 'b']
  metrics.onCollect(() => {
    rows.clear()
    for (const table of tables) rows.with(table).set(1)
  })
  expect(metrics.text()).toContain('rows{table="b"} 1\n')
  tables = ['a']
  expect(metrics.text()).not.toContain('table="b"')
})

it('leaves out metrics that have no series, and refuses a name twice', () => {
  const metrics = new Metrics()
  metrics.counter('never_counted_total', 'Nothing.', ['reason'])
  expect(metrics.text()).toBe('')
  expect(() => metrics.gauge('never_counted_total', 'Again.')).toThrow(TypeError)
})

it('raises counts that are kept elsewhere, and never lowers them', () => {
  const metrics = new Metrics()
  const cpu = metrics.counter('cpu_seconds_total', 'CPU.').with()
  cpu.raiseTo(3)
  cpu.raiseTo(2)
  expect(metrics.text()).toContain('cpu_seconds_total 3\n')
})
