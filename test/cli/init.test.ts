// What `holdfast init` writes compiles, runs and passes its own tests, with every choice; it asks on
// a terminal alone, and writes all or nothing.

import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TEMPLATES } from '../../src/cli/starter/starter.ts'
import { KEYS, ptyMissing } from '../child/pty.ts'
import { cleanEnvironment, inTerminal, root } from './in-terminal.ts'
import { buildHoldfast, holdfast, jsonLines, Workplace } from './run-holdfast.ts'
import { standing } from './standing.ts'

const place = new Workplace()
const waitMs = 60_000

beforeAll(buildHoldfast)
afterAll(() => place[Symbol.dispose]())

interface Manifest {
  readonly name: string
  readonly dependencies: Record<string, string>
  readonly devDependencies: Record<string, string>
}

const manifestOf = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest

/** What `npm install` makes of the project: the checkout by a link, the compiler, the types. */
function install(folder: string): void {
  const modules = join(folder, 'node_modules')
  const link = (target: string, name: string): void => {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(target, join(modules, name))
  }
  const { dependencies, devDependencies } = manifestOf(folder)
  const [, source = ''] = /^file:(.*)$/.exec(dependencies['holdfast'] ?? '') ?? []
  link(join(folder, source), 'holdfast')
  for (const name of Object.keys(devDependencies)) link(join(root, 'node_modules', name), name)
  link('../typescript/bin/tsc', '.bin/tsc')
}

const plain = {
  encoding: 'utf8',
  timeout: waitMs,
  // Without npm's news of itself.
  env: { ...cleanEnvironment(place.folder), npm_config_update_notifier: 'false' },
} as const

function npm(folder: string, ...args: string[]): { stdout: string; stderr: string; code: unknown } {
  const { stdout, stderr, status } = spawnSync('npm', args, { ...plain, cwd: folder })
  return { stdout, stderr, code: status }
}

async function made(name: string, ...options: string[]): Promise<string> {
  const folder = place.path(name)
  const ended = await standing(['init', folder, '--no-input', ...options])
  expect(ended).toMatchObject({ code: 0, stdout: '' })
  expect(ended.stderr).toContain('npm install\n  npm start\n')
  install(folder)
  return folder
}

