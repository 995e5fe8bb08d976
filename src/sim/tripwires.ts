/**
 * Tripwires (D2): while a simulation runs, ambient time, timers, randomness and I/O used in a
 * simulated step do not reach the real ones. From Holdfast's own rooms such a call throws
 * `SimulationLeak` at its call site, and fails the run even if it is caught there. Users' code gets
 * a virtual version where one makes sense, by its owner's Ambient, and `SimulationLeak` for files,
 * sockets, workers and processes, which it may handle. Calls of a dead owner throw
 * `DeadIncarnation`. Outside a step, and in the code of test runners, all is as always.
 *
 * Whose code it is is judged by the first frame of the stack that is a file's. What a library
 * took from a CommonJS module before (`const { setTimeout } = require(...)`) is not seen; the
 * sampled check of asynchronous resources below sees what it leads to.
 */
import { createHook } from 'node:async_hooks'
import type { Ambient } from './ambient.ts'
import { currentScope, type Scope } from './scope.ts'
import { listTargets, settleLazyGlobals, syncModules, type Target } from './tripwire-targets.ts'

/** Something of the real world was used inside the simulation. */
export class SimulationLeak extends Error {
  override readonly name = 'SimulationLeak'
  /** `Date.now`, `fs.readFile`, … */
  readonly api: string
  /** The file, line and column that used it. */
  readonly site: string

  constructor(api: string, site: string, owner: string, advice: string) {
    super(`${api} was used in a simulated step of ${owner}, at ${site}: ${advice}`)
    this.api = api
    this.site = site
  }
}

/** An incarnation that crashed goes on: what it calls throws, so that it goes no further. */
export class DeadIncarnation extends Error {
  override readonly name = 'DeadIncarnation'
}

type Maker = 'holdfast' | 'user' | 'runner'

interface Caller {
  readonly maker: Maker
  readonly site: string
}

/** Where Holdfast's rooms lie: src/ of a checkout or dist/ of the package. */
const ROOMS = new URL('..', import.meta.url).pathname
const TEST_FILE = /[.](test|contract)[.][cm]?[jt]s$/
/** What runs tests, formats their stacks and loads their modules may do as it likes. */
const RUNNER_FILE = /[/]node_modules[/](vitest|@vitest[/]|vite|vite-node|tinypool)[/]?/
const RUNNER_INTERNAL =
  /^node:internal[/](modules|source_map|test_runner|console|fs[/]sync_write_stream)/
const FRAMES_MAX = 24

let installs = 0
let restore: (() => void) | undefined

/** Arms the tripwires; they are gone when each one's returned function has been called. */
export function installTripwires(): () => void {
  if (installs === 0) restore = patch()
  installs++
  let armed = true
  return () => {
    if (!armed) return
    armed = false
    if (--installs > 0) return
    restore?.()
    restore = undefined
  }
}

function patch(): () => void {
  settleLazyGlobals()
  const undo: (() => void)[] = []
  for (const target of listTargets()) {
    const { object, key } = target
    const descriptor = Object.getOwnPropertyDescriptor(object, key)
    if (descriptor === undefined || descriptor.configurable !== true) continue
    const real = (descriptor.value ?? (object as Record<PropertyKey, unknown>)[key]) as unknown
    if (typeof real !== 'function') continue
    const value = guarded(target, real as Real)
    const { enumerable } = descriptor
    Object.defineProperty(object, key, {
      value,
      configurable: true,
      writable: true,
      enumerable: enumerable ?? false,
    })
    undo.push(() => Object.defineProperty(object, key, descriptor))
  }
  syncModules()
  return () => {
    for (const put of undo.reverse()) put()
    syncModules()
  }
}

type Real = (...args: unknown[]) => unknown

