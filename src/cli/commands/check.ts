/**
 * `holdfast check`: whether what is stored is what was written. A data file whose structure is
 * damaged can kill the process that reads it, so a child reads it, by itself, beside whoever has the
 * folder open; how the child ends is part of the answer.
 */
import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../core/errors.ts'
import type { CheckReport } from '../../shard/check.ts'
import { decodeError } from '../../server/protocol.ts'
import { CHECK_EXIT, Interrupted } from '../exit-codes.ts'
import { count } from '../progress.ts'
import { noFolderError, type Shell } from '../shell.ts'
import type { CheckAnswer } from './check-child.ts'

const RESTORE = 'restore the folder from a backup; keep this one until that has worked'

/** How a process ends that follows a damaged page; any other end says nothing about the file. */
const DAMAGE_SIGNALS: ReadonlySet<string> = new Set(['SIGSEGV', 'SIGBUS', 'SIGABRT', 'SIGILL'])

export async function checkCommand(shell: Shell): Promise<number> {
  if (shell.target.kind === 'url') {
    // To a monitor it has not looked; the code of other commands would be a warning to it.
    shell.error(noFolderError(shell.target.url))
    return CHECK_EXIT.unknown
  }
  const { dir } = shell
  // The child can fail in many ways; that there is nothing to check is none of them.
  if (!existsSync(join(dir, 'data.mdb'))) {
    throw new HoldfastError('FolderNotFound', `there is no database in ${dir}`, {
      details: { dir },
    })
  }
  const outcome = await runChild(shell)
  if (outcome.answer?.kind === 'report') return showReport(shell, outcome.answer.report)
  if (outcome.answer?.kind === 'error') {
    const error = decodeError(outcome.answer.error)
    shell.error(error)
    if (error.kind !== 'corrupt') return CHECK_EXIT.unknown
    return showDamage(shell, error.code, error.message)
  }
  if (shell.signal.aborted) throw new Interrupted()
  const end = outcome.killedBy ?? `exit code ${outcome.code}`
  if (!DAMAGE_SIGNALS.has(end)) {
    shell.error(new HoldfastError('StorageFailed', `the process that read ${dir} ended by ${end}`))
    return CHECK_EXIT.unknown
  }
  const message = `the process that read ${dir} ended by ${end}: the file's structure is damaged`
  shell.error(new HoldfastError('StoreCorrupt', message, { details: { next: RESTORE } }))
  return showDamage(shell, 'StoreCorrupt', message)
}

interface Outcome {
  readonly answer: CheckAnswer | undefined
  readonly code: number | null
  readonly killedBy: string | null
}

function runChild(shell: Shell): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = fork(shell.mainFile, ['check-child', '--dir', shell.dir], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
      serialization: 'advanced',
    })
    let answer: CheckAnswer | undefined
    const stop = (): boolean => child.kill('SIGTERM')
    shell.signal.addEventListener('abort', stop, { once: true })
    child.on('message', (message) => {
      const said = message as CheckAnswer
      if (said.kind === 'progress') showProgress(shell, said.done)
      else answer = said
    })
    child.once('error', reject)
    child.once('close', (code, killedBy) => {
      clearProgress(shell)
      shell.signal.removeEventListener('abort', stop)
      resolve({ answer, code, killedBy })
    })
  })
}

async function showReport(shell: Shell, report: CheckReport): Promise<number> {
  const { ok, rows, indexEntries, entries, problems, problemCount, position } = report
  const { green, red } = shell.paint
  if (shell.json) await shell.outJson(report)
  else {
    await shell.out(`${ok ? green('ok') : red('critical')}  ${shell.dir} at position ${position}`)
    await shell.out(
      `checked ${count(rows)} rows, ${count(indexEntries)} index entries, ${count(entries)} log entries`,
    )
    for (const { where, what } of problems) await shell.out(`${red('problem')} ${where}: ${what}`)
    if (problemCount > problems.length) {
      await shell.out(`and ${count(problemCount - problems.length)} more`)
    }
  }
  if (!ok) shell.say(`${count(problemCount)} problems; try: ${RESTORE}`)
  return ok ? CHECK_EXIT.ok : CHECK_EXIT.critical
}

/** What could not even be opened, in the form of a report. */
async function showDamage(shell: Shell, code: string, what: string): Promise<number> {
  const problems = [{ where: 'data.mdb', what: `${code}: ${what}` }]
  const figures = { position: 0, rows: 0, indexEntries: 0, entries: 0 }
  if (shell.json) await shell.outJson({ ok: false, ...figures, problems, problemCount: 1 })
  else await shell.out(`${shell.paint.red('critical')}  ${shell.dir}: ${code}`)
  return CHECK_EXIT.critical
}

function showProgress(shell: Shell, done: number): void {
  if (shell.isTerminal && !shell.json) shell.stderr.write(`\rchecked ${count(done)} keys`)
}

function clearProgress(shell: Shell): void {
  if (shell.isTerminal && !shell.json) shell.stderr.write('\r\u001b[K')
}
