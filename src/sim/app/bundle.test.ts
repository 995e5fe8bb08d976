import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { bundleApp, metaOf, type AppBundle } from './bundle.ts'
import { SHADOWED } from './names.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-bundle-'))
afterAll(() => rmSync(folder, { recursive: true }))

let files = 0

async function bundled(source: string, ending = 'ts'): Promise<AppBundle> {
  const file = join(folder, `app-${++files}.${ending}`)
  writeFileSync(file, source)
  return bundleApp(pathToFileURL(file))
}

/** Evaluates with the real globals, or those given. */
async function exportsOf(bundle: AppBundle, given: Record<string, unknown> = {}) {
  const real = SHADOWED.map((name) => [name, Reflect.get(globalThis, name) as unknown] as const)
  let exports: Readonly<Record<string, unknown>> = {}
  await bundle.evaluate({
    globals: { ...Object.fromEntries(real), ...given },
    meta: metaOf(bundle.file),
    require: (name) => ({ asked: name }),
    exports: (namespace) => {
      exports = namespace
    },
  })
  return exports
}

describe('a bundle', () => {
  it('is evaluated afresh each time, top-level awaits included', async () => {
    const bundle = await bundled(`
      const list: number[] = await Promise.resolve([])
      export const add = (): number => list.push(1)`)
    const [first, second] = [await exportsOf(bundle), await exportsOf(bundle)]
    const add = ({ add }: typeof first) => (add as () => number)()
    expect([add(first), add(first), add(second)]).toEqual([1, 2, 1])
  })

  it('contains what the app imports, and leaves holdfast and Node outside', async () => {
    mkdirSync(join(folder, 'node_modules/pack'), { recursive: true })
    writeFileSync(join(folder, 'node_modules/pack/index.js'), 'exports.pack = require("fs").asked')
    writeFileSync(join(folder, 'other.ts'), 'export const other: string = "other"')
    const bundle = await bundled(`
      import { asked } from 'holdfast'
      import * as testing from 'holdfast/testing'
      import { asked as path } from 'node:path'
      import { pack } from 'pack'
      export { asked, path, pack }
      export const part = testing.asked
      export const { other } = await import('./other.ts')`)
    expect({ ...(await exportsOf(bundle)) }).toEqual({
      asked: 'holdfast',
      path: 'node:path',
      pack: 'fs',
      part: 'holdfast/testing',
      other: 'other',
    })
  })

  it('sees the globals that it is given, and may hide them by names of its own', async () => {
    const sees = await bundled('export const seen = Date; export const all = globalThis')
    expect(await exportsOf(sees, { Date: 1, globalThis: 2 })).toMatchObject({ seen: 1, all: 2 })
    const hides = await bundled('const process = 3; class fetch {}; export { process, fetch }')
    expect(await exportsOf(hides)).toMatchObject({ process: 3 })
  })

  it('runs in strict mode, and knows its own file', async () => {
    const bundle = await bundled(`
      export const self = (function () { return this })()
      export const { url } = import.meta`)
    expect(await exportsOf(bundle)).toEqual({
      self: undefined,
      url: pathToFileURL(bundle.file).href,
    })
  })

  it('tells the places of the source in stack traces', async () => {
    const bundle = await bundled(`
      interface Nothing { readonly here: 1 }
      export function fails(): Nothing {
        throw new Error('here')
      }`)
    const { fails } = await exportsOf(bundle)
    const error = await Promise.resolve()
      .then(fails as () => unknown)
      .catch((thrown: unknown) => thrown)
    const stack = bundle.mapStack((error as Error).stack ?? '')
    expect(stack).toContain(`${bundle.file}:4:15`)
    expect(bundle.callSite((error as Error).stack ?? '')).toBe(`${bundle.file}:4:15`)
  })

  it.each(['js', 'mjs', 'cjs', 'tsx', 'mts'])('may be a .%s file', async (ending) => {
    const bundle = await bundled(
      ending === 'cjs' ? 'exports.answer = 42' : 'export const answer = 42',
      ending,
    )
    expect(await exportsOf(bundle)).toMatchObject({ answer: 42 })
  })
})

describe('an app that does not bundle', () => {
  it.each([
    ['a missing package', 'import "no-such-package"', /:1:8: Could not resolve.*install/],
    ['a missing file', 'import "./no-such-file.ts"', /:1:8: Could not resolve/],
    ['a mistake', 'export const x = (\n', /:2:1: Unexpected end of file/],
  ])('is refused with place and cause: %s', async (_name, source, expected) => {
    await expect(bundled(source)).rejects.toMatchObject({
      code: 'AppNotBundled',
      message: expect.stringMatching(expected) as string,
    })
  })

  it('is refused as well when its file is not there, or no file', async () => {
    await expect(bundleApp(join(folder, 'nowhere.ts'))).rejects.toMatchObject({
      code: 'AppNotBundled',
    })
    await expect(bundleApp(new URL('https://example.org/app.ts'))).rejects.toMatchObject({
      code: 'InvalidArgument',
    })
  })

  it('is told that native addons have no place in a simulation', async () => {
    writeFileSync(join(folder, 'addon.node'), '')
    await expect(bundled('import "./addon.node"')).rejects.toThrow(/Native addons/)
  })
})
