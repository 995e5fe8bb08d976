// The shape of rows changes: version 0 has one `name`, version 1 has two, and a new index. Rows are
// brought over when they are read, and rewritten in the background; `ready` resolves when all are.
import { open, strong, unvalidated } from 'holdfast'

interface PersonV0 {
  id: number
  name: string
}
interface Person {
  id: number
  first: string
  last: string
}

const before = await open({
  dir: './people',
  tables: { people: strong({ row: unvalidated<PersonV0>(), key: 'id' }) },
})
await before.people.put({ id: 1, name: 'Ada Lovelace' })
await before.people.put({ id: 2, name: 'Grace Hopper' })
await before.close()

const db = await open({
  dir: './people',
  tables: {
    people: strong({
      row: unvalidated<Person>(),
      key: 'id',
      indexes: { byLast: 'last' },
      version: 1,
      migrate: (row) => {
        const { id, name } = row as unknown as PersonV0
        const [first = '', last = ''] = name.split(' ')
        return { id, first, last }
      },
    }),
  },
  onProgress: ({ table, phase, done, total }) => console.log(table, phase, `${done}/${total}`),
})
await db.ready()
console.log(await db.people.get(1))
console.log(await db.people.query({ index: 'byLast', eq: 'Hopper' }).first())
await db.close()
