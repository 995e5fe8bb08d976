/** What can stand at the cursor: for the REPL, and for shells through `holdfast __complete`. */
import type { CommandModel, OptionModel, Slot } from './command-model.ts'
import type { NameSource, TableNames } from './names.ts'

export interface Candidate {
  /** The whole word. */
  readonly word: string
  readonly description?: string | undefined
  /** More of the same word follows, so no space does. */
  readonly open?: boolean | undefined
}

export interface Completion {
  readonly candidates: readonly Candidate[]
  /** Paths go here, which shells complete themselves. */
  readonly paths: 'files' | 'folders' | undefined
}

/** Where the cursor is. */
export interface Place {
  readonly command: CommandModel
  /** What stands at the cursor; undefined where nothing can. */
  readonly slot: Slot | undefined
  /** The word so far; of `--option=val`, `val`. */
  readonly current: string
  /** What of the word comes before `current`: `--option=`. */
  readonly before: string
  /** Names of commands or of options can stand here. */
  readonly offers: 'commands' | 'options' | undefined
  /** The table that the line names. */
  readonly table: string | undefined
  /** Values of the options given. */
  readonly options: ReadonlyMap<string, string>
}

/** Reads the words before the cursor, and the one it is in, as the parser will. */
export function placeOf(program: CommandModel, words: readonly string[], current: string): Place {
  const line = new Line(program)
  for (const word of words) line.take(word)
  const { command, pending, table, options } = line
  const at = { command, table, options, before: '', current }
  if (pending !== undefined && !(pending.variadic && current.startsWith('-'))) {
    return { ...at, slot: pending, offers: undefined }
  }
  const [, flag, value] = /^(--[^=]+)=(.*)$/s.exec(current) ?? []
  if (flag !== undefined && value !== undefined) {
    const slot = optionNamed(command, flag)?.value
    return { ...at, slot, offers: undefined, before: `${flag}=`, current: value }
  }
  if (current.startsWith('-') && !line.literal) return { ...at, slot: undefined, offers: 'options' }
  const isFirst = line.values.length === 0
  const offers = isFirst && command.commands.length > 0 ? 'commands' : undefined
  return { ...at, slot: slotAt(command, line.values.length), offers }
}

class Line {
  command: CommandModel
  pending: Slot | undefined
  /** After `--`: nothing is an option any more. */
  literal = false
  readonly values: string[] = []
  readonly options = new Map<string, string>()
  #flag = ''

  constructor(program: CommandModel) {
    this.command = program
  }

  get table(): string | undefined {
    const at = this.command.slots.findIndex(({ kind }) => kind === 'table')
    return at < 0 ? undefined : this.values[at]
  }

  take(word: string): void {
    if (this.pending !== undefined && !(this.pending.variadic && word.startsWith('-'))) {
      this.options.set(this.#flag, word)
      if (!this.pending.variadic) this.pending = undefined
      return
    }
    this.pending = undefined
    if (this.literal) this.values.push(word)
    else if (word === '--') this.literal = true
    else if (word.startsWith('-') && word.length > 1) this.#option(word)
    else this.#plain(word)
  }

  #option(word: string): void {
    const [, flag = word, value] = /^(--[^=]+)=(.*)$/s.exec(word) ?? []
    const option = optionNamed(this.command, flag)
    if (option?.value === undefined) return
    const [name = flag] = option.flags
    if (value !== undefined) this.options.set(name, value)
    else {
      this.#flag = name
      this.pending = option.value
    }
  }

  #plain(word: string): void {
    const command = this.command.commands.find(({ name }) => name === word)
    if (command !== undefined && this.values.length === 0) this.command = command
    else this.values.push(word)
  }
}

/** All that can stand at the place and begins as the word does. */
export async function complete(place: Place, names: NameSource): Promise<Completion> {
  const { command, slot, offers, current, before } = place
  const paths = pathsOf(slot)
  const offered: Candidate[] = []
  if (offers === 'options') offered.push(...optionCandidates(command))
  if (offers === 'commands') {
    offered.push(...command.commands.map(({ name, description }) => ({ word: name, description })))
  }
  if (slot !== undefined) {
    offered.push(...slot.choices.map((word) => ({ word })))
    offered.push(...(await named(slot.kind, place, names)))
  }
  const candidates = offered
    .filter(({ word }) => word.startsWith(current))
    .map((each) => ({ ...each, word: before + each.word }))
  return { candidates, paths }
}

function pathsOf(slot: Slot | undefined): Completion['paths'] {
  if (slot?.kind === 'file') return 'files'
  return slot?.kind === 'folder' ? 'folders' : undefined
}

function optionCandidates({ options }: CommandModel): Candidate[] {
  return options.map(({ flags: [word = ''], description }) => ({ word, description }))
}

async function named(kind: string, place: Place, names: NameSource): Promise<Candidate[]> {
  switch (kind) {
    case 'context':
      return names.contexts().map((word) => ({ word }))
    case 'table':
      return (await names.tables()).map(({ name, key }) => ({
        word: name,
        description: `key ${key.join(', ')}`,
      }))
    case 'index':
      return (await tableOf(place, names))?.indexes.map(indexCandidate) ?? []
    case 'field':
      return (await fieldsOf(place, names)).map((word) => ({ word }))
    case 'fields':
      return listOf(place.current, await fieldsOf(place, names))
    case 'field=value':
    case 'row':
      return (await fieldsOf(place, names)).map((field) => ({ word: `${field}=`, open: true }))
    default:
      return []
  }
}

function indexCandidate({ name, fields }: TableNames['indexes'][number]): Candidate {
  return { word: name, description: `on ${fields.join(', ')}` }
}

/** `a,b` and the start of a third: those that are not named yet. */
function listOf(current: string, fields: readonly string[]): Candidate[] {
  const done = current.split(',').slice(0, -1)
  const start = done.map((field) => `${field},`).join('')
  return fields.filter((field) => !done.includes(field)).map((field) => ({ word: start + field }))
}

async function tableOf({ table }: Place, names: NameSource): Promise<TableNames | undefined> {
  return (await names.tables()).find(({ name }) => name === table)
}

/** Those of the key and the indexes, then what some row has besides. */
async function fieldsOf(place: Place, names: NameSource): Promise<readonly string[]> {
  const table = await tableOf(place, names)
  if (table === undefined) return []
  const declared = [...table.key, ...table.indexes.flatMap(({ fields }) => fields)]
  return [...new Set([...declared, ...(await names.rowFields(table.name))])]
}

function optionNamed(command: CommandModel, flag: string): OptionModel | undefined {
  return command.options.find(({ flags }) => flags.includes(flag))
}

function slotAt(command: CommandModel, index: number): Slot | undefined {
  const last = command.slots.at(-1)
  return command.slots[index] ?? (last?.variadic === true ? last : undefined)
}
