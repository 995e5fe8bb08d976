/** A database with something of everything that `check` has to look at. */
import { open, strong, unique, unvalidated } from '../../src/index.ts'

interface Person {
  id: number
  name: string
  city: string
  email?: string
  score: number
}

interface Count {
  id: string
  n: number
  seen: number[]
}

const tables = {
  people: strong({
    row: unvalidated<Person>(),
    key: 'id',
    indexes: { byCity: 'city', byCityAndName: ['city', 'name'], byEmail: unique('email') },
  }),
  counts: strong({ row: unvalidated<Count>(), key: 'id' }),
  visits: strong({
    row: unvalidated<{ day: string; person: number; text: string }>(),
    key: ['day', 'person'],
  }),
}

const CITIES = ['Oslo', 'Quito', 'Hanoi', 'Bern']

export function openSample(dir: string) {
  return open({ dir, tables, shards: 4 })
}

export async function makeSample(dir: string, rows = 300): Promise<void> {
  const db = await openSample(dir)
  const people = Array.from({ length: rows }, (_, id) => ({
    id,
    name: `person ${id}`,
    city: CITIES[id % CITIES.length] ?? '',
    ...(id % 3 === 0 ? {} : { email: `p${id}@example.org` }),
    score: id,
  }))
  for (let at = 0; at < rows; at += 50) await db.people.insertMany(people.slice(at, at + 50))
  await db.people.deleteMany(people.filter(({ id }) => id % 11 === 0).map(({ id }) => id))
  for (let id = 1; id < rows; id += 7) {
    if (id % 11 === 0) continue
    await db.people.update(id, (row) => ({ ...row, city: 'Lima', email: `new${id}@example.org` }))
  }
  await db.visits.putMany(
    people
      .slice(0, 60)
      .map(({ id }) => ({ day: `2026-01-${id}`, person: id, text: 'v'.repeat(id * 9) })),
  )
  await db.visits.put({ day: 'long', person: 1, text: 'w'.repeat(9_000) })
  const create = { id: 'a', n: 0, seen: [] }
  for (let n = 0; n < 10; n++) {
    await db.counts.increment('a', { n: 1 }, { create })
    await db.counts.append('a', { seen: [n] }, { idempotencyKey: `append-${n}` })
  }
  await db.transact(async (tx) => {
    await tx.people.update(1, (row) => ({ ...row, score: row.score - 1 }))
    await tx.people.update(2, (row) => ({ ...row, score: row.score + 1 }))
  })
  await db.close()
}
