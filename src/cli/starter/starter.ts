/** The files of a new project: a typed starter that runs with Node 20, without any other tool. */
import { keySegment } from '../../core/key-segment.ts'
import { events } from './events.ts'
import { notes } from './notes.ts'
import { shop } from './shop.ts'
import type { Template } from './template.ts'

export const TEMPLATES = { notes, shop, events } as const satisfies Record<string, Template>

export type TemplateName = keyof typeof TEMPLATES

export interface StarterOptions {
  /** The package's name. */
  readonly name: string
  readonly template: TemplateName
  /** Serves the database over HTTP, until Ctrl-C. */
  readonly http: boolean
  /** What package.json asks for: a version, or `file:` and a path. */
  readonly holdfast: string
}

/** Those that Holdfast itself is built with; a test holds them together. */
const DEVELOPMENT = { '@types/node': '20.19.43', typescript: '6.0.3' }
const PORT = 4653

const GITIGNORE = `node_modules/
dist/
data/
`

/** Paths, with / between their parts, and what the files hold. */
export function starterFiles(options: StarterOptions): Readonly<Record<string, string>> {
  const template: Template = TEMPLATES[options.template]
  return {
    'package.json': packageJson(options),
    'tsconfig.json': json(TSCONFIG),
    '.gitignore': GITIGNORE,
    'README.md': readme(options, template),
    'src/tables.ts': template.tables,
    [`src/${template.module}.ts`]: template.code,
    [`src/${template.module}.test.ts`]: template.test,
    'src/main.ts': options.http ? servedMain(template) : embeddedMain(template),
  }
}

const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    lib: ['es2023'],
    module: 'nodenext',
    types: ['node'],
    rootDir: 'src',
    outDir: 'dist',
    sourceMap: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    verbatimModuleSyntax: true,
    erasableSyntaxOnly: true,
    rewriteRelativeImportExtensions: true,
    skipLibCheck: true,
  },
  include: ['src'],
}

function packageJson({ name, template, holdfast }: StarterOptions): string {
  return json({
    name,
    version: '0.1.0',
    private: true,
    type: 'module',
    engines: { node: '>=20.19' },
    scripts: {
      start: 'tsc && node dist/main.js',
      test: `tsc && node --test dist/${TEMPLATES[template].module}.test.js`,
      check: 'tsc --noEmit',
    },
    dependencies: { holdfast },
    devDependencies: DEVELOPMENT,
  })
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

function embeddedMain(template: Template): string {
  return `import { open } from 'holdfast'
${ownImports(template)}
${OPENING}
${template.main}
await db.close()
`
}

function servedMain(template: Template): string {
  return `import { open } from 'holdfast'
import { serve } from 'holdfast/server'
${ownImports(template)}
${OPENING}
${template.main}
// On this machine alone: any other address needs tokens.
const server = await serve(db, { port: Number(process.env['PORT'] ?? ${PORT}) })
console.log('serving', server.url, '- Ctrl-C stops')

async function stop() {
  await server.close()
  await db.close()
}
process.once('SIGINT', stop)
process.once('SIGTERM', stop)
`
}

const OPENING = `
const db = await open({ dir: './data', tables }) // made when it is missing
console.log('your data lives in ./data')
`

function ownImports({ imports, module }: Template): string {
  return `import { ${imports.join(', ')} } from './${module}.ts'\nimport { tables } from './tables.ts'`
}

function readme({ name, http }: StarterOptions, template: Template): string {
  const { table, key } = template.example
  const parts = [key].flat().join(' ')
  return `# ${name}

\`\`\`sh
npm install
npm start    # compiles, runs src/main.ts${http ? ', serves until Ctrl-C' : ''}
npm test     # in memory, nothing on disk
\`\`\`

Tables are declared in \`src/tables.ts\`; what is done with them is in \`src/${template.module}.ts\`. The data
lives in \`data/\`. Look at it, while the program runs or when it does not:

\`\`\`sh
npx holdfast get ${table} ${parts}
npx holdfast repl
\`\`\`
${http ? overHttp(template) : ''}`
}

function overHttp({ example }: Template): string {
  return `
Over HTTP, while it runs (http://127.0.0.1:${PORT}/docs shows every route):

\`\`\`sh
curl http://127.0.0.1:${PORT}/v1/tables/${example.table}/rows/${keySegment(example.key)}
\`\`\`
`
}
