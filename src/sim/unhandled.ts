/**
 * Rejections that nobody handled, while simulations run: each is told to the run whose step it came
 * from. The test runner's own listeners are put aside meanwhile, and hear of all others: a runner
 * would report an error of no test, without the seed.
 */
import { currentScope, type Owner, type Scope } from './scope.ts'
import { realTurn, takeRejections } from './test-process.ts'
import { DeadIncarnation } from './tripwires.ts'

/** `owner`: whose step it was, where that is known. */
export type OnUnhandled = (cause: unknown, owner: Owner | undefined) => void

const runs = new Map<Scope['kernel'], OnUnhandled>()
let taken: ReturnType<typeof takeRejections> | undefined

/** Tells `report` of the run's unhandled rejections, until the returned function was called. */
export function catchUnhandled(kernel: Scope['kernel'], report: OnUnhandled): () => Promise<void> {
  taken ??= takeRejections(dispatch)
  runs.set(kernel, report)
  return async () => {
    await realTurn()
    runs.delete(kernel)
    if (runs.size > 0) return
    taken?.release()
    taken = undefined
  }
}

function dispatch(cause: unknown, promise: Promise<unknown>): void {
  const scope = currentScope()
  const [only, more] = runs.keys()
  const kernel = scope?.kernel ?? (more === undefined ? only : undefined)
  const report = kernel === undefined ? undefined : runs.get(kernel)
  if (report === undefined) return elsewhere(cause, promise)
  // What is left of a dead incarnation ends so.
  if (scope?.owner.alive === false || cause instanceof DeadIncarnation) return
  report(cause, scope?.owner)
}

/** None of a simulation's: as if there were none. */
function elsewhere(cause: unknown, promise: Promise<unknown>): void {
  const others = taken?.others ?? []
  if (others.length === 0) throw cause
  for (const listener of others) listener(cause, promise)
}
