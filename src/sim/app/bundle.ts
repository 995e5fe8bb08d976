/**
 * A user's app as one script: bundled once for a campaign, evaluated afresh for each incarnation
 * (`evaluate.ts`), so that the state of its modules dies with a crash.
 *
 * The entry and the npm packages that it imports go into the bundle. `holdfast` and Node's own
 * modules stay outside: each becomes a tiny CommonJS module that asks the realm for them, which
 * leaves no import or export in the output, so that it may be wrapped in an asynchronous function
 * and top-level `await` works.
 */
import { dirname } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type * as Esbuild from 'esbuild'
import type { BuildFailure, BuildOptions, Message, Plugin } from 'esbuild'
import { must } from '../../core/assert.ts'
import { HoldfastError } from '../../core/errors.ts'
import { builtinModules, compile, SourceMap, type SourceMapPayload } from './host.ts'
import { GATE, SHADOWED } from './names.ts'

/** What a realm hands to a bundle. */
export interface Gate {
  readonly globals: Readonly<Record<string, unknown>>
  /** In place of `import.meta`: that of the entry, for every module. */
  readonly meta: Readonly<Record<string, unknown>>
  /** A module that stays outside the bundle, by its specifier. */
  require(name: string): unknown
  /** Takes the namespace of the entry, once it is evaluated. */
  exports(namespace: Readonly<Record<string, unknown>>): void
}

export interface AppBundle {
  /** Absolute path of the entry. */
  readonly file: string
  /** Bytes of the script, source map aside. */
  readonly bytes: number
  /** Evaluates the app anew: nothing is shared with earlier evaluations. */
  evaluate(gate: Gate): Promise<void>
  /** A stack trace with the places in the user's own files instead of those in the bundle. */
  mapStack(stack: string): string
  /** The place in the user's own code from which a call came, if the stack tells. */
  callSite(stack: string): string | undefined
}

/**
 * Bundles the app whose entry is `app`, a file URL or an absolute path: TypeScript or JavaScript.
 * Throws `AppNotBundled`, with place and cause, for one that does not bundle.
 */
export async function bundleApp(app: URL | string): Promise<AppBundle> {
  const file = entryPath(app)
  const { outputFiles } = await build(file)
  const output = (ending: string): string =>
    must(
      outputFiles.find(({ path }) => path.endsWith(ending)),
      `the bundler gives ${ending}`,
    ).text
  const code = output('.js')
  return new Bundle(file, code, output('.map'))
}

class Bundle implements AppBundle {
  readonly file: string
  readonly bytes: number
  readonly #name: string
  readonly #run: (gate: Gate) => Promise<void>
  readonly #map: string
  #sourceMap: SourceMap | undefined

  constructor(file: string, code: string, map: string) {
    this.file = file
    this.bytes = code.length
    this.#name = `${file}.bundle.js`
    this.#map = map
    // Also inside, for debuggers and for `node --enable-source-maps`.
    const inline = Buffer.from(map).toString('base64')
    const script = `${code}\n//# sourceMappingURL=data:application/json;base64,${inline}`
    this.#run = compile(script, this.#name) as (gate: Gate) => Promise<void>
  }

  evaluate(gate: Gate): Promise<void> {
    return this.#run(gate)
  }

