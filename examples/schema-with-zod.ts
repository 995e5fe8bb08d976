// Row types come from a schema, and rows are checked by it before anything is written. Any schema
// that follows Standard Schema will do: zod here, valibot or arktype likewise.
import { isHoldfastError, open, strong, unique } from 'holdfast'
import { z } from 'zod'

const User = z.object({
  id: z.string(),
  email: z.email(),
  age: z.number().int().min(0),
  joined: z.date(),
  tags: z.array(z.string()).default([]),
})

const db = await open({
  memory: true,
  tables: {
    users: strong({
      row: User,
      key: 'id',
      indexes: { byEmail: unique('email'), byAge: ['age', 'joined'] },
    }),
  },
})

const joined = new Date('2024-05-01')
const { row } = await db.users.insert({ id: 'u1', email: 'ada@example.org', age: 36, joined })
console.log('tags by default:', row.tags)

try {
  await db.users.insert({ id: 'u2', email: 'not an address', age: -1, joined })
} catch (error) {
  if (!isHoldfastError(error, 'InvalidRow')) throw error
  const issues = error.details['issues'] as { path: string }[]
  console.log('refused:', error.code, issues.map(({ path }) => path).join(', '))
}

try {
  await db.users.insert({ id: 'u3', email: 'ada@example.org', age: 20, joined })
} catch (error) {
  if (!isHoldfastError(error, 'UniqueViolation')) throw error
  console.log('refused:', error.code, error.applied)
}

const grown = await db.users.query({ index: 'byAge', gte: [18, new Date(0)] }).toArray()
console.log(
  'grown-ups:',
  grown.map(({ id }) => id),
)
await db.close()