describe.each(Object.keys(TEMPLATES))('the starter %s', (template) => {
  it('compiles, runs again on what it stored, and passes its tests', async () => {
    const folder = await made(`${template}-embedded`, '--template', template)
    const first = npm(folder, 'start')
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toContain('your data lives in ./data')
    // What `npm start` has compiled, as it starts it.
    const again = spawnSync(process.execPath, ['dist/main.js'], { ...plain, cwd: folder })
    expect(again).toMatchObject({ status: 0, stderr: '' })
    const tests = npm(folder, 'test')
    expect(tests).toMatchObject({ code: 0, stderr: '' })
    expect(tests.stdout).toMatch(/# pass [1-9]\d*\n# fail 0\n/)
    const command = /^npx holdfast (get .*)$/m.exec(readFileSync(join(folder, 'README.md'), 'utf8'))
    const row = await standing([
      ...['--dir', join(folder, 'data'), ...(command?.[1] ?? '').split(' ')],
    ])
    expect(row).toMatchObject({ code: 0, stderr: '' })
  })

  it('serves what it stored over HTTP until Ctrl-C', async () => {
    const folder = await made(`${template}-http`, '--template', template, '--http')
    // Its tests are those of the other, which have run; `npm start` compiles them with the rest.
    const embedded = place.path(`${template}-embedded`)
    for (const file of readdirSync(join(folder, 'src')).filter((name) => name !== 'main.ts')) {
      const [one, other] = [folder, embedded].map((each) => readFileSync(join(each, 'src', file)))
      expect(one).toEqual(other)
    }
    const env = { ...cleanEnvironment(place.folder), PORT: '0' }
    // A process group of its own: Ctrl-C goes to all of npm, its shell and the program.
    const child = spawn('npm', ['start'], { cwd: folder, env, detached: true, timeout: waitMs })
    const ended = new Promise((resolve) => child.once('close', resolve))
    try {
      const url = await new Promise<string>((resolve, reject) => {
        let text = ''
        child.stdout.on('data', (chunk: Buffer) => {
          text += chunk.toString()
          const [, found] = /serving (\S+) - Ctrl-C stops/.exec(text) ?? []
          if (found !== undefined) resolve(found)
        })
        child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
        child.once('close', () => reject(new Error(`it ended: ${text}`)))
      })
      const readme = readFileSync(join(folder, 'README.md'), 'utf8')
      const [, path = ''] = /^curl http:\/\/127.0.0.1:4653(\S+)$/m.exec(readme) ?? []
      const response = await fetch(`${url}${path}`)
      expect([path, response.status]).toEqual([path, 200])
      await response.arrayBuffer()
    } finally {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT')
    }
    await ended
    // Closed in order: the folder is free, and whole.
    const check = await holdfast(['check', '--dir', join(folder, 'data'), '--json'])
    expect(JSON.parse(check.stdout)).toMatchObject({ ok: true })
  })
})

it('checks the types of a starter by a script of its own', async () => {
  const folder = await made('checked', '--http')
  expect(npm(folder, 'run', 'check')).toMatchObject({ code: 0 })
  writeFileSync(join(folder, 'src', 'wrong.ts'), "export const n: number = 'text'\n")
  expect(npm(folder, 'run', 'check')).toMatchObject({ code: 2 })
})

describe('init', () => {
  it('needs neither a terminal nor options, and says what it wrote', async () => {
    const folder = place.path('My Notes!')
    const { code, stdout } = await holdfast(['init', folder, '--json'])
    expect(code).toBe(0)
    const [said] = jsonLines(stdout)
    expect(said).toMatchObject({ folder, template: 'notes', http: false })
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    expect(said?.['files']).toEqual(
      expect.arrayContaining(files.filter((path) => path !== 'src')) as unknown,
    )
    expect(manifestOf(folder).name).toBe('my-notes')
    expect(readFileSync(join(folder, 'src/main.ts'), 'utf8')).not.toContain('serve')
  })

  it('builds with what Holdfast is built with', async () => {
    const folder = place.path('versions')
    await standing(['init', folder, '--name', '@me/versions'])
    const { name, devDependencies } = manifestOf(folder)
    expect(name).toBe('@me/versions')
    expect(manifestOf(root).devDependencies).toMatchObject(devDependencies)
  })

  it('names what is in the way, and writes nothing', async () => {
    const folder = place.path('taken')
    mkdirSync(folder)
    writeFileSync(join(folder, 'package.json'), '{}')
    writeFileSync(join(folder, 'src'), 'a file')
    writeFileSync(join(folder, 'LICENSE'), 'which is not in the way')
    const refused = await holdfast(['init', folder])
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain('these are in the way: package.json, src; nothing was written')
    expect(refused.stderr).toContain('try: holdfast init ANOTHER-FOLDER')
    expect(readdirSync(folder).toSorted()).toEqual(['LICENSE', 'package.json', 'src'])
    const file = await standing(['init', join(folder, 'LICENSE')])
    expect(file).toMatchObject({ code: 1, stdout: '' })
  })

  it('goes into a folder that has other files', async () => {
    const folder = place.path('other')
    mkdirSync(join(folder, 'src'), { recursive: true })
    writeFileSync(join(folder, 'src', 'own.ts'), '')
    expect(await standing(['init', folder])).toMatchObject({ code: 0 })
    expect(readdirSync(join(folder, 'src')).toSorted()).toEqual([
      ...['main.ts', 'notes.test.ts', 'notes.ts', 'own.ts', 'tables.ts'],
    ])
  })

  it('refuses names and templates that there are not', async () => {
    const folder = place.path('refused')
    expect(await standing(['init', folder, '--name', 'Not A Name'])).toMatchObject({ code: 2 })
    expect(await standing(['init', folder, '--template', 'blog'])).toMatchObject({ code: 2 })
    expect(readdirSync(place.folder)).not.toContain('refused')
  })
})

describe.skipIf(ptyMissing() !== undefined)('init on a terminal', () => {
  it('asks three questions', async () => {
    const env = cleanEnvironment(place.folder)
    await using pty = inTerminal(['init'], { cwd: place.folder, env })
    await pty.shows('Which folder is the project in?')
    pty.line('asked')
    await pty.shows('What does it start from?')
    pty.send(KEYS.down)
    await pty.shows('● a shop with accounts and transfers')
    pty.send(KEYS.enter)
    await pty.shows('How is it served?')
    pty.send(KEYS.down)
    await pty.shows('● embedded, and over HTTP on this machine')
    pty.send(KEYS.enter)
    expect(await pty.exit()).toBe(0)
    expect(pty.text).toMatch(/cd asked\n +npm install\n +npm start$/)
    expect(manifestOf(place.path('asked')).name).toBe('asked')
    const program = readFileSync(place.path('asked/src/main.ts'), 'utf8')
    expect(program).toContain("from './shop.ts'")
    expect(program).toContain('await serve(db')
  })

  it('does not ask what the options say, and takes what is offered by Enter', async () => {
    const env = cleanEnvironment(place.folder)
    const args = ['init', 'offered', '--no-http']
    await using pty = inTerminal(args, { cwd: place.folder, env })
    await pty.shows('What does it start from?')
    expect(pty.text).not.toContain('Which folder')
    pty.send(KEYS.enter)
    expect(await pty.exit()).toBe(0)
    expect(pty.text).not.toContain('How is it served?')
    expect(readdirSync(place.path('offered/src'))).toContain('notes.ts')
  })

  it('writes nothing when it is interrupted, and asks nothing with --no-input', async () => {
    const env = cleanEnvironment(place.folder)
    await using pty = inTerminal(['init', 'stopped'], { cwd: place.folder, env })
    await pty.shows('What does it start from?')
    pty.send(KEYS.ctrlC)
    expect(await pty.exit()).toBe(130)
    expect(pty.text).toContain('nothing was written')
    expect(readdirSync(place.folder)).not.toContain('stopped')
    const args = ['init', 'silent', '--no-input']
    await using silent = inTerminal(args, { cwd: place.folder, env })
    expect(await silent.exit()).toBe(0)
    expect(readdirSync(place.path('silent/src'))).toContain('notes.ts')
  })
})
