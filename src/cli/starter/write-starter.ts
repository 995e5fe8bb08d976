/** Writes a starter's files: all of them or none. */
import { existsSync, lstatSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The paths, as given, at which something is already, or that cannot be below what is there. */
export function inTheWay(folder: string, paths: readonly string[]): readonly string[] {
  if (isThere(folder) && !isFolder(folder)) return ['.']
  return [...new Set(paths.flatMap((path) => obstacle(folder, path) ?? []))]
}

/** Throws what the file system does; what it has written by then is gone again. */
export function writeStarter(folder: string, files: Readonly<Record<string, string>>): void {
  const undo: (() => void)[] = []
  try {
    for (const [path, text] of Object.entries(files)) {
      const file = join(folder, path)
      makeFolder(dirname(file), undo)
      writeFileSync(file, text, { flag: 'wx' })
      undo.push(() => rmSync(file))
    }
  } catch (error) {
    for (const back of undo.toReversed()) back()
    throw error
  }
}

function makeFolder(folder: string, undo: (() => void)[]): void {
  if (existsSync(folder)) return
  makeFolder(dirname(folder), undo)
  mkdirSync(folder)
  undo.push(() => rmdirSync(folder))
}

function obstacle(folder: string, path: string): string | undefined {
  const parts = path.split('/')
  for (let depth = 1; depth < parts.length; depth++) {
    const above = parts.slice(0, depth).join('/')
    if (isThere(join(folder, above)) && !isFolder(join(folder, above))) return above
  }
  return isThere(join(folder, path)) ? path : undefined
}

/** Dangling links count: a file cannot be made where one is. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

function isFolder(path: string): boolean {
  return existsSync(path) && lstatSync(path).isDirectory()
}
