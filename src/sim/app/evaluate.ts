/**
 * Evaluates a bundled app for one incarnation (D2): in the same JavaScript realm as the simulator,
 * so that its dates, errors and responses are ours too, but with globals and modules of its own.
 * The state of its modules lives as long as the incarnation.
 *
 * Not covered, as nothing in a shared realm can: indirect `eval`, the machine's time zone, and
 * global variables that are read by their bare name after `globalThis.name = ...` (write
 * `globalThis.name` there too).
 */
import type { Draw } from '../draw.ts'
import { metaOf, type AppBundle } from './bundle.ts'
import { realmGlobals } from './globals.ts'
import { moduleLoader } from './modules.ts'
import type { ProcessOptions } from './process.ts'
import { Realm, type RealmParts } from './realm.ts'
import { virtualFetch, type FetchParts } from './virtual-fetch.ts'

export interface EvaluateOptions
  extends
    Omit<RealmParts, 'code'>,
    Omit<ProcessOptions, 'file'>,
    Pick<FetchParts, 'self' | 'nodes' | 'transport' | 'hosts'> {
  readonly bundle: AppBundle
  /** What the app gets for `holdfast` and its parts, by specifier. */
  readonly provide: Readonly<Record<string, unknown>>
}

export interface Evaluated {
  readonly realm: Realm
  /** What the entry exports. */
  readonly exports: Readonly<Record<string, unknown>>
  /** Emits an event of the app's `process`; whether anyone listens. */
  emit(event: string, ...args: unknown[]): boolean
}

/** Resolves once the app's modules are evaluated, their top-level awaits included. */
export async function evaluate(options: EvaluateOptions): Promise<Evaluated> {
  const { bundle, owner, self, nodes, transport, hosts, env, onExit, provide } = options
  const realm = new Realm({ ...options, code: bundle })
  const turn = (): Promise<void> =>
    new Promise((resolve) => {
      realm.after('fetch', outsideMs(options.ambient.random), resolve)
    })
  const alive = realm.alive.bind(realm)
  const fetch = virtualFetch({ owner, self, nodes, transport, hosts, alive, turn })
  const made = realmGlobals(realm, fetch, { env, file: bundle.file, onExit })
  const { events } = made.process
  realm.interceptUncaught = (error) => events.emit('uncaughtException', error)
  const require = moduleLoader(realm, { ...made, provide })
  const meta = metaOf(bundle.file)
  const { filename: __filename, dirname: __dirname } = meta
  Object.assign(made.globals, { require, __filename, __dirname })
  let exports: Readonly<Record<string, unknown>> = {}
  const take = (namespace: typeof exports): void => {
    exports = namespace
  }
  try {
    const gate = { globals: made.globals, meta, require, exports: take }
    await realm.run(() => bundle.evaluate(gate))
  } catch (error) {
    throw realm.mapped(error)
  }
  const emit = (event: string, ...args: unknown[]): boolean =>
    realm.run(() => events.emit(event, ...args))
  return { realm, exports, emit }
}

const OUTSIDE_MEAN_MS = 20

/** How long the way to a host outside of the cluster takes. */
function outsideMs(random: Draw): number {
  return random.exponential(OUTSIDE_MEAN_MS)
}
