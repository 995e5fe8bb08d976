// What somebody who installs the package gets: it is packed, unpacked into a project of its own,
// and loaded there with Node and with the compiler.

import { spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  name: string
  version: string
  dependencies: Record<string, string>
}

/** A project that has the packed package installed. */
let project: string
let installed: string

beforeAll(() => {
  project = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-exports-')))
  installed = join(project, 'node_modules', manifest.name)
  mkdirSync(installed, { recursive: true })
  must(process.execPath, ['scripts/setup.mjs'], root)
  must('npm', ['pack', '--ignore-scripts', '--pack-destination', project], root)
  const tarball = `${manifest.name}-${manifest.version}.tgz`
  must('tar', ['-xzf', tarball, '--strip-components=1', '-C', installed], project)
  for (const name of Object.keys(manifest.dependencies)) {
    const link = join(project, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), link, 'junction')
  }
  const types = join(project, 'node_modules', '@types')
  mkdirSync(types, { recursive: true })
  symlinkSync(join(root, 'node_modules/@types/node'), join(types, 'node'), 'junction')
}, 300_000)

afterAll(() => {
  rmSync(project, { recursive: true, force: true })
})

describe('the package', () => {
  it('can be imported', () => {
    const { stdout, stderr, status } = node(
      "import * as all from 'holdfast'; console.log(typeof all)",
    )
    expect({ stdout, stderr, status }).toEqual({ stdout: 'object\n', stderr: '', status: 0 })
  })

  it('has the simulator to import, for tests', () => {
    const { stdout, stderr, status } = node(
      "import { simulate } from 'holdfast/testing'; console.log(typeof simulate)",
    )
    expect({ stdout, stderr, status }).toEqual({ stdout: 'function\n', stderr: '', status: 0 })
    const text = "import { simulate } from 'holdfast/testing'\nexport type S = typeof simulate\n"
    expect(typeFaults('simulated.mts', text)).toEqual([])
  })

  it('has a client, and a server for it', () => {
    const { stdout, stderr, status } = node(`
      import { open, strong } from 'holdfast'
      import { connect } from 'holdfast/client'
      import { serve } from 'holdfast/server'
      const db = await open({ memory: true, tables: { notes: strong({ key: 'id' }) } })
      const server = await serve(db, { port: 0 })
      const remote = connect({ url: server.url })
      await remote.notes.put({ id: 'a', at: new Date(0) })
      console.log(await remote.notes.get('a'))
      await server.close()
      await db.close()`)
    const printed = "{ id: 'a', at: 1970-01-01T00:00:00.000Z }\n"
    expect({ stdout, stderr, status }).toEqual({ stdout: printed, stderr: '', status: 0 })
    const text = `
      import { strong, unvalidated, type DatabaseLike } from 'holdfast'
      import { connect } from 'holdfast/client'
      const tables = { notes: strong({ row: unvalidated<{ id: string }>(), key: 'id' }) }
      const db = connect<typeof tables>({ url: 'http://127.0.0.1:4653' })
      export const either: DatabaseLike<typeof tables> = db
      export const note: Promise<{ id: string } | undefined> = db.notes.get('a')
      db.notes.get(1)`
    expect(typeFaults('remote.mts', text)).toEqual([expect.stringContaining("'number'")])
  })

  it('has types for those who import it', () => {
    const text = "import * as all from 'holdfast'\nexport type All = typeof all\n"
    expect(typeFaults('good.mts', text)).toEqual([])
    const wrong = "import { noSuchExport } from 'holdfast'\nnoSuchExport()\n"
    expect(typeFaults('wrong.mts', wrong)).toEqual([
      expect.stringContaining('has no exported member'),
    ])
  })

  it.each(['holdfast', 'holdfast/client', 'holdfast/server', 'holdfast/testing'])(
    'tells those who require %s what to do',
    (name) => {
      const script = `
      try { require('${name}') } catch (error) {
        console.log(JSON.stringify({ name: error.name, code: error.code, message: error.message }))
      }`
      const { stdout, stderr } = node(script, 'commonjs')
      expect(stderr).toBe('')
      const error = JSON.parse(stdout) as { name: string; code: string; message: string }
      expect(error).toMatchObject({ name: 'HoldfastError', code: 'EsmOnly' })
      expect(error.message).toContain("await import('holdfast')")
      expect(error.message).toContain('"type": "module"')
    },
  )

  it('can be loaded from CommonJS as its error advises', () => {
    const script = "import('holdfast').then((all) => console.log(typeof all))"
    expect(node(script, 'commonjs')).toMatchObject({ stdout: 'object\n', stderr: '' })
  })

  it('has no types for those who require it, so that the compiler says so first', () => {
    const text = "import all = require('holdfast')\nall.open\n"
    expect(typeFaults('common.cts', text)).toHaveLength(1)
  })

  it('satisfies publint', async () => {
    const { messages } = await publint({ pkgDir: installed, pack: false, strict: true })
    expect(messages.map((message) => formatMessage(message, manifest))).toEqual([])
  })

  it('holds what runs, and no tests', () => {
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' })
    expect(files).toContain('LICENSE')
    expect(files).toContain(join('bin', 'holdfast'))
    expect(
      files.filter((path) => /\.(test|contract)\.|tsbuildinfo|build-stamp/.test(path)),
    ).toEqual([])
  })
})

/** Runs a script in the project. */
function node(script: string, type: 'module' | 'commonjs' = 'module') {
  const args = [`--input-type=${type}`, '--eval', script]
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  return { stdout, stderr, status }
}

/** What the compiler says of this file of the project, and of the package's own declarations. */
function typeFaults(name: string, text: string): string[] {
  const path = join(project, name)
  writeFileSync(path, text)
  const program = ts.createProgram([path], {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    types: ['node'],
    typeRoots: [join(project, 'node_modules/@types')],
  })
  // These files alone: checking the declarations of Node as well takes many times as long.
  const files = program
    .getSourceFiles()
    .filter(({ fileName }) => fileName === path || fileName.startsWith(`${installed}/`))
  return files
    .flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ])
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

function must(command: string, args: string[], cwd: string): void {
  const shell = process.platform === 'win32' && command === 'npm'
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', shell })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`)
}
