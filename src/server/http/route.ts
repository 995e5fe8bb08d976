/** How a route is put together: the scope that it needs, then its work, as one handler. */
import type { HttpContext, HttpParts, Scope } from './parts.ts'

type Handle = (c: HttpContext) => Promise<Response>

/** One handler is the router's short way: a chain of them costs a get a tenth of its time. */
export function scoped({ scope }: HttpParts, needed: Scope, handle: Handle): Handle {
  const guard = scope(needed)
  return async (c) => {
    let answer: Promise<Response> | undefined
    const early = await guard(c, () => {
      answer = handle(c)
      return Promise.resolve()
    })
    return answer ?? (early as Response)
  }
}
