/** `holdfast context`: folders and URLs by names, in the user's own configuration. */
import { resolve } from 'node:path'
import { EXIT, UsageError } from '../exit-codes.ts'
import type { SettingsSource } from '../settings/resolve.ts'
import { checkedUrl, contextNamed, redacted } from '../settings/resolve.ts'
import {
  changeUserConfig,
  isContextName,
  readUserConfig,
  userConfigPath,
  type Context,
  type UserConfig,
} from '../settings/user-config.ts'
import type { Shell } from '../shell.ts'
import { printTable } from '../text-table.ts'

export interface ContextOptions {
  readonly tokenFile?: string | undefined
  readonly use?: boolean | undefined
  readonly force?: boolean | undefined
}

export async function addCommand(
  shell: Shell,
  name: string,
  options: ContextOptions & SettingsSource,
): Promise<number> {
  if (!isContextName(name)) {
    throw new UsageError(`${name} is no name for a context: letters, digits, and . _ - within`)
  }
  const context = contextOf(options)
  const { current } = changeConfig((config) => {
    if (Object.hasOwn(config.contexts, name) && options.force !== true) {
      throw new UsageError(`there is a context ${name} already; --force replaces it`)
    }
    const isUsed = options.use === true || config.current === undefined
    const contexts = { ...config.contexts, [name]: context }
    return { current: isUsed ? name : config.current, contexts }
  })
  return say(shell, name, context, current, current === name ? 'added, and in use' : 'added')
}

export async function listCommand(shell: Shell): Promise<number> {
  const config = userConfig()
  const contexts = Object.entries(config.contexts)
  if (shell.json) {
    for (const [name, context] of contexts) {
      await shell.outJson(shownJson(name, context, config.current))
    }
    return EXIT.ok
  }
  if (contexts.length === 0) {
    shell.say('no contexts; holdfast context add NAME --url URL   (or --dir FOLDER) makes one')
    return EXIT.ok
  }
  const rows = contexts.map(([name, context]) => ({
    ' ': name === config.current ? '*' : '',
    context: name,
    place: context.dir ?? context.url,
    token: tokenText(context),
  }))
  await printTable(shell, rows)
  return EXIT.ok
}

export async function useCommand(shell: Shell, name: string): Promise<number> {
  const config = changeConfig((config) => {
    contextNamed(config, name, 'context use')
    return { ...config, current: name }
  })
  const context = contextNamed(config, name, 'context use')
  return say(shell, name, context, name, 'in use')
}

export async function showCommand(shell: Shell, given: string | undefined): Promise<number> {
  const config = userConfig()
  const name = given ?? config.current
  if (name === undefined) throw new UsageError('no context is in use; name one')
  const context = contextNamed(config, name, 'context show')
  return say(
    shell,
    name,
    context,
    config.current,
    name === config.current ? 'in use' : 'not in use',
  )
}

export async function removeCommand(shell: Shell, name: string): Promise<number> {
  let context: Context = {}
  const { current } = changeConfig((config) => {
    context = contextNamed(config, name, 'context remove')
    const { [name]: _removed, ...contexts } = config.contexts
    return { current: config.current === name ? undefined : config.current, contexts }
  })
  return say(shell, name, context, current, 'removed')
}

function userConfig(): UserConfig {
  return readUserConfig(userConfigPath(process.env))
}

function changeConfig(change: (config: UserConfig) => UserConfig): UserConfig {
  return changeUserConfig(userConfigPath(process.env), change)
}

function contextOf({ dir, url, token, tokenFile }: ContextOptions & SettingsSource): Context {
  if ((dir === undefined) === (url === undefined)) {
    throw new UsageError('context add takes either --dir FOLDER or --url URL')
  }
  if (token !== undefined && tokenFile !== undefined) {
    throw new UsageError('of --token and --token-file give one')
  }
  if (dir !== undefined) {
    if ((token ?? tokenFile) !== undefined) throw new UsageError('a folder takes no token')
    return { dir: resolve(dir) }
  }
  return {
    url: checkedUrl(url ?? '', '--url'),
    token,
    tokenFile: tokenFile === undefined ? undefined : resolve(tokenFile),
  }
}

async function say(
  shell: Shell,
  name: string,
  context: Context,
  current: string | undefined,
  what: string,
): Promise<number> {
  if (shell.json) await shell.outJson(shownJson(name, context, current))
  else {
    const token = tokenText(context)
    const place = context.dir ?? context.url ?? ''
    const notes = token === '' ? what : `token ${token}; ${what}`
    await shell.out(`${shell.paint.bold(name)}  ${place}  (${notes})`)
  }
  return EXIT.ok
}

function shownJson(name: string, context: Context, current: string | undefined): unknown {
  const { dir, url, token, tokenFile } = context
  return {
    name,
    ...(dir !== undefined && { dir }),
    ...(url !== undefined && { url }),
    ...(token !== undefined && { token: redacted(token) }),
    ...(tokenFile !== undefined && { tokenFile }),
    inUse: name === current,
  }
}

function tokenText({ token, tokenFile }: Context): string {
  if (tokenFile !== undefined) return `in ${tokenFile}`
  return token === undefined ? '' : redacted(token)
}
