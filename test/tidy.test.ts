// Style as a test. What a linter, the formatter or the import rules can say is said there; here is
// the rest, and the proof that all of them find what they are for (`planted faults`).

import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import {
  ambientUses,
  errorPageFaults,
  leftovers,
  longFile,
  longFunctions,
  nameFaults,
  recordFaults,
  type Finding,
  type SourceFile,
} from './tidy/checks.ts'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Files that may be longer than the rest, and why. */
const longFilesAllowed: Record<string, string> = {}

/** Functions (`path#name`) that may be longer than the rest, and why. */
const longFunctionsAllowed: Record<string, string> = {}

/** Rooms with a port, and so with a contract suite that every implementation runs. */
const portRooms = ['core', 'store', 'log', 'bus', 'blob']

/** Code that may touch the machine: the list of .oxlintrc.json, and the list of what the simulator guards. */
const ambientAllowed =
  /\/tripwire-targets\.ts$|\/system-[^/]+\.ts$|^src\/cli\/main\.ts$|^src\/verify\/|^src\/require\.cts$|\.(test|contract)\.ts$/

const importRules = createRequire(import.meta.url)('../.dependency-cruiser.cjs') as {
  forbidden: { name: string }[]
}

const isTest = (path: string) => /\.(test|contract)\.ts$/.test(path)

function filesUnder(folder: string, ending: RegExp): SourceFile[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) {
      const skipped = entry.name === 'node_modules' || path === 'test/zoo'
      return skipped ? [] : filesUnder(path, ending)
    }
    return ending.test(path) ? [{ path, text: readFileSync(join(root, path), 'utf8') }] : []
  })
}

const code = ['src', 'test', 'bench', 'examples', 'scripts'].flatMap((folder) =>
  filesUnder(folder, /\.[cm]?[jt]s$/),
)
const source = code.filter(({ path }) => path.startsWith('src/'))

const print = (findings: Finding[]) =>
  findings.map(({ path, line, what }) => `${path}:${line} ${what}`)

