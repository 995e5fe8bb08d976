/**
 * What a command works on, and who says so: the command line, then the environment, then the
 * project's file, then the context in use, then the default. The first that names a folder, a URL or
 * a context decides; nothing is put together of several.
 */
import { dirname, join, resolve } from 'node:path'
import { HoldfastError } from '../../core/errors.ts'
import { UsageError } from '../exit-codes.ts'
import { nearest } from '../nearest.ts'
import { invalidConfig, onlyKeys, readJson, textAt } from './json-file.ts'
import {
  readUserConfig,
  tokenOf,
  userConfigPath,
  type Context,
  type Environment,
  type UserConfig,
} from './user-config.ts'

export type Target =
  | { readonly kind: 'folder'; readonly dir: string }
  | { readonly kind: 'url'; readonly url: string; readonly token?: string | undefined }

export interface Setting {
  readonly name: string
  readonly value: string
  /** What says so: an option, a variable, a file, a context or `default`. */
  readonly origin: string
}

export interface Settings {
  readonly target: Target
  readonly settings: readonly Setting[]
}

export interface SettingsSource {
  readonly dir?: string | undefined
  readonly url?: string | undefined
  readonly context?: string | undefined
  readonly token?: string | undefined
}

interface Level extends SettingsSource {
  /** How its members are called there. */
  readonly nameOf: (member: keyof SettingsSource) => string
  /** Where its relative paths begin. */
  readonly base: string
  /** A stranger's file may name an address; the token of the environment does not go there. */
  readonly isForeign?: boolean
}

const PROJECT_FILE = 'holdfast.config.json'
const DEFAULT_DIR = './data'
const TOKEN_VARIABLE = 'HOLDFAST_TOKEN'

/** @throws HoldfastError `InvalidConfig`; UsageError for options that exclude each other */
export function resolveSettings(
  options: SettingsSource,
  env: Environment,
  cwd: string = process.cwd(),
): Settings {
  const configPath = userConfigPath(env)
  const levels = [flagLevel(options, cwd), environmentLevel(env, cwd), projectLevel(cwd)]
  const level = levels.find(
    (each) => each !== undefined && (each.dir ?? each.url ?? each.context) !== undefined,
  )
  const explicit = tokenGiven(options, env)
  if (level !== undefined) {
    checkOneOf(level)
    if (level.dir !== undefined) {
      return folder(resolve(level.base, level.dir), level.nameOf('dir'))
    }
    if (level.url !== undefined) {
      const isKept = level.isForeign === true && explicit?.origin === TOKEN_VARIABLE
      const found = address(level.url, level.nameOf('url'), isKept ? undefined : explicit)
      if (!isKept) return found
      const note = `(not sent: the URL is from ${level.nameOf('url')})`
      const token = { name: 'token', value: note, origin: TOKEN_VARIABLE }
      return { ...found, settings: [...found.settings, token] }
    }
  }
  const config = readUserConfig(configPath)
  const name = level?.context ?? config.current
  if (name === undefined) return folder(resolve(cwd, DEFAULT_DIR), 'default')
  const saysSo = level?.nameOf('context') ?? configPath
  const context = contextNamed(config, name, saysSo)
  const used = { name: 'context', value: name, origin: saysSo }
  const { target, settings } = ofContext(context, name, explicit)
  return { target, settings: [used, ...settings] }
}

export function contextNamed(config: UserConfig, name: string, saysSo: string): Context {
  const context = Object.hasOwn(config.contexts, name) ? config.contexts[name] : undefined
  if (context !== undefined) return context
  const meant = nearest(name, Object.keys(config.contexts))
  const details = {
    context: name,
    next:
      meant === undefined
        ? `holdfast context add ${name} --url URL   (or --dir FOLDER)`
        : `did you mean ${meant}? holdfast context list`,
  }
  throw new HoldfastError('InvalidConfig', `there is no context ${name} (${saysSo})`, { details })
}

/** The address, as `http(s)://host[:port][/path]` without a slash at its end. */
export function checkedUrl(text: string, saysSo: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new UsageError(`${saysSo} is a URL such as http://127.0.0.1:4653, not ${text}`)
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new UsageError(`${saysSo} has no user, query or fragment: tokens go by --token`)
  }
  return url.href.replace(/\/+$/, '')
}

interface GivenToken {
  readonly token: string
  readonly origin: string
}

function tokenGiven(options: SettingsSource, env: Environment): GivenToken | undefined {
  if (options.token !== undefined) return { token: options.token, origin: '--token' }
  const token = env[TOKEN_VARIABLE]
  if (token !== undefined && token !== '') return { token, origin: TOKEN_VARIABLE }
  return undefined
}

function flagLevel({ dir, url, context }: SettingsSource, cwd: string): Level {
  return { dir, url, context, base: cwd, nameOf: (member) => `--${member}` }
}

function environmentLevel(env: Environment, cwd: string): Level {
  const given = (name: string): string | undefined => (env[name] === '' ? undefined : env[name])
  return {
    dir: given('HOLDFAST_DIR'),
    url: given('HOLDFAST_URL'),
    context: given('HOLDFAST_CONTEXT'),
    base: cwd,
    nameOf: (member) => `HOLDFAST_${member.toUpperCase()}`,
  }
}

/** The nearest project file at or above the folder. */
function projectLevel(cwd: string): Level | undefined {
  for (let folder = cwd; ; folder = dirname(folder)) {
    const path = join(folder, PROJECT_FILE)
    const json = readJson(path, 'mend the file')
    if (json !== undefined) {
      onlyKeys(path, 'the file', json, ['dir', 'url', 'context'])
      return {
        dir: textAt(path, json, 'dir'),
        url: textAt(path, json, 'url'),
        context: textAt(path, json, 'context'),
        base: folder,
        nameOf: () => path,
        isForeign: true,
      }
    }
    if (folder === dirname(folder)) return undefined
  }
}

function checkOneOf(level: Level): void {
  const given = (['dir', 'url', 'context'] as const).filter((name) => level[name] !== undefined)
  if (given.length < 2) return
  if (level.isForeign === true) {
    throw invalidConfig(level.nameOf('dir'), `it has ${given.join(' and ')}; one of them counts`)
  }
  throw new UsageError(`of ${given.map(level.nameOf).join(' and ')} give one`)
}

function folder(dir: string, origin: string): Settings {
  return { target: { kind: 'folder', dir }, settings: [{ name: 'dir', value: dir, origin }] }
}

function address(text: string, origin: string, given: GivenToken | undefined): Settings {
  const url = checkedUrl(text, origin)
  const settings = [{ name: 'url', value: url, origin }]
  if (given !== undefined) {
    settings.push({ name: 'token', value: redacted(given.token), origin: given.origin })
  }
  return { target: { kind: 'url', url, token: given?.token }, settings }
}

function ofContext(context: Context, name: string, explicit: GivenToken | undefined): Settings {
  const origin = `context ${name}`
  if (context.dir !== undefined) return folder(context.dir, origin)
  const own = tokenOf(context)
  const token = explicit ?? (own === undefined ? undefined : { token: own, origin })
  return address(context.url ?? '', origin, token)
}

/** Enough of a token to tell it from others: its identity, which is no secret. */
export function redacted(token: string): string {
  const [, id] = /^(hf_[A-Za-z0-9]+)_/.exec(token) ?? []
  return id === undefined ? '(hidden)' : `${id}_...`
}
