/**
 * The user's own configuration: named contexts, each a folder or a URL, and which one is in use. It
 * holds tokens, so only the user may read it; it is replaced whole, so a crash leaves the old one.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { isPlainObject, invalidConfig, onlyKeys, readJson, textAt } from './json-file.ts'

export interface Context {
  /** Absolute. Of `dir` and `url` there is exactly one. */
  readonly dir?: string | undefined
  readonly url?: string | undefined
  readonly token?: string | undefined
  /** Absolute: a file that holds the token. */
  readonly tokenFile?: string | undefined
}

export interface UserConfig {
  /** The name of the context in use. */
  readonly current?: string | undefined
  readonly contexts: Readonly<Record<string, Context>>
}

export type Environment = Readonly<Record<string, string | undefined>>

const CONTEXT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const OWNER_ALONE = 0o600
const OWNER_ALONE_FOLDER = 0o700
const WAIT_MS = 10
/** Far longer than a change takes. */
const LEFT_BEHIND_MS = 3_000

export function isContextName(name: string): boolean {
  return CONTEXT_NAME.test(name)
}

/** Where it is: by the XDG base directory specification, which wants relative paths ignored. */
export function userConfigPath(env: Environment): string {
  const given = env['XDG_CONFIG_HOME']
  const home = given !== undefined && isAbsolute(given) ? given : join(homedir(), '.config')
  return join(home, 'holdfast', 'config.json')
}

/** Throws `InvalidConfig` for a file that is not as `writeUserConfig` leaves it. */
export function readUserConfig(path: string): UserConfig {
  const json = readJson(path, 'mend it, or delete it and add the contexts again')
  if (json === undefined) return { contexts: {} }
  onlyKeys(path, 'the file', json, ['current', 'contexts'])
  const { contexts = {} } = json
  if (!isPlainObject(contexts)) throw invalidConfig(path, '`contexts` is an object of contexts')
  return {
    current: textAt(path, json, 'current'),
    contexts: Object.fromEntries(
      Object.entries(contexts).map(([name, value]) => [name, contextOf(path, name, value)]),
    ),
  }
}

/**
 * Changes the file, made with its folder for the user alone. The file that will replace it is its
 * lock, as git's is: of commands that change it at once, each sees what those before it did.
 */
export function changeUserConfig(
  path: string,
  change: (config: UserConfig) => UserConfig,
): UserConfig {
  const next = `${path}.new`
  const file = openAlone(path, next)
  try {
    const config = change(readUserConfig(path))
    writeSync(file, `${JSON.stringify(config, null, 2)}\n`)
    fsyncSync(file)
    renameSync(next, path)
    return config
  } catch (error) {
    rmSync(next, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}

/** Waits for other commands; a file that one of them has left behind, killed, is put out of the way. */
function openAlone(path: string, next: string): number {
  let waitedMs = 0
  for (let seen = fileAt(next); ; waitedMs += WAIT_MS) {
    try {
      mkdirSync(dirname(path), { recursive: true, mode: OWNER_ALONE_FOLDER })
      return openSync(next, 'wx', OWNER_ALONE)
    } catch (cause) {
      const isTaken =
        (cause as NodeJS.ErrnoException).code === 'EEXIST' && existsSync(dirname(path))
      if (!isTaken) throw invalidConfig(path, 'the file cannot be written', { cause })
    }
    const now = fileAt(next)
    if (now !== seen) {
      seen = now
      waitedMs = 0
    } else if (now !== undefined && waitedMs >= LEFT_BEHIND_MS) removeLeft(next, now)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT_MS)
  }
}

/** Which file it is that has the name now. Numbers are used again at once, so its time counts too. */
function fileAt(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? undefined : `${stat.ino} ${stat.mtimeNs}`
}

/** Others may be at it too: one that took the name meanwhile gets it back. */
function removeLeft(next: string, left: string): void {
  const aside = `${next}.${process.pid}`
  try {
    renameSync(next, aside)
  } catch {
    // Somebody else has removed it.
    return
  }
  if (fileAt(aside) === left) rmSync(aside, { force: true })
  else renameSync(aside, next)
}

/** The token of a context, from its file when it names one. Throws `InvalidConfig`. */
export function tokenOf(context: Context): string | undefined {
  return context.tokenFile === undefined ? context.token : readTokenFile(context.tokenFile)
}

function readTokenFile(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw invalidConfig(path, 'the file with the token cannot be read', { cause })
  }
  if (text === '') throw invalidConfig(path, 'the file with the token is empty')
  return text
}

function contextOf(path: string, name: string, value: unknown): Context {
  const where = `context ${name}`
  if (!isPlainObject(value)) throw invalidConfig(path, `${where} is an object`)
  onlyKeys(path, where, value, ['dir', 'url', 'token', 'tokenFile'])
  const context: Context = {
    dir: textAt(path, value, 'dir'),
    url: textAt(path, value, 'url'),
    token: textAt(path, value, 'token'),
    tokenFile: textAt(path, value, 'tokenFile'),
  }
  if ((context.dir === undefined) === (context.url === undefined)) {
    throw invalidConfig(path, `${where} has either \`dir\` or \`url\``)
  }
  return context
}
