/** The starter with one empty table. */
import type { Template } from './template.ts'

const tables = `import { strong, unvalidated } from 'holdfast'

export interface Note {
  id: string
  text: string
  /** When it was written last. */
  at: Date
}

/** Row, key and index types follow from this: a query by a name that is not here does not compile. */
export const tables = {
  notes: strong({ row: unvalidated<Note>(), key: 'id', indexes: { byTime: 'at' } }),
}
`

const code = `import type { Database } from 'holdfast'
import type { Note, tables } from './tables.ts'

type Notes = Database<typeof tables>

/** Writes a note, over the one with the same id. Resolves once it is synced to disk. */
export async function writeNote(db: Notes, id: string, text: string): Promise<Note> {
  const note = { id, text, at: new Date() }
  await db.notes.put(note)
  return note
}

/** The notes written last, the latest first. */
export function latestNotes(db: Notes, limit: number): Promise<Note[]> {
  return db.notes.query({ index: 'byTime', reverse: true, limit }).toArray()
}
`

const test = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { open } from 'holdfast'
import { latestNotes, writeNote } from './notes.ts'
import { tables } from './tables.ts'

test('a note is kept, and writing it again replaces it', async () => {
  const db = await open({ memory: true, tables })
  await writeNote(db, 'shopping', 'bread')
  const { at } = await writeNote(db, 'shopping', 'bread and milk')
  assert.deepEqual(await latestNotes(db, 10), [{ id: 'shopping', text: 'bread and milk', at }])
  assert.equal(await db.notes.get('nobody wrote it'), undefined)
  await db.close()
})
`

const main = `await writeNote(db, 'first', 'Edit src/main.ts and start again: notes stay.')

const notes = await latestNotes(db, 10)
console.log(notes.length === 1 ? 'one note:' : notes.length + ' notes:')
for (const { id, text, at } of notes) console.log(at.toISOString(), id, '-', text)
`

export const notes: Template = {
  label: 'an empty table of notes',
  module: 'notes',
  tables,
  code,
  test,
  imports: ['latestNotes', 'writeNote'],
  main,
  example: { table: 'notes', key: 'first' },
}
