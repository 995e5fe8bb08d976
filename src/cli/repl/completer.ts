/** Completion of a REPL's line by Tab. */
import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { CommandModel } from '../completion/command-model.ts'
import { complete, placeOf, type Candidate, type Completion } from '../completion/complete.ts'
import type { NameSource } from '../completion/names.ts'
import { quoteWord, scanWords } from './words.ts'

/** What readline takes: the texts that can stand there, and the text that they are instead of. */
export type LineCompletion = [hits: string[], instead: string]

const NOTHING: LineCompletion = [[], '']

/** `text` is all up to the cursor; names that cannot be had are left out in silence. */
export async function completeLine(
  text: string,
  program: CommandModel,
  dots: readonly Candidate[],
  names: NameSource,
): Promise<LineCompletion> {
  const { words, isInWord } = scanWords(text)
  const last = isInWord ? words.at(-1) : undefined
  const before = words.slice(0, last === undefined ? undefined : -1).map(({ value }) => value)
  const current = last?.value ?? ''
  const instead = last === undefined ? '' : text.slice(last.start)
  if (before.length === 0 && current.startsWith('.')) {
    return hits(
      dots.filter(({ word }) => word.startsWith(current)),
      instead,
    )
  }
  const [first, ...more] = before
  if (first === '.context') {
    const contexts = more.length === 0 ? names.contexts() : []
    return hits(contexts.filter((name) => name.startsWith(current)).map(plain), instead)
  }
  try {
    const { candidates, paths } = await complete(placeOf(program, before, current), names)
    return hits([...candidates, ...pathCandidates(current, paths)], instead)
  } catch {
    // A name that cannot be completed is typed; the command then says what is wrong.
    return NOTHING
  }
}

function hits(candidates: readonly Candidate[], instead: string): LineCompletion {
  const [only, ...others] = candidates
  if (only === undefined) return NOTHING
  if (others.length > 0) return [candidates.map(({ word }) => quoteWord(word)), instead]
  return [[only.open === true ? only.word : `${quoteWord(only.word)} `], instead]
}

function plain(word: string): Candidate {
  return { word }
}

function pathCandidates(current: string, paths: Completion['paths']): Candidate[] {
  if (paths === undefined) return []
  const start = current.slice(0, current.lastIndexOf('/') + 1)
  const folder = start === '' ? '.' : dirname(`${start}x`)
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => paths === 'files' || entry.isDirectory())
    .map((entry) => ({ word: start + entry.name, isFolder: entry.isDirectory() }))
    .filter(({ word }) => word.startsWith(current))
    .map(({ word, isFolder }) => (isFolder ? { word: `${word}/`, open: true } : { word }))
}
