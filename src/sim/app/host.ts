/**
 * The real realm underneath the simulated ones: taken once, when this module is loaded, so that no
 * later patch of a global reaches in here. The one file of this folder that touches the machine.
 */
/* oxlint-disable eslint/no-restricted-imports -- what the simulated realms are made from */
import {
  builtinModules,
  createRequire,
  isBuiltin,
  SourceMap,
  type SourceMapPayload,
} from 'node:module'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import { Script } from 'node:vm'

const require = createRequire(import.meta.url)

const realGlobal = compile('globalThis', 'real-global.js') as object

export const host = {
  global: realGlobal,
  Date,
  Math,
  Function,
  Intl,
  AbortSignal,
  WebAssembly: Reflect.get(realGlobal, 'WebAssembly') as object,
  Atomics,
  performance,
  process,
  nextTick: process.nextTick.bind(process),
  structuredClone,
} as const

export { builtinModules, isBuiltin, SourceMap, type SourceMapPayload }

/** A module of Node itself, as it is. Only what `modules.ts` lets through reaches an app. */
export function realModule(name: string): object {
  return require(`node:${name}`) as object
}

/** Compiles `code`, an expression, in the real realm, and gives its value. */
export function compile(code: string, filename: string): unknown {
  return new Script(code, { filename }).runInThisContext()
}

// It opens its channel at the first call; better here than inside a watched run.
structuredClone(0)