describe('files', () => {
  it('are named after what is inside, in kebab-case', () => {
    expect(print(code.flatMap(({ path }) => nameFaults(path)))).toEqual([])
  })

  it('are one idea long', () => {
    expect(print(code.flatMap((file) => longFile(file, longFilesAllowed)))).toEqual([])
  })

  it('leave nothing undone', () => {
    const pages = filesUnder('docs', /\.md$/)
    expect(print([...code, ...pages].flatMap(leftovers))).toEqual([])
  })

  it('of src/ are in a room that the import rules know', () => {
    const { forbidden } = importRules
    const rooms = new Set(source.flatMap(({ path }) => /^src\/([^/]+)\//.exec(path)?.[1] ?? []))
    const unknown = [...rooms].filter(
      (room) => !forbidden.some(({ name }) => name === `room-${room}`),
    )
    expect(unknown).toEqual([])
  })
})

describe('functions', () => {
  it('can be read at once', () => {
    const files = source.filter(({ path }) => !isTest(path))
    expect(print(files.flatMap((file) => longFunctions(file, longFunctionsAllowed)))).toEqual([])
  })

  it('take time, randomness and I/O through ports', () => {
    const files = source.filter(({ path }) => !ambientAllowed.test(path))
    expect(print(files.flatMap(ambientUses))).toEqual([])
  })
})

describe('ports', () => {
  it.each(portRooms)('of src/%s have a contract suite, which its tests run', (room) => {
    const files = source.filter(({ path }) => path.startsWith(`src/${room}/`))
    if (!files.some(({ path }) => !isTest(path))) return // the room does not exist yet
    const contracts = files.filter(({ path }) => path.endsWith('.contract.ts'))
    expect(
      contracts.map(({ path }) => path),
      `src/${room}/*.contract.ts`,
    ).not.toEqual([])
    for (const { path } of contracts) {
      const name = path.slice(path.lastIndexOf('/') + 1)
      const users = code.filter(
        (file) => file.path.endsWith('.test.ts') && file.text.includes(name),
      )
      expect(
        users.map((file) => file.path),
        `tests that run ${path}`,
      ).not.toEqual([])
    }
  })
})

describe('documents', () => {
  it('describe every error, and no other', async (context) => {
    const page = join(root, 'docs/ERRORS.md')
    if (!existsSync(join(root, 'src/core/errors.ts'))) context.skip('no src/core/errors.ts yet')
    if (!existsSync(page)) context.skip('no docs/ERRORS.md yet')
    const { ERRORS } = await import('../src/core/errors.ts')
    expect(errorPageFaults(ERRORS, readFileSync(page, 'utf8'))).toEqual([])
  })

  it('include the error of require()', async (context) => {
    if (!existsSync(join(root, 'src/core/errors.ts'))) context.skip('no src/core/errors.ts yet')
    const { ERRORS } = await import('../src/core/errors.ts')
    const thrown = readFileSync(join(root, 'src/require.cts'), 'utf8')
    const named = /code: '(\w+)', kind: '([\w-]+)'/.exec(thrown)
    const table: Record<string, { readonly kind: string }> = ERRORS
    expect(table[named?.[1] ?? '']?.kind).toBe(named?.[2])
  })

  it('of the packages are complete for every platform, and name no registry', () => {
    const args = [join(root, 'scripts/complete-lock.mjs'), '--check']
    expect(spawnSync(process.execPath, args, { encoding: 'utf8' }).stderr).toBe('')
  })

  it('number the decisions', () => {
    expect(recordFaults(readdirSync(join(root, 'docs/adr')))).toEqual([])
  })
})

describe('planted faults', () => {
  const lines = (count: number) => Array.from({ length: count }, () => 'step()').join('\n')

  it('in ambient use are found', () => {
    const text = [
      'new Date()',
      'Date()',
      'const D = Date',
      'Date["now"]()',
      'const { random } = Math',
      'globalThis.setTimeout(f, 1)',
      'const g = { ...globalThis }',
      'await import("node:fs")',
    ]
    const found = ambientUses({ path: 'src/table/a.ts', text: text.join('\n') })
    expect(found.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })

  it('are not found where there are none', () => {
    const text = [
      'const at: Date = new Date(5)',
      'if (value instanceof Date) Date.parse("x")',
      'Math.max(1, 2)',
      'const row = { Date: 1, Math: 2 }',
      'row.Date',
      'type When = Date | Map<string, Date>',
      'globalThis.structuredClone(row)',
      'await import("node:path")',
    ].join('\n')
    expect(ambientUses({ path: 'src/table/a.ts', text })).toEqual([])
  })

  it('in lengths, names and leftovers are found', () => {
    const path = 'src/table/a.ts'
    expect(longFile({ path, text: lines(601) }, {})).toHaveLength(1)
    expect(longFile({ path, text: lines(600) }, {})).toEqual([])
    expect(longFile({ path, text: lines(601) }, { [path]: 'a reason' })).toEqual([])
    const long = { path, text: `const act = () => {\n${lines(69)}\n}` }
    expect(longFunctions(long, {})[0]?.what).toContain('act has 71 lines')
    expect(longFunctions(long, { [`${path}#act`]: 'a reason' })).toEqual([])
    expect(nameFaults('src/core/camelCase.ts')).toHaveLength(1)
    expect(nameFaults('src/core/string-utils.ts')).toHaveLength(1)
    expect(nameFaults('src/core/lmdb-store.test.ts')).toEqual([])
    expect(leftovers({ path, text: `a\n// ${'TO' + 'DO'}: b` })).toMatchObject([{ line: 2 }])
  })

  it('in the page of errors and the records are found', () => {
    const errors = { Kept: { kind: 'rejected' }, Lost: { kind: 'bug' }, Other: { kind: 'corrupt' } }
    const page = '# Errors\n### Kept\nrejected\n### Other\nbug\n### Old\nrejected\n'
    expect(errorPageFaults(errors, page)).toEqual([
      'Lost: no heading "### Lost"',
      'Other: its section does not name its kind, corrupt',
      'Old: a heading, but no such error',
    ])
    expect(recordFaults(['0001-a.md', '0003-b.md', 'c.md'])).toHaveLength(2)
  })
})

describe('planted faults for the tools', () => {
  /** Runs `work` in a copy of the configuration with these files in it. */
  function planted(files: Record<string, string>, work: (folder: string) => void): void {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-tidy-'))
    try {
      for (const name of [
        '.oxlintrc.json',
        '.dependency-cruiser.cjs',
        'tsconfig.json',
        'package.json',
      ]) {
        cpSync(join(root, name), join(folder, name))
      }
      symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction')
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, path)), { recursive: true })
        writeFileSync(join(folder, path), text)
      }
      work(folder)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  /** Runs a tool of node_modules with Node; its exit code is that of its findings. */
  function tool(folder: string, script: string, args: string[]): string {
    const path = join(root, 'node_modules', script)
    const { stdout, stderr } = spawnSync(process.execPath, [path, ...args], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 25_000,
    })
    return stdout + stderr
  }

  it('are found by the linter, room by room', () => {
    const faults = [
      "import { readFileSync } from 'node:fs'",
      "import { randomBytes } from 'node:crypto'",
      'export const uses = [readFileSync, randomBytes, process, setTimeout]',
      'export const now = (): number => Date.now() + Math.random() + performance.now()',
      'console.log(1)',
      'async function act(): Promise<void> {}',
      'act()',
    ].join('\n')
    const paths = {
      table: 'src/table/a.ts',
      lmdb: 'src/store/lmdb-a.ts',
      system: 'src/core/system-a.ts',
      cli: 'src/cli/list.ts',
    }
    planted(Object.fromEntries(Object.values(paths).map((path) => [path, faults])), (folder) => {
      const output = tool(folder, 'oxlint/bin/oxlint', ['--type-aware', '--format', 'unix', 'src'])
      const of = (path: string) =>
        output.split('\n').flatMap((line) => {
          const at = /^(.*):(\d+):\d+: .*\((.*)\)\]/.exec(line)
          return at?.[1]?.endsWith(path) === true ? [`${at[2]} ${at[3]}`] : []
        })
      const ambient = [
        '3 no-restricted-globals',
        '3 no-restricted-globals',
        '4 no-restricted-globals',
        '4 no-restricted-properties',
        '4 no-restricted-properties',
      ]
      const imports = ['1 no-restricted-imports', '2 no-restricted-imports']
      const always = ['5 no-console', '7 no-floating-promises']
      expect(of(paths.table).toSorted()).toEqual([...imports, ...ambient, ...always])
      expect(of(paths.lmdb).toSorted()).toEqual([...imports.slice(1), ...ambient, ...always])
      expect(of(paths.system).toSorted()).toEqual(always)
      expect(of(paths.cli).toSorted()).toEqual([
        ...imports.slice(1),
        ...ambient.slice(1),
        ...always.slice(1),
      ])
    })
  })

  it('are found by the import rules', () => {
    const files = {
      'src/core/up.ts': "import type { Store } from '../store/store.ts'\nexport type Up = Store\n",
      'src/core/one.ts': "import type { Two } from './two.ts'\nexport type One = Two\n",
      'src/core/two.ts': "import type { One } from './one.ts'\nexport type Two = One\n",
      'src/store/store.ts': 'export type Store = object\n',
      'src/store/lmdb-store.ts': "import { open } from 'lmdb'\nexport const store = open\n",
      'src/store/memory-store.ts': "import { open } from 'lmdb'\nexport const store = open\n",
      'src/bus/bus.ts': "import type { Store } from '../store/store.ts'\nexport type Bus = Store\n",
      'src/shard/shard.ts': "export { store } from '../store/lmdb-store.ts'\n",
      'src/store/lmdb-store.test.ts': "import './lmdb-store.ts'\n",
      'src/table/strong/a.ts': "export { b } from '../eventual/b.ts'\n",
      'src/table/eventual/b.ts': 'export const b = 1\n',
      'src/sim/sim.ts': "import { z } from 'zod'\nexport const sim = z\n",
      'src/work/task.ts': "export { sim } from '../sim/sim.ts'\n",
      'src/index.ts': "export { open } from './open.ts'\n",
      'src/open.ts': "export { store as open } from './store/lmdb-store.ts'\n",
      'src/cli/main.ts': "import '../open.ts'\nimport '../index.ts'\n",
      'src/server/server.ts': "import '../index.ts'\n",
    }
    planted(files, (folder) => {
      const args = ['--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'src']
      const output = tool(folder, 'dependency-cruiser/bin/dependency-cruise.mjs', args)
      const { summary } = JSON.parse(output) as {
        summary: { violations: { from: string; rule: { name: string } }[] }
      }
      const found = summary.violations.map(({ from, rule }) => `${from} ${rule.name}`)
      expect([...new Set(found)].toSorted()).toEqual([
        'src/bus/bus.ts room-bus',
        'src/core/one.ts no-cycles',
        'src/core/up.ts room-core',
        'src/server/server.ts one-barrel',
        'src/server/server.ts room-server',
        'src/shard/shard.ts adapters-by-open-alone',
        'src/sim/sim.ts no-development-packages',
        'src/store/memory-store.ts lmdb-in-its-adapter',
        'src/table/strong/a.ts strong-not-eventual',
        'src/work/task.ts room-work',
        'src/work/task.ts sim-by-tests-alone',
      ])
    })
  })
})
