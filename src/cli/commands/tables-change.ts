/** `holdfast tables create` and `alter`: tables whose rows no schema checks, and their indexes. */
import { HoldfastError } from '../../core/errors.ts'
import { systemEnv } from '../../open.ts'
import type { TableStats } from '../../table/handles.ts'
import { EXIT, UsageError } from '../exit-codes.ts'
import { indexSpecs, parseIndexes } from '../index-specs.ts'
import { withSession } from '../open-session.ts'
import { count, startProgress, took, type Progress } from '../progress.ts'
import type { Session } from '../session.ts'
import type { Shell } from '../shell.ts'
import { tableOf, tablesOf } from '../table-stats.ts'

export interface CreateOptions {
  readonly key: readonly string[]
  readonly index?: readonly string[] | undefined
  readonly unique?: readonly string[] | undefined
  readonly dryRun?: boolean | undefined
}

export interface AlterOptions {
  readonly addIndex?: readonly string[] | undefined
  readonly addUnique?: readonly string[] | undefined
  readonly dropIndex?: readonly string[] | undefined
  readonly progress?: boolean | undefined
  readonly dryRun?: boolean | undefined
}

export async function tablesCreateCommand(
  shell: Shell,
  table: string,
  { key, index = [], unique = [], dryRun = false }: CreateOptions,
): Promise<number> {
  const indexes = indexSpecs(parseIndexes('--index', index), parseIndexes('--unique', unique))
  const create = { create: !dryRun }
  const made = await withSession(
    shell,
    async (session) => {
      if ((await tablesOf(session)).some(({ name }) => name === table)) throw thereIs(table)
      if (dryRun) return undefined
      await session.call('define', { table, key, indexes })
      return tableOf(session, table)
    },
    create,
  )
  if (made === undefined) return wouldDo(shell, `create ${table} with the key ${key.join(', ')}`)
  if (shell.json) await shell.outJson(made)
  else await shell.out(`created ${table}, key ${key.join(', ')}${indexList(made)}`)
  return EXIT.ok
}

export async function tablesAlterCommand(
  shell: Shell,
  name: string,
  options: AlterOptions,
): Promise<number> {
  const { addIndex = [], addUnique = [], dropIndex = [], dryRun = false } = options
  const added = indexSpecs(
    parseIndexes('--add-index', addIndex),
    parseIndexes('--add-unique', addUnique),
  )
  const names = Object.keys(added)
  if (names.length + dropIndex.length === 0) {
    throw new UsageError('tables alter takes --add-index, --add-unique or --drop-index')
  }
  const both = names.find((index) => dropIndex.includes(index))
  if (both !== undefined) throw new UsageError(`index ${both} is both added and dropped`)
  const startMs = systemEnv.clock.monotonicMs()
  let progress: Progress | undefined
  const altered = await withSession(
    shell,
    async (session) => {
      const before = await tableOf(session, name)
      checkIndexes(before, names, dropIndex)
      if (dryRun) return undefined
      if (names.length > 0) {
        progress = fillProgress(shell, session, before, options)
        try {
          // Indexes that are not named stay.
          await session.call('define', { table: name, key: before.key, indexes: added })
        } finally {
          progress?.stop()
        }
      }
      // Rows that do not fit a new index have stopped it by now, and nothing is changed.
      for (const index of dropIndex) await session.call('dropIndex', { table: name, index })
      return tableOf(session, name)
    },
    {
      onProgress: ({ table, done }) => {
        if (table === name) progress?.update(done, done)
      },
    },
  )
  if (altered === undefined) {
    const parts = [...names.map((index) => `add ${index}`), ...dropIndex.map((i) => `drop ${i}`)]
    return wouldDo(shell, `alter ${name}: ${parts.join(', ')}`)
  }
  if (shell.json) await shell.outJson(altered)
  else {
    const ms = systemEnv.clock.monotonicMs() - startMs
    await shell.out(`altered ${name}${indexList(altered)}, in ${took(ms)}`)
  }
  return EXIT.ok
}

/** How far the filling is shows in the process that does it; others can only wait. */
function fillProgress(
  shell: Shell,
  session: Session,
  { name, rows }: TableStats,
  { progress }: AlterOptions,
): Progress | undefined {
  const isHere = session.holder === undefined && shell.target.kind === 'folder'
  if (isHere && shell.session === undefined) {
    return startProgress(shell, {
      title: `filling ${name}`,
      total: rows,
      show: progress,
      nowMs: () => systemEnv.clock.monotonicMs(),
    })
  }
  if ((progress ?? shell.isTerminal) && !shell.json) {
    shell.say(`filling the index with ${count(rows)} rows; others read and write meanwhile`)
  }
  return undefined
}

function checkIndexes(
  { name, indexes }: TableStats,
  added: readonly string[],
  dropped: readonly string[],
): void {
  const known = indexes.map((index) => index.name)
  for (const index of dropped) {
    if (known.includes(index)) continue
    throw new HoldfastError('UnknownIndex', `table ${name} has no index ${index}`, {
      details: { table: name, index },
    })
  }
  const there = added.find((index) => known.includes(index))
  if (there === undefined) return
  throw new HoldfastError('AlreadyExists', `table ${name} has an index ${there} already`, {
    details: { table: name, index: there, next: `holdfast tables show ${name}` },
  })
}

function thereIs(table: string): HoldfastError {
  return new HoldfastError('AlreadyExists', `there is a table ${table} already`, {
    details: { table, next: `holdfast tables show ${table}, then holdfast tables alter ${table}` },
  })
}

async function wouldDo(shell: Shell, what: string): Promise<number> {
  if (shell.json) await shell.outJson({ dryRun: true, would: what })
  else await shell.out(`would ${what}; nothing was done`)
  return EXIT.ok
}

function indexList({ indexes }: TableStats): string {
  if (indexes.length === 0) return ', no indexes'
  return `, indexes ${indexes.map(({ name, unique }) => `${name}${unique ? ' (unique)' : ''}`).join(', ')}`
}
