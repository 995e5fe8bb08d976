/** What every request passes first: is there room, may it come here at all; and what is counted. */
import { HoldfastError } from '../../core/errors.ts'
import type { Guard } from './guard.ts'
import type { RefusalReason } from './http-metrics.ts'
import type { HeaderReader, HttpApp, HttpContext, HttpParts, RequestInfo, Visit } from './parts.ts'
import { asError, problemResponse } from './problem.ts'
import { rawPath } from './request.ts'

/** Answered however full or far in stopping the server is. */
const PROBES: ReadonlySet<string> = new Set(['/livez', '/readyz', '/startupz', '/metrics'])
const MS = 1000

type Handle = (c: HttpContext, next: () => Promise<void>) => Response | Promise<Response | void>

/** Makes every route of `app` say that it was taken. Before any is added. */
export function noteRoutes(app: HttpApp): void {
  for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
    const add = app[method] as (path: string, ...handlers: Handle[]) => HttpApp
    const noting = (path: string, first: Handle, ...others: Handle[]): HttpApp => {
      const note: Handle = (c, next) => {
        c.env.route = path
        return first(c, next)
      }
      return add(path, note, ...others)
    }
    app[method] = noting as unknown as typeof app.get
  }
}

/** The way into `app`, which routes alone. It is no middleware: a chain costs more than all of it. */
export class Entrance {
  readonly #app: HttpApp
  readonly #parts: HttpParts
  readonly #guard: Guard
  #underWay = 0

  constructor(app: HttpApp, parts: HttpParts, guard: Guard) {
    this.#app = app
    this.#parts = parts
    this.#guard = guard
  }

  /** Never rejects. */
  fetch(request: Request, info: RequestInfo | undefined): Response | Promise<Response> {
    const { env, metrics } = this.#parts
    const startMs = env.clock.monotonicMs()
    metrics.underWay.set(++this.#underWay)
    const headers = info?.headers ?? request.headers
    const visit: Visit = { remote: info?.remote, readBody: info?.readBody, headers, route: '' }
    const leave = (answer: Response): Response => {
      metrics.underWay.set(--this.#underWay)
      this.#guard.share(request, answer)
      const seconds = (env.clock.monotonicMs() - startMs) / MS
      metrics.answered(visit.route, request.method, answer.status, seconds)
      return answer
    }
    try {
      const answer = this.#refusal(request, headers) ?? this.#app.fetch(request, visit)
      if (!(answer instanceof Promise)) return leave(answer)
      return answer.then(leave, (cause: unknown) => leave(broken(cause)))
    } catch (cause) {
      return leave(broken(cause))
    }
  }

  #refusal(request: Request, headers: HeaderReader): Response | undefined {
    const { limits, stopping } = this.#parts
    const forbidden = this.#guard.refusal(request, headers)
    if (forbidden !== undefined) return this.#refuse('host_or_origin', forbidden)
    const isFull = this.#underWay > limits.requests
    if ((isFull || stopping.aborted) && !PROBES.has(rawPath(request))) {
      if (stopping.aborted) {
        const error = new HoldfastError('ShuttingDown', 'the server is stopping')
        return this.#refuse('shutting_down', error)
      }
      const message = `${limits.requests} requests are under way`
      const details = { limit: limits.requests }
      return this.#refuse('overloaded', new HoldfastError('Overloaded', message, { details }))
    }
    return this.#guard.preflight(request)
  }

  #refuse(reason: RefusalReason, error: HoldfastError): Response {
    this.#parts.metrics.refused(reason)
    return problemResponse(error)
  }
}

/** What was thrown where routes do not throw, such as by the reading of a URL. */
function broken(cause: unknown): Response {
  return problemResponse(asError(cause))
}
