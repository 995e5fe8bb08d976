/** `holdfast start`: opens the folder, fills it with sample data the first time, and serves it. */
import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { systemEnv } from '../../open.ts'
import { EXIT, Interrupted } from '../exit-codes.ts'
import { count, size, took } from '../progress.ts'
import { sampleTables, type SampleTable } from '../sample-data.ts'
import { answerQuestions } from '../sample-questions.ts'
import { openOwn } from '../open-session.ts'
import type { Session } from '../session.ts'
import type { Shell } from '../shell.ts'
import { importFile } from './import.ts'

export interface StartOptions {
  /** Exits after the answers. */
  readonly once?: boolean | undefined
  /** Imports the sample data into a new folder. Default true. */
  readonly sample?: boolean | undefined
}

export async function startCommand(shell: Shell, options: StartOptions): Promise<number> {
  const { dir, signal } = shell
  const dataFile = join(dir, 'data.mdb')
  const isNew = !existsSync(dataFile)
  const session = await openOwn(dir, true, signal)
  try {
    await greet(shell, session, isNew, dataFile)
    await offerSample(shell, session, options)
    if (options.once === true) return EXIT.ok
    shell.say(`\nserving ${dir} (process ${process.pid}); Ctrl-C stops`)
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
    await session.close()
  }
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
    if (signal.aborted) {
      resolve()
      return
    }
    // The socket alone does not keep the process alive; a timer does.
    const year = 365 * 24 * 3_600_000
    const cancel = systemEnv.timers.after(year, resolve)
    signal.addEventListener('abort', () => {
      cancel()
      resolve()
    })
  })
}
