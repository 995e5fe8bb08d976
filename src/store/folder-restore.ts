/**
 * A folder that a database is restored into. The data is made aside and gets its name as the last
 * act, so that a process killed at any moment leaves no database, or the whole:
 *
 *   DIR/.restoring/data.mdb   being filled ─▶ synced ─▶ renamed to DIR/data.mdb ─▶ .restoring removed
 *
 * A folder with `.restoring` and no data holds a restore that did not end. Where there is data already
 * that is to be replaced, a step more tells what is whole from what is being filled:
 *
 *   DIR/.restoring ─▶ synced ─▶ renamed to DIR/.replacing ─▶ its data named DIR/data.mdb ─▶ removed
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HoldfastError } from '../core/errors.ts'
import { dataFile, removeFiles, syncFile, syncFolder } from './lmdb-file.ts'
import { hasJournal, removeJournal } from './lmdb-journal.ts'

const ASIDE = '.restoring'
const WHOLE = '.replacing'

/** Throws `AlreadyExists` for a folder with a database: nothing is ever restored over one. */
export function assertNoDatabase(dir: string): void {
  if (!existsSync(dataFile(dir)) && !hasJournal(dir) && !isUnfinishedReplacement(dir)) return
  throw new HoldfastError('AlreadyExists', `there is a database in ${dir}: it is left as it is`, {
    details: { dir, next: 'restore into an empty folder' },
  })
}

/** Throws `FolderNotFound`, or `RestoreUnfinished`, for a folder without a database. */
export function assertDatabase(dir: string): void {
  if (existsSync(dataFile(dir))) return
  if (isUnfinishedRestore(dir)) throw restoreUnfinished(dir)
  throw new HoldfastError('FolderNotFound', `there is no database in ${dir}`, { details: { dir } })
}

export function isUnfinishedRestore(dir: string): boolean {
  return existsSync(join(dir, ASIDE)) && !existsSync(dataFile(dir))
}

/** Whether data that is whole waits for the place of what is there, which may be gone already. */
export function isUnfinishedReplacement(dir: string): boolean {
  return existsSync(dataFile(join(dir, WHOLE)))
}

export function restoreUnfinished(dir: string): HoldfastError {
  return new HoldfastError('RestoreUnfinished', `a restore into ${dir} was begun and did not end`, {
    details: { dir },
  })
}

/** Makes the empty folder that is filled; what an earlier restore left there goes. */
export function beginRestore(dir: string): string {
  const aside = join(dir, ASIDE)
  emptyAside(aside)
  // From here on nobody takes the folder for an empty one, after a crash of the machine either.
  syncFolder(dir)
  return aside
}

/** Names what was filled, and closed. */
export function finishRestore(dir: string): void {
  const aside = join(dir, ASIDE)
  syncFile(dataFile(aside))
  renameSync(dataFile(aside), dataFile(dir))
  syncFolder(dir)
  clearRestore(dir)
}

/** Removes what a restore that ended left behind; called where there is a database. */
export function clearRestore(dir: string): void {
  rmSync(join(dir, ASIDE), { recursive: true, force: true })
}

/** Puts what was filled, and closed, in the place of the data in `dir`, which nobody has open. */
export function finishReplacement(dir: string): void {
  const aside = join(dir, ASIDE)
  syncFile(dataFile(aside))
  syncFolder(aside)
  renameSync(aside, join(dir, WHOLE))
  syncFolder(dir)
  completeReplacement(dir)
}

/** Does the rest of a replacement that a crash interrupted, if there is one. */
export function completeReplacement(dir: string): void {
  const whole = join(dir, WHOLE)
  if (!existsSync(whole)) return
  if (isUnfinishedReplacement(dir)) {
    // The journal belongs to the data that goes.
    removeJournal(dir)
    removeFiles(dataFile(dir))
    renameSync(dataFile(whole), dataFile(dir))
    syncFolder(dir)
  }
  rmSync(whole, { recursive: true, force: true })
}

/** A restore that failed gives its room back, and goes on counting as unfinished. */
export function abandonRestore(dir: string): void {
  emptyAside(join(dir, ASIDE))
}

/** A folder of its own in `parent`, for what is thrown away. */
export function makeScratch(parent: string | undefined): string {
  return attempt('a folder for the time being cannot be made', () => {
    if (parent !== undefined) mkdirSync(parent, { recursive: true })
    return mkdtempSync(join(parent ?? tmpdir(), 'holdfast-scratch-'))
  })
}

export function removeScratch(dir: string): void {
  rmSync(dir, { recursive: true, force: true })
}

function emptyAside(aside: string): void {
  attempt(`${aside} cannot be made empty`, () => {
    // What is in it goes, and not itself: without it the folder would count as empty.
    mkdirSync(aside, { recursive: true })
    for (const name of readdirSync(aside)) rmSync(join(aside, name), { recursive: true })
  })
}

function attempt<T>(what: string, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
    const full = code === 'ENOSPC' || code === 'EDQUOT'
    throw new HoldfastError(full ? 'StorageFull' : 'StorageFailed', `${what}: ${code}`, {
      cause,
      applied: 'no',
    })
  }
}
