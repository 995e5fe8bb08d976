/** `holdfast completion`: a script for a shell; and `__complete`, which such a script asks. */
import type { Command } from 'commander'
import { folderHolder, openStoreToRead, systemEnv } from '../../open.ts'
import { bashScript } from '../completion/bash.ts'
import { commandModel, type CommandModel } from '../completion/command-model.ts'
import { complete, placeOf } from '../completion/complete.ts'
import { fishScript } from '../completion/fish.ts'
import { contextNames, sessionNames, storedNames, type NameSource } from '../completion/names.ts'
import { zshScript } from '../completion/zsh.ts'
import { EXIT } from '../exit-codes.ts'
import { HttpSession } from '../http-session.ts'
import type { Shell } from '../shell.ts'
import { SocketSession } from '../socket-session.ts'

export type ShellName = 'bash' | 'zsh' | 'fish'

const SCRIPTS: Readonly<Record<ShellName, (program: CommandModel) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
}

/** Whoever presses Tab would rather type than wait longer. */
const COMPLETION_MS = 1_500

export async function completionCommand(
  shell: Shell,
  program: Command,
  name: ShellName,
): Promise<number> {
  await shell.out(SCRIPTS[name](commandModel(program)).trimEnd())
  return EXIT.ok
}

/**
 * The words before the cursor and the one it is in; answers with a candidate a line, its description
 * behind a tab, and `:files` or `:folders` where paths go. What cannot be known is left out.
 */
export async function completeCommand(
  shell: Shell,
  program: Command,
  line: readonly string[],
): Promise<number> {
  const place = placeOf(commandModel(program), line.slice(0, -1), line.at(-1) ?? '')
  const late = new AbortController()
  const cancel = systemEnv.timers.after(COMPLETION_MS, () => late.abort())
  try {
    const { candidates, paths } = await complete(place, namesOf(shell, late.signal))
    if (paths !== undefined) await shell.out(`:${paths}`)
    for (const { word, description } of candidates) {
      if (/[\t\n]/.test(word)) continue
      await shell.out(description === undefined ? word : `${word}\t${description}`)
    }
  } catch {
    // A folder that is not there, a server that does not answer: nobody asked to hear of it.
  } finally {
    cancel()
  }
  return EXIT.ok
}

/** Opened only if a name is asked for, and for each question anew. */
function namesOf(shell: Shell, signal: AbortSignal): NameSource {
  return {
    tables: () => withNames(shell, signal, (names) => names.tables()),
    rowFields: (table) => withNames(shell, signal, (names) => names.rowFields(table)),
    contexts: contextNames,
  }
}

/** A folder that nobody has open is read beside whoever opens it meanwhile: it is not claimed. */
async function withNames<T>(
  { target }: Shell,
  signal: AbortSignal,
  work: (names: NameSource) => Promise<T>,
): Promise<T> {
  if (target.kind === 'url') return work(sessionNames(new HttpSession(target, signal)))
  const holder = await folderHolder(target.dir)
  const session = holder && (await SocketSession.connect(target.dir, holder, signal))
  if (session !== undefined) {
    try {
      return await work(sessionNames(session))
    } finally {
      await session.close()
    }
  }
  const store = openStoreToRead(target.dir)
  try {
    return await work(storedNames(store.snapshot()))
  } finally {
    await store.close()
  }
}
