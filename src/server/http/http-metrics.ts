/** What the HTTP API counts of itself. */
import {
  Metrics,
  type Counter,
  type Family,
  type Gauge,
  type Histogram,
} from '../../observe/metrics.ts'

/** Why something was not served. */
export type RefusalReason =
  | 'host_or_origin'
  | 'overloaded'
  | 'shutting_down'
  | 'connections'
  | 'malformed'
  | 'headers_too_large'
  | 'timeout'
  | 'slow_reader'
  | 'pipelined'

/** Methods that are counted by their name. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
/** The label of requests that no route is for. */
const NO_ROUTE = 'none'

interface RouteSeries {
  /** By method, then by status. */
  readonly requests: Map<string, Map<number, Counter>>
  readonly seconds: Histogram
}

export class HttpMetrics {
  readonly all = new Metrics()
  readonly underWay: Gauge
  readonly connections: Gauge
  readonly feeds: Gauge
  readonly #requests: Family<Counter>
  readonly #seconds: Family<Histogram>
  readonly #refused: Family<Counter>
  readonly #routes = new Map<string, RouteSeries>()

  constructor() {
    const { all } = this
    this.#requests = all.counter(
      'holdfast_http_requests_total',
      'Requests answered, by route, method and status.',
      ['route', 'method', 'status'],
    )
    this.#seconds = all.histogram(
      'holdfast_http_request_duration_seconds',
      'Time from the head of a request to the head of its answer, by route.',
      ['route'],
    )
    this.#refused = all.counter(
      'holdfast_http_refused_total',
      'Connections and requests that were not served, by reason.',
      ['reason'],
    )
    this.underWay = all
      .gauge('holdfast_http_requests_under_way', 'Requests that are not answered yet.')
      .with()
    this.connections = all.gauge('holdfast_http_connections', 'Open connections.').with()
    this.feeds = all.gauge('holdfast_http_feeds', 'Open feeds.').with()
  }

  /** `route` is a pattern such as `/v1/tables/:table`, or empty where there is none. */
  answered(route: string, method: string, status: number, seconds: number): void {
    const series = this.#routes.get(route) ?? this.#route(route)
    series.seconds.observe(seconds)
    const counter = series.requests.get(method)?.get(status)
    if (counter === undefined) this.#count(series, route, method, status)
    else counter.add()
  }

  refused(reason: RefusalReason): void {
    this.#refused.with(reason).add()
  }

  #route(route: string): RouteSeries {
    const series = { requests: new Map(), seconds: this.#seconds.with(route || NO_ROUTE) }
    this.#routes.set(route, series)
    return series
  }

  #count(series: RouteSeries, route: string, method: string, status: number): void {
    const known = METHODS.has(method)
    const counter = this.#requests.with(route || NO_ROUTE, known ? method : 'other', `${status}`)
    counter.add()
    if (!known) return
    const byStatus = series.requests.get(method) ?? new Map<number, Counter>()
    series.requests.set(method, byStatus.set(status, counter))
  }
}
