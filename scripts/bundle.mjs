// Makes dist/command/ of src/cli/: the command as a few files, with the small packages it starts
// with. Loading two hundred modules one by one took most of the time of a short command.

import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const outdir = join(root, 'dist', 'command')
/** Pure JavaScript, and loaded by every command; other packages stay what they are. */
const BUNDLED = ['commander', 'picocolors', 'sorted-btree']

/** @typedef {{ dependencies: Record<string, string> }} Manifest */
const manifest = /** @type {Manifest} */ (
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
)

export async function bundleCommand() {
  rmSync(outdir, { recursive: true, force: true })
  const packages = Object.keys(manifest.dependencies).filter((name) => !BUNDLED.includes(name))
  await build({
    entryPoints: [join(root, 'src', 'cli', 'main.ts')],
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    logLevel: 'warning',
    external: packages,
    // What those packages ask of Node by `require`.
    banner: {
      js: `import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);`,
    },
  })
  writeFileSync(join(outdir, 'LICENSES.txt'), BUNDLED.map(licenseOf).join('\n'))
}

/** Its licence asks to be handed on with the code. @param {string} name */
function licenseOf(name) {
  const folder = join(root, 'node_modules', name)
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each))
  if (file === undefined) throw new Error(`${name} has no file with its licence`)
  return `${name}\n\n${readFileSync(join(folder, file), 'utf8')}`
}
