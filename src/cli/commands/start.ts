/** `holdfast start`: opens the folder, fills it with sample data the first time, and serves it. */
import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { systemEnv } from '../../open.ts'
import { clusterOptionsOf, type ClusterFlags } from '../cluster-options.ts'
import { EXIT, Interrupted } from '../exit-codes.ts'
import { count, size, took } from '../progress.ts'
import { sampleTables, type SampleTable } from '../sample-data.ts'
import { answerQuestions } from '../sample-questions.ts'
import { serve, type HttpServer, type ServeOptions } from '../../server.ts'
import { firstCurl } from '../first-curl.ts'
import { openOwn, type LocalSession } from '../open-session.ts'
import { serveError, serveOptionsOf, type HttpOptions } from '../serve-options.ts'
import { tablesOf } from '../table-stats.ts'
import type { Session } from '../session.ts'
import type { Shell } from '../shell.ts'
import { importFile } from './import.ts'

export interface StartOptions extends HttpOptions, ClusterFlags {
  /** Exits after the answers. */
  readonly once?: boolean | undefined
  /** Imports the sample data into a new folder. Default true. */
  readonly sample?: boolean | undefined
}

export async function startCommand(shell: Shell, options: StartOptions): Promise<number> {
  const { dir, signal } = shell
  const wanted =
    options.once === true || options.http === false ? undefined : serveOptionsOf(options)
  const dataFile = join(dir, 'data.mdb')
  const isNew = !existsSync(dataFile)
  const cluster = clusterOptionsOf(options, process.env)
  const session = await openOwn(dir, { create: true, cluster }, signal)
  let server: HttpServer | undefined
  try {
    // Before the sample data: a port that is taken is said at once.
    if (wanted !== undefined) server = await startServer(shell, session, wanted)
    await greet(shell, session, isNew, dataFile)
    await offerSample(shell, session, options)
    if (options.once === true) return EXIT.ok
    await announce(shell, session, server)
    await untilStopped(signal)
    shell.say('closing')
    return EXIT.ok
  } catch (error) {
    if (error instanceof Interrupted) {
      throw new Interrupted('the first import goes on at the next start')
    }
    if (signal.aborted) throw new Interrupted()
    throw error
  } finally {
    // What is under way is answered first; a second Ctrl-C does not wait for it.
    await server?.close()
    await session.close()
  }
}

async function startServer(
  shell: Shell,
  { db }: LocalSession,
  options: ServeOptions,
): Promise<HttpServer> {
  const onProblem = (problem: Error): void => shell.error(problem)
  try {
    return await serve(db, { ...options, onProblem })
  } catch (error) {
    throw serveError(error, options)
  }
}

/** Says where it is reached, and what to try first. */
async function announce(
  shell: Shell,
  session: Session,
  server: HttpServer | undefined,
): Promise<void> {
  const { bold, cyan } = shell.paint
  const { dir } = shell
  if (server !== undefined) {
    const { url, access } = server
    shell.say(`\n${bold('HTTP')}  ${cyan(url)}, documented at ${cyan(`${url}/docs`)}`)
    const names = (await tablesOf(session)).map(({ name }) => name)
    const { what, line } = firstCurl(server, names)
    shell.say(`${what}:\n  ${line}`)
    if (access === 'tokens') shell.say(`tokens: ${program(shell)} token create NAME --scope write`)
    if (shell.json) await shell.outJson({ serving: { dir, url, pid: process.pid } })
  }
  shell.say(`\nserving ${dir} (process ${process.pid}); Ctrl-C stops`)
}

async function greet(
  shell: Shell,
  session: Session,
  isNew: boolean,
  dataFile: string,
): Promise<void> {
  const { bold } = shell.paint
  shell.say(`${bold('holdfast')}  your data lives in ${bold(shell.dir)}`)
  if (isNew) return
  const stats = await session.call('stats', {})
  const since = new Date(statSync(dataFile).birthtimeMs).toISOString().slice(0, 16)
  const tables = stats.tables.filter(({ name }) => !name.startsWith('_'))
  shell.say(
    `found ${count(tables.length)} ${tables.length === 1 ? 'table' : 'tables'}, ${size(stats.bytes)}, ` +
      `at position ${count(stats.position)}, here since ${since.replace('T', ' ')} UTC`,
  )
  for (const { name, rows, indexes } of tables) {
    const names = indexes.map((index) => index.name).join(', ')
    shell.say(`  ${name}: ${count(rows)} rows${names === '' ? '' : `, indexes ${names}`}`)
  }
}

async function offerSample(shell: Shell, session: Session, options: StartOptions): Promise<void> {
  if (options.sample === false) return
  const samples = sampleTables(dirname(shell.mainFile))
  if (samples === undefined) {
    shell.say('no sample data: the package vega-datasets is not installed')
    return
  }
  const { tables } = await session.call('stats', {})
  const names = tables.map(({ name }) => name)
  // A folder with other tables is somebody's own, unless an import of ours was stopped in it.
  const isOurs = names.every(
    (name) => name.startsWith('_') || samples.some((s) => s.table === name),
  )
  if (!isOurs) return
  const missing = await importSamples(shell, session, samples)
  if (missing.length > 0) return
  await answerQuestions(shell, session, program(shell))
}

/** Imports what is not there yet; returns the tables that are still missing. */
async function importSamples(
  shell: Shell,
  session: Session,
  samples: readonly SampleTable[],
): Promise<readonly string[]> {
  const missing: string[] = []
  for (const { table, file, options } of samples) {
    const startMs = systemEnv.clock.monotonicMs()
    const rejects = join(shell.dir, `${table}.rejects.ndjson`)
    const summary = await importFile(shell, session, table, file, { ...options, rejects })
    if (summary.alreadyDone) continue
    if (summary.imported === 0) missing.push(table)
    const ms = systemEnv.clock.monotonicMs() - startMs
    shell.say(`imported ${count(summary.imported)} rows into ${table} in ${took(ms)}`)
  }
  return missing
}

/** How the user calls the command for this folder: in a checkout it is not on the path. */
function program(shell: Shell): string {
  const root = dirname(dirname(dirname(shell.mainFile)))
  const name = existsSync(join(root, 'src')) ? 'bin/holdfast' : 'holdfast'
  const implied = resolve(process.env['HOLDFAST_DIR'] ?? './data')
  return shell.dir === implied ? name : `${name} --dir ${shell.dir}`
}

function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