/** `real` behind its tripwire; all else of it shows through. */
function guarded(target: Target, real: Real): unknown {
  const { api, virtual, always } = target
  const isVirtual = virtual !== undefined
  const apply = (_: Real, self: unknown, args: unknown[]): unknown => {
    if (always !== undefined && always(args)) return undefined
    const ambient = ambientAt(api, apply as Real, isVirtual)
    if (ambient === undefined || virtual === undefined) return Reflect.apply(real, self, args)
    return virtual(ambient, args, false)
  }
  const construct = (_: Real, args: unknown[], made: Real): object => {
    // A date of given parts reads no clock.
    const isPure = api === 'Date' && args.length > 0
    const ambient = isPure ? undefined : ambientAt(api, construct as unknown as Real, isVirtual)
    if (ambient === undefined || virtual === undefined) {
      return Reflect.construct(real, args, made) as object
    }
    return Reflect.construct(real, virtual(ambient, args, true) as unknown[], made) as object
  }
  return new Proxy(real, { apply, construct: construct as ProxyHandler<Real>['construct'] & {} })
}

/** Undefined: the real one is to be used. Throws where there is none. */
function ambientAt(api: string, above: Real, isVirtual: boolean): Ambient | undefined {
  const scope = currentScope()
  if (scope === undefined) return undefined
  const { maker, site } = callerOf(above)
  if (maker === 'runner') return undefined
  const { owner, kernel } = scope
  if (maker === 'holdfast') {
    const leak = new SimulationLeak(api, site, owner.name, 'Holdfast takes it through Env')
    kernel.fail(leak)
    throw leak
  }
  if (!owner.alive) throw new DeadIncarnation(`${api} was called by ${owner.name}, which is dead`)
  const ambient = kernel.ambientFor(owner)
  if (!isVirtual || (api === 'fetch' && ambient.fetch === undefined)) {
    throw new SimulationLeak(api, site, owner.name, 'it does not exist in the simulation')
  }
  return ambient
}

/** Who called, from the frames beneath `above`. */
function callerOf(above: Real): Caller {
  for (const site of callSites(above)) {
    const file = site.getFileName() ?? site.getScriptNameOrSourceURL()
    if (file === null || file === undefined || file === '') continue
    if (file.startsWith('node:')) {
      if (RUNNER_INTERNAL.test(file)) return { maker: 'runner', site: file }
      continue
    }
    const path = file.startsWith('file:') ? new URL(file).pathname : file
    return {
      maker: makerOf(path),
      site: `${path}:${site.getLineNumber()}:${site.getColumnNumber()}`,
    }
  }
  return { maker: 'user', site: 'an unknown place' }
}

function makerOf(path: string): Maker {
  if (path.startsWith(ROOMS) && !TEST_FILE.test(path)) return 'holdfast'
  return RUNNER_FILE.test(path) ? 'runner' : 'user'
}

function callSites(above: Real): NodeJS.CallSite[] {
  const { stackTraceLimit } = Error
  const prepareStackTrace: unknown = Reflect.get(Error, 'prepareStackTrace')
  const holder: { stack?: NodeJS.CallSite[] } = {}
  Error.stackTraceLimit = FRAMES_MAX
  Error.prepareStackTrace = (_, sites) => sites
  try {
    Error.captureStackTrace(holder, above)
    return holder.stack ?? []
  } finally {
    Error.stackTraceLimit = stackTraceLimit
    Object.assign(Error, { prepareStackTrace })
  }
}

/** What a step may create: promises, their callbacks, and `process.nextTick`. */
const DETERMINISTIC = new Set(['PROMISE', 'Microtask', 'TickObject'])

/**
 * Watches every asynchronous resource that a simulated step creates, which slows all promises down:
 * for a sample of runs. One of another kind than promises and ticks fails the run, with its call
 * site. Throwing would end the process: Node allows no error in such a hook. Returns how to stop.
 */
export function watchResources(): () => void {
  const init = (_id: number, type: string): void => {
    if (DETERMINISTIC.has(type)) return
    const scope = currentScope()
    if (scope !== undefined) leaked(scope, type, init as Real)
  }
  const hook = createHook({ init }).enable()
  return () => {
    hook.disable()
  }
}

function leaked(scope: Scope, type: string, above: Real): void {
  const { maker, site } = callerOf(above)
  if (maker === 'runner') return
  const advice = 'it depends on the real world'
  scope.kernel.fail(new SimulationLeak(`the resource ${type}`, site, scope.owner.name, advice))
}
