/** What is answered where no route is: that the path is none, or which methods it has. */
import { HoldfastError } from '../../core/errors.ts'
import type { HttpApp, HttpContext } from './parts.ts'
import { problemResponse } from './problem.ts'

const METHOD_NOT_ALLOWED = 405
/** The method of what runs for every request. */
const EVERY_METHOD = 'ALL'

interface Known {
  readonly path: RegExp
  readonly method: string
}

/** Of the routes that `app` has when the first unknown one is asked for. */
export function unknownRoute(app: HttpApp): (c: HttpContext) => Response {
  let known: readonly Known[] | undefined
  return (c) => {
    known ??= app.routes
      .filter(({ method }) => method !== EVERY_METHOD)
      .map(({ path, method }) => ({ path: patternOf(path), method }))
    const { method, path } = c.req
    const methods = new Set(known.filter((each) => each.path.test(path)).map((each) => each.method))
    if (methods.has('GET')) methods.add('HEAD')
    const what = `there is no ${method} ${path}`
    if (methods.size === 0) return problemResponse(new HoldfastError('UnknownRoute', what))
    const allow = [...methods].sort().join(', ')
    return problemResponse(
      new HoldfastError('UnknownRoute', `${what}; there is ${allow}`, {
        details: { status: METHOD_NOT_ALLOWED, allow },
      }),
    )
  }
}

function patternOf(path: string): RegExp {
  const parts = path.split('/').map((part) => (part.startsWith(':') ? '[^/]+' : escaped(part)))
  return new RegExp(`^${parts.join('/')}$`)
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