  mapStack(stack: string): string {
    if (!stack.includes(this.#name)) return stack
    const pieces = stack.split(this.#name)
    return pieces.reduce((before, after) => {
      const place = /^:(\d+):(\d+)/.exec(after)
      if (place === null) return `${before}${this.#name}${after}`
      const [text, line, column] = place
      return `${before}${this.#place(Number(line), Number(column))}${after.slice(text.length)}`
    })
  }

  callSite(stack: string): string | undefined {
    const places = stack
      .split('\n')
      .filter((line) => line.includes(this.#name))
      .map((line) => /\(?([^(]*:\d+:\d+)\)?$/.exec(this.mapStack(line).replace(/^ *at /, ''))?.[1])
    return places.find((place) => place?.includes('/node_modules/') === false) ?? places[0]
  }

  #place(line: number, column: number): string {
    this.#sourceMap ??= new SourceMap(JSON.parse(this.#map) as SourceMapPayload)
    const entry = this.#sourceMap.findEntry(line - 1, column - 1)
    if (!('originalSource' in entry)) return `${this.#name}:${line}:${column}`
    const source = new URL(entry.originalSource, pathToFileURL(this.file))
    const path = source.protocol === 'file:' ? fileURLToPath(source) : entry.originalSource
    return `${path}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
  }
}

function entryPath(app: URL | string): string {
  const url = typeof app === 'string' && !app.startsWith('file:') ? undefined : new URL(app)
  if (url === undefined) return app as string
  if (url.protocol === 'file:') return fileURLToPath(url)
  throw new HoldfastError(
    'InvalidArgument',
    `\`app\` is ${url.href}: pass a file, as new URL('./shop.ts', import.meta.url)`,
  )
}

type Bundler = Pick<typeof Esbuild, 'build'>

interface Built {
  readonly outputFiles: readonly { readonly path: string; readonly text: string }[]
}

async function build(file: string): Promise<Built> {
  const esbuild = await loadBundler()
  try {
    return await esbuild.build(optionsFor(file))
  } catch (error) {
    const { errors } = error as Partial<BuildFailure>
    if (errors === undefined) throw error
    throw notBundled(file, errors, error)
  }
}

async function loadBundler(): Promise<Bundler> {
  try {
    return await import('esbuild')
  } catch (cause) {
    throw new HoldfastError(
      'AppNotBundled',
      'esbuild, which bundles apps, cannot be loaded: install the dependencies of holdfast again, ' +
        'optional ones included',
      { cause },
    )
  }
}

function optionsFor(file: string): BuildOptions & { write: false } {
  return {
    stdin: {
      contents: `import * as app from ${JSON.stringify(file)}\n${GATE}.exports(app)`,
      resolveDir: dirname(file),
      sourcefile: 'holdfast-entry.js',
    },
    absWorkingDir: dirname(file),
    outfile: `${file}.bundle.js`,
    write: false,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'external',
    // What is left of it names no file that could be bundled: the realm's `require` says so.
    supported: { 'dynamic-import': false },
    define: { 'import.meta': `${GATE}.meta` },
    banner: { js: wrapper },
    footer: { js: '})()})' },
    legalComments: 'none',
    logLevel: 'silent',
    plugins: [outside],
  }
}

/** Two functions, so that the app's own top-level names may hide the parameters. */
const wrapper = `(function(${GATE}){"use strict";const{${SHADOWED.join()}}=${GATE}.globals;return(async()=>{`

/** What stays outside the bundle: each module asks the realm. */
const outside: Plugin = {
  name: 'holdfast-outside',
  setup(build) {
    const plain = builtinModules.map((name) => name.replaceAll('/', '\\/')).join('|')
    const namespace = 'holdfast-outside'
    build.onResolve({ filter: new RegExp(`^(node:.+|holdfast(\\/.+)?|${plain})$`) }, (found) => ({
      path: found.path,
      namespace,
    }))
    build.onLoad({ filter: /./, namespace }, ({ path }) => ({
      contents: `module.exports = ${GATE}.require(${JSON.stringify(path)})`,
    }))
  },
}

function notBundled(file: string, errors: readonly Message[], cause: unknown): HoldfastError {
  const places = errors.map(({ text, location }) =>
    location === null ? text : `${location.file}:${location.line}:${location.column + 1}: ${text}`,
  )
  const advice = adviceFor(errors.map(({ text }) => text).join('\n'))
  return new HoldfastError(
    'AppNotBundled',
    `the app ${file} does not bundle: ${places.join('; ')}.${advice}`,
    { cause, details: { file, errors: places } },
  )
}

function adviceFor(text: string): string {
  if (/No loader is configured for "\.node"/.test(text)) {
    return ' Native addons cannot run inside a simulation: inject what uses them, and leave it out.'
  }
  if (/Could not resolve/.test(text)) return ' Check the path, or install the package.'
  return ''
}

/** In place of the `import.meta` of the entry. */
export function metaOf(file: string): Readonly<Record<string, unknown>> {
  const { href } = pathToFileURL(file)
  return Object.freeze({ url: href, filename: file, dirname: dirname(file), main: false })
}
