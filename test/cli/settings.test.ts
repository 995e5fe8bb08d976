// What a command works on: options, the environment, project files and contexts, in this order.

import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import {
  buildHoldfast,
  holdfast,
  jsonLines,
  Workplace,
  type Ended,
  type RunOptions,
} from './run-holdfast.ts'
import { standing } from './standing.ts'

beforeAll(() => buildHoldfast())

/** A user of their own, with a home for configuration and a project to stand in. */
class User extends Workplace {
  readonly project = this.path('project')
  readonly config = this.path('config/holdfast/config.json')
  readonly #within = this.path('project/src')

  constructor() {
    super()
    mkdirSync(this.#within, { recursive: true })
  }

  run(line: string, env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    return standing(line.split(' '), this.#options(env))
  }

  /** In a process of its own. */
  start(line: string, env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    return holdfast(line.split(' '), this.#options(env))
  }

  #options(env: Readonly<Record<string, string>>): RunOptions {
    return { env: { XDG_CONFIG_HOME: this.path('config'), ...env }, cwd: this.#within }
  }

  /** What decides on the place, and where that comes from. */
  async place(line = '', env: Readonly<Record<string, string>> = {}): Promise<string> {
    const { stdout } = await this.run(`config show --json ${line}`.trim(), env)
    const shown = JSON.parse(stdout) as Record<string, { value: string; origin: string }>
    const { value, origin } = shown['dir'] ?? shown['url'] ?? { value: '', origin: '' }
    return `${value} by ${origin}`
  }

  writeProject(text: string): void {
    writeFileSync(`${this.project}/holdfast.config.json`, text)
  }
}

it('goes by option, environment, project, context and default, in this order', async () => {
  using user = new User()
  const { project } = user
  expect(await user.place()).toBe(`${project}/src/data by default`)
  await user.run('context add staging --url http://staging.example:4653')
  expect(await user.place()).toBe('http://staging.example:4653 by context staging')
  user.writeProject('{"dir":"./db"}')
  expect(await user.place()).toBe(`${project}/db by ${project}/holdfast.config.json`)
  const env = { HOLDFAST_URL: 'http://127.0.0.1:1' }
  expect(await user.place('', env)).toBe('http://127.0.0.1:1 by HOLDFAST_URL')
  expect(await user.place('--dir there', env)).toBe(`${project}/src/there by --dir`)
  expect(await user.place('--context staging', env)).toBe(
    'http://staging.example:4653 by context staging',
  )
  expect(await user.place('', { HOLDFAST_CONTEXT: 'staging' })).toMatch(/ by context staging$/)
  const both = await user.start('config show --dir a --url http://b')
  expect(both).toMatchObject({ code: 2, stdout: '' })
  expect(both.stderr).toContain('of --dir and --url give one')
  expect((await user.run('config show --url ftp://b')).code).toBe(2)
  expect((await user.run('config show --url http://u:p@b')).code).toBe(2)
})

it('keeps contexts for the user alone, and works on the one in use', async () => {
  using user = new User()
  const { project } = user
  expect((await user.run('context list')).stderr).toContain('no contexts')
  const added = await user.run(`context add here --dir ${project}/db`)
  expect(added.stdout).toBe(`here  ${project}/db  (added, and in use)\n`)
  expect(statSync(user.config).mode & 0o777).toBe(0o600)
  expect((await user.run('tables create notes --key id')).code).toBe(0)
  expect(readdirSync(`${project}/db`)).toContain('data.mdb')
  const token = `hf_abcd1234_${'s'.repeat(43)}`
  await user.run(`context add far --url http://far.example --token ${token}`)
  const listed = await user.run('context list --json')
  expect(jsonLines(listed.stdout)).toEqual([
    { name: 'here', dir: `${project}/db`, inUse: true },
    { name: 'far', url: 'http://far.example', token: 'hf_abcd1234_...', inUse: false },
  ])
  expect((await user.run('context add far --url http://other.example')).code).toBe(2)
  expect((await user.run('context use far')).code).toBe(0)
  const shown = await user.run('config show --origin')
  expect(shown.stdout).toMatch(/token +hf_abcd1234_\.\.\. +context far\n/)
  expect(shown.stdout).not.toContain('sss')
  expect((await user.run('context show far')).stdout).toContain('in use')
  const wrong = await user.run('context use fra')
  expect(wrong.code).toBe(2)
  expect(wrong.stderr).toContain('did you mean far?')
  expect((await user.run('context remove far')).code).toBe(0)
  expect(await user.place()).toBe(`${project}/src/data by default`)
  expect(readFileSync(user.config, 'utf8')).not.toContain('far')
  // Nothing is left beside it.
  expect(readdirSync(user.path('config/holdfast'))).toEqual(['config.json'])
})

it('loses no context of commands that change the file at once, or were killed at it', async () => {
  using user = new User()
  mkdirSync(user.path('config/holdfast'), { recursive: true })
  writeFileSync(`${user.config}.new`, '{"contexts":', { mode: 0o644 })
  const names = Array.from({ length: 8 }, (_, n) => `c${n}`)
  const added = await Promise.all(
    names.map((name) => user.start(`context add ${name} --url http://${name}.example`)),
  )
  expect(added.map(({ code }) => code)).toEqual(names.map(() => 0))
  const listed = jsonLines((await user.run('context list --json')).stdout)
  expect(new Set(listed.map(({ name }) => name))).toEqual(new Set(names))
  expect(listed.filter(({ inUse }) => inUse)).toHaveLength(1)
  expect(statSync(user.config).mode & 0o777).toBe(0o600)
})

it('reads a token from a file at each command, and says when it cannot', async () => {
  using user = new User()
  await user.run(`context add far --url http://far.example --token-file ${user.path('token')}`)
  const missing = await user.run('config show')
  expect(missing).toMatchObject({ code: 2, stdout: '' })
  expect(missing.stderr).toContain(`error InvalidConfig: ${user.path('token')}`)
  writeFileSync(user.path('token'), 'hf_abcd1234_x\n')
  expect((await user.run('config show')).stdout).toContain('hf_abcd1234_...')
})

it('refuses what is damaged, unknown or contradictory in a file, by name', async () => {
  using user = new User()
  const refused = async (text: string, words: string): Promise<void> => {
    user.writeProject(text)
    const ended = await user.run('stats')
    expect(ended).toMatchObject({ code: 2, stdout: '' })
    expect(ended.stderr).toContain('error InvalidConfig: ')
    expect(ended.stderr).toContain(words)
    expect(ended.stderr).toMatch(/\ntry: /)
  }
  await refused('{"dir":', 'the file is damaged')
  await refused('[]', 'holds no JSON object')
  await refused('{"dri":"./db"}', 'has the unknown key "dri"; did you mean dir?')
  await refused('{"token":"hf_x"}', 'has the unknown key "token"')
  await refused('{"dir":7}', '"dir" is a text')
  await refused('{"dir":"a","url":"http://b"}', 'it has dir and url')
  await refused('{"context":"nowhere"}', 'there is no context nowhere')
  user.writeProject('{}')
  mkdirSync(user.path('config/holdfast'), { recursive: true })
  writeFileSync(user.config, '{"contexts":{"a":{}}}')
  const damaged = await user.run('context list')
  expect(damaged).toMatchObject({ code: 2, stdout: '' })
  expect(damaged.stderr).toContain('context a has either `dir` or `url`')
})

it('does not send the token of the environment where a project file points', async () => {
  using user = new User()
  user.writeProject('{"url":"http://stranger.example"}')
  const env = { HOLDFAST_TOKEN: 'hf_abcd1234_secret' }
  const shown = JSON.parse((await user.run('config show --json', env)).stdout) as object
  expect(shown).toHaveProperty('token.value', expect.stringContaining('not sent'))
  const asked = JSON.parse(
    (await user.run('config show --json --url http://mine.example', env)).stdout,
  ) as object
  expect(asked).toMatchObject({ token: { value: 'hf_abcd1234_...', origin: 'HOLDFAST_TOKEN' } })
})

it('prints as the environment says', async () => {
  using user = new User()
  const json = await user.run('config', { HOLDFAST_JSON: '1', HOLDFAST_NO_INPUT: '1' })
  expect(JSON.parse(json.stdout)).toMatchObject({
    json: { value: 'true', origin: 'HOLDFAST_JSON' },
    input: { value: 'false', origin: 'HOLDFAST_NO_INPUT' },
  })
  const usage = await user.start('get', { HOLDFAST_JSON: '1' })
  expect(usage).toMatchObject({ code: 2, stdout: '' })
  expect(JSON.parse(usage.stderr)).toMatchObject({ error: { code: 'Usage' } })
})

it('says every error in the same shape with --json', async () => {
  using user = new User()
  const shape = {
    kind: 'rejected',
    applied: 'no',
    message: expect.any(String) as unknown,
    advice: expect.any(String) as unknown,
    details: expect.any(Object) as unknown,
  }
  for (const line of [
    '--json',
    '--json nosuch',
    '--json help nosuch',
    '--json get',
    '--json put t x',
  ]) {
    const { code, stdout, stderr } = await user.run(line)
    expect({ line, code, stdout }).toEqual({ line, code: 2, stdout: '' })
    expect(JSON.parse(stderr)).toMatchObject({ error: { ...shape, code: 'Usage' } })
    expect(stderr).not.toContain('outputHelp')
  }
  await user.run('tables create t --key k')
  const exported = await user.run('--json export t /nonexistent/f.csv')
  expect(exported).toMatchObject({ code: 1, stdout: '' })
  expect(JSON.parse(exported.stderr)).toMatchObject({ error: { ...shape, code: 'FileFormat' } })
  const checked = await user.run('--json check --url http://127.0.0.1:1')
  expect(checked).toMatchObject({ code: 3, stdout: '' })
  expect(JSON.parse(checked.stderr)).toMatchObject({ error: { ...shape, code: 'Unsupported' } })
})
