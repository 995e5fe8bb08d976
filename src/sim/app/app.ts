/**
 * What an app of the simulator is, and how a node starts it.
 *
 * An app is a module: TypeScript or JavaScript, with whatever it imports. Its default export is one of
 *
 * - an object with `fetch(request)`, as a Hono app is: it answers the requests to this node;
 * - a function `(node) => ({ fetch?, stop?, ...api })`, possibly asynchronous, called at each start;
 * - nothing: then the module does its work by itself.
 *
 * What the function returns besides, and the module's other exports, are the node's `api`, within
 * reach of the test. `stop` is called when the node is to end in order; for a module without it,
 * `process.emit('SIGTERM')` is what it hears.
 */
import { HoldfastError } from '../../core/errors.ts'
import { evaluate, type EvaluateOptions } from './evaluate.ts'
import type { Realm } from './realm.ts'
import { connectionError, wholeResponse } from './virtual-fetch.ts'

/** What an app's function is called with. */
export interface AppNode {
  /** This node's name, which is its host name. */
  readonly name: string
  /** Every node's, this one's included. */
  readonly nodes: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export type AppHandler = (request: Request) => Response | Promise<Response>

/** What an app's function returns; what is not named here is `api`. */
export interface AppParts {
  readonly fetch?: AppHandler
  readonly stop?: () => unknown
  readonly [name: string]: unknown
}

/** The default export of an app. */
export type App =
  | { readonly fetch: AppHandler }
  | ((node: AppNode) => AppParts | undefined | Promise<AppParts | undefined>)

/**
 * What the test sees of an app's module as `api`: `ApiOf<typeof import('./shop.ts')>`. Of a module
 * whose default export is a function, also what that returns.
 */
export type ApiOf<Module> = unknown extends Module
  ? unknown
  : Omit<Module, 'default'> & Returned<Module>

type Returned<Module> = Module extends { readonly default: (...args: never[]) => infer Made }
  ? Omit<NonNullable<Awaited<Made>>, 'fetch' | 'stop'>
  : unknown

export type StartOptions = EvaluateOptions & {
  /** Rejects when the incarnation ends: calls of `api` that are under way then end with it. */
  readonly ended?: Promise<never>
}

export interface StartedApp {
  /** Whether it answers requests. */
  readonly isServing: boolean
  /**
   * Answers one request, as the incarnation; the body of the answer is read. Rejects with
   * `ECONNREFUSED` when the app has no `fetch`, and with `UND_ERR_SOCKET` when its `fetch` throws.
   */
  readonly fetch: (request: Request) => Promise<Response>
  /** What the test may call; functions run as the incarnation. */
  readonly api: Readonly<Record<string, unknown>>
  /** Told of a rejection in the app that nobody handled: a process ends of it. */
  readonly unhandled: (cause: unknown) => void
  /** Ends the app in order. */
  readonly stop: () => Promise<void>
}

/** Evaluates the app and calls its function. Rejects with what the app throws. */
export async function startApp(options: StartOptions): Promise<StartedApp> {
  const { self: name, nodes, env, bundle } = options
  const app = await evaluate(options)
  const { realm, exports } = app
  const main = exports['default']
  const made =
    typeof main === 'function'
      ? await called(realm, main as AppFunction, { name, nodes, env })
      : main
  const parts = partsOf(made, typeof main === 'function', bundle.file)
  const { fetch, stop = () => void app.emit('SIGTERM', 'SIGTERM', SIGTERM), ...rest } = parts
  return {
    isServing: fetch !== undefined,
    fetch: (request) => realm.run(() => answered(realm, fetch, request, name)),
    api: apiOf(realm, [exports, rest], options.ended),
    unhandled: (cause) => {
      if (!app.emit('unhandledRejection', cause)) realm.uncaught(cause)
    },
    stop: async () => {
      await realm.run(stop)
    },
  }
}

const SIGTERM = 15

type AppFunction = Extract<App, (...args: never[]) => unknown>

async function called(realm: Realm, main: AppFunction, node: AppNode): Promise<unknown> {
  try {
    return await realm.run(() => main(node))
  } catch (error) {
    throw realm.mapped(error)
  }
}

function partsOf(made: unknown, isReturned: boolean, file: string): AppParts {
  if (made === undefined) return {}
  const what = isReturned ? `the function that ${file} exports returned` : `${file} exports`
  if (typeof made !== 'object' || made === null) {
    throw new HoldfastError(
      'InvalidArgument',
      `${what} a ${typeof made}: an app is an object with \`fetch\`, or a function that returns one`,
    )
  }
  const { fetch, stop } = made as AppParts
  for (const [name, part] of Object.entries({ fetch, stop })) {
    if (part === undefined || typeof part === 'function') continue
    throw new HoldfastError('InvalidArgument', `${what} a \`${name}\` that is no function`)
  }
  return {
    // Of what the module exports as it is, a Hono app with all its methods, only the handler counts.
    ...(isReturned ? made : {}),
    ...(fetch === undefined ? {} : { fetch: fetch.bind(made) }),
    ...(stop === undefined ? {} : { stop: stop.bind(made) }),
  }
}

async function answered(
  realm: Realm,
  fetch: AppHandler | undefined,
  request: Request,
  name: string,
): Promise<Response> {
  if (fetch === undefined) throw connectionError('ECONNREFUSED', name)
  try {
    return await wholeResponse(await fetch(request))
  } catch (error) {
    realm.line('error', `the app's fetch threw: ${describe(realm.mapped(error))}`)
    throw Object.assign(connectionError('UND_ERR_SOCKET', name), { cause: error })
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : String(error)
}

type Call = (...args: unknown[]) => unknown

/** The members of `sources`, later ones first, as functions that enter the incarnation. */
function apiOf(
  realm: Realm,
  sources: readonly Readonly<Record<string, unknown>>[],
  ended: Promise<never> | undefined,
): Readonly<Record<string, unknown>> {
  const entered =
    (call: Call, self: unknown): Call =>
    (...args) => {
      if (!realm.owner.alive) throw new HoldfastError('NoResponder', `${realm.owner.name} is down`)
      const result = realm.run(() => Reflect.apply(call, self, args))
      if (!(result instanceof Promise)) return result
      const mapped = result.catch((error: unknown) => {
        throw realm.mapped(error)
      })
      return ended === undefined ? mapped : Promise.race([mapped, ended])
    }
  const api: Record<string, unknown> = {}
  for (const source of sources) {
    for (const name of Object.keys(source).filter((name) => name !== 'default')) {
      // What a module exports is live: read when it is asked for.
      const read = (): unknown => {
        const part = source[name]
        return typeof part === 'function' ? entered(part as Call, source) : part
      }
      Object.defineProperty(api, name, { get: read, enumerable: true, configurable: true })
    }
  }
  return api
}
