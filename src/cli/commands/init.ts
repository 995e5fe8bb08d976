/** `holdfast init`: asks three questions, and writes a typed starter that runs. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { HoldfastError } from '../../core/errors.ts'
import { EXIT, Interrupted, UsageError } from '../exit-codes.ts'
import type { Shell } from '../shell.ts'
import { starterFiles, TEMPLATES, type TemplateName } from '../starter/starter.ts'
import { inTheWay, writeStarter } from '../starter/write-starter.ts'

export interface InitOptions {
  /** The package's name; by default the folder's. */
  readonly name?: string | undefined
  readonly template?: TemplateName | undefined
  readonly http?: boolean | undefined
}

interface Answers {
  readonly folder: string
  readonly template: TemplateName
  readonly http: boolean
}

const DEFAULT_FOLDER = 'my-holdfast'
const DEFAULT_TEMPLATE: TemplateName = 'notes'
/** What npm takes as a package's name, without a scope. */
const PACKAGE_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/
const PACKAGE_NAME_CHARS = 214

export async function initCommand(
  shell: Shell,
  folder: string | undefined,
  options: InitOptions,
): Promise<number> {
  const { name } = options
  if (name !== undefined && !isPackageName(name)) {
    throw new UsageError(`--name is a package's name, such as my-notes, not ${name}`)
  }
  const given = folder ?? name?.slice(name.indexOf('/') + 1)
  const answers = shell.canAsk
    ? await ask(shell, given, options)
    : {
        folder: given ?? DEFAULT_FOLDER,
        template: options.template ?? DEFAULT_TEMPLATE,
        http: options.http ?? false,
      }
  const target = resolve(answers.folder)
  const source = holdfastSource(shell.mainFile, target)
  const files = starterFiles({
    name: name ?? packageName(basename(target)),
    template: answers.template,
    http: answers.http,
    holdfast: source.dependency,
  })
  const paths = Object.keys(files)
  refuseObstacles(target, answers.folder, inTheWay(target, paths))
  writeStarter(target, files)
  await report(shell, target, { ...answers, paths, isCheckout: source.isCheckout })
  return EXIT.ok
}

async function ask(
  shell: Shell,
  given: string | undefined,
  options: InitOptions,
): Promise<Answers> {
  const { isCancel, select, text } = await import('@clack/prompts')
  const to = { output: shell.stderr, signal: shell.signal }
  const answered = <T>(answer: T | symbol): T => {
    if (isCancel(answer)) throw new Interrupted('nothing was written')
    return answer as T
  }
  const folder =
    given ??
    answered<string>(
      await text({
        message: 'Which folder is the project in? It is made when it is missing.',
        placeholder: DEFAULT_FOLDER,
        defaultValue: DEFAULT_FOLDER,
        ...to,
      }),
    )
  const template =
    options.template ??
    answered<TemplateName>(
      await select({
        message: 'What does it start from?',
        options: Object.entries(TEMPLATES).map(([value, { label }]) => ({
          value: value as TemplateName,
          label,
        })),
        initialValue: DEFAULT_TEMPLATE,
        ...to,
      }),
    )
  const http =
    options.http ??
    answered<boolean>(
      await select({
        message: 'How is it served?',
        options: [
          { value: false, label: 'embedded only: the program has the data to itself' },
          { value: true, label: 'embedded, and over HTTP on this machine' },
        ],
        initialValue: false,
        ...to,
      }),
    )
  return { folder, template, http }
}

/** A checkout is depended on as it is, by its path: Holdfast is not published yet. */
function holdfastSource(
  mainFile: string,
  target: string,
): { readonly dependency: string; readonly isCheckout: boolean } {
  const root = dirname(dirname(dirname(mainFile)))
  if (existsSync(join(root, 'src')) && existsSync(join(root, 'scripts', 'setup.mjs'))) {
    const path = relative(target, root).split(sep).join('/')
    return { dependency: `file:${path === '' ? '.' : path}`, isCheckout: true }
  }
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string
  }
  return { dependency: manifest.version, isCheckout: false }
}

function refuseObstacles(target: string, shown: string, obstacles: readonly string[]): void {
  if (obstacles.length === 0) return
  const names = obstacles.map((path) =>
    path === '.' ? 'the folder itself, which is a file' : path,
  )
  throw new HoldfastError(
    'InvalidArgument',
    `in ${shown} these are in the way: ${names.join(', ')}; nothing was written`,
    { details: { folder: target, files: obstacles, next: 'holdfast init ANOTHER-FOLDER' } },
  )
}

async function report(
  shell: Shell,
  target: string,
  made: Answers & { readonly paths: readonly string[]; readonly isCheckout: boolean },
): Promise<void> {
  const { folder, template, http, paths, isCheckout } = made
  if (shell.json) {
    await shell.outJson({ folder: target, template, http, files: paths })
    return
  }
  const { bold, dim } = shell.paint
  shell.say(`${bold(target)} has ${TEMPLATES[template].label}:`)
  for (const path of paths) shell.say(dim(`  ${path}`))
  if (isCheckout) {
    shell.say('It depends on this checkout of Holdfast by its path: none is published yet.')
  }
  shell.say('\nnext:')
  const place = resolve(folder) === process.cwd() ? [] : [`cd ${relative('', target)}`]
  for (const line of [...place, 'npm install', 'npm start']) shell.say(`  ${bold(line)}`)
}

function isPackageName(name: string): boolean {
  return name.length <= PACKAGE_NAME_CHARS && PACKAGE_NAME.test(name)
}

/** The nearest package name to a folder's. */
function packageName(folder: string): string {
  const name = folder
    .toLowerCase()
    .replaceAll(/[^a-z0-9._~-]+/g, '-')
    .replaceAll(/^[._-]+|-+$/g, '')
    .slice(0, PACKAGE_NAME_CHARS)
  return name === '' ? DEFAULT_FOLDER : name
}
