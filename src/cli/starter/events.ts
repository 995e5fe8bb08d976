/** The starter with rows that go away by themselves. */
import type { Template } from './template.ts'

const tables = `import { strong, unvalidated } from 'holdfast'

export interface Event {
  source: string
  /** Counts up within its source. */
  number: number
  text: string
  at: Date
  /** Removed in the background once this has passed. */
  until: Date
}

/** Row, key and index types follow from this: a query by a name that is not here does not compile. */
export const tables = {
  events: strong({
    row: unvalidated<Event>(),
    key: ['source', 'number'],
    indexes: { byTime: 'at' },
    ttl: 'until',
  }),
}
`

const code = `import type { Database } from 'holdfast'
import type { Event, tables } from './tables.ts'

type Events = Database<typeof tables>

/** Records an event under the next number of its source; it is kept for \`keepMs\` milliseconds. */
export async function record(
  db: Events,
  event: { source: string; text: string; keepMs: number },
): Promise<Event> {
  const { source, text, keepMs } = event
  const at = new Date()
  const until = new Date(at.getTime() + keepMs)
  return await db.transact(async (tx) => {
    const last = await tx.events.query({ prefix: [source], reverse: true, limit: 1 }).first()
    const row = { source, number: (last?.number ?? 0) + 1, text, at, until }
    await tx.events.insert(row)
    return row
  })
}

/** The events recorded last, the latest first. */
export function latestEvents(db: Events, limit: number): Promise<Event[]> {
  return db.events.query({ index: 'byTime', reverse: true, limit }).toArray()
}
`

const test = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { open } from 'holdfast'
import { latestEvents, record } from './events.ts'
import { tables } from './tables.ts'

test('events of a source are numbered without gaps, however many record at once', async () => {
  const db = await open({ memory: true, tables })
  const event = { source: 'door', text: 'opened', keepMs: 60_000 }
  await Promise.all(Array.from({ length: 10 }, () => record(db, event)))
  const numbers = (await latestEvents(db, 100)).map(({ number }) => number)
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  )
  await db.close()
})

test('an event goes when its time has passed', async () => {
  const db = await open({ memory: true, tables })
  await record(db, { source: 'door', text: 'opened', keepMs: -1 })
  await record(db, { source: 'door', text: 'closed', keepMs: 60_000 })
  await db.upkeep() // done in the background about once a second; here at once
  assert.deepEqual(
    (await latestEvents(db, 100)).map(({ text }) => text),
    ['closed'],
  )
  await db.close()
})
`

const main = `const MINUTE_MS = 60_000
await record(db, { source: 'main', text: 'started', keepMs: 10 * MINUTE_MS })

console.log('events of the last ten minutes:')
for (const { at, source, number, text } of await latestEvents(db, 10)) {
  console.log(at.toISOString(), source, number, text)
}
`

export const events: Template = {
  label: 'events with time to live',
  module: 'events',
  tables,
  code,
  test,
  imports: ['latestEvents', 'record'],
  main,
  example: { table: 'events', key: ['main', 1] },
}
