// A feed: first the rows there are, as one moment, then every change after it, in order and without
// gaps. Its token survives restarts: whoever keeps it goes on exactly where they were.
import { open, strong, unvalidated } from 'holdfast'

interface Sensor {
  name: string
  celsius: number
}

const sensors = strong({ row: unvalidated<Sensor>(), key: 'name' })

let db = await open({ dir: './sensors', tables: { sensors } })
await db.sensors.put({ name: 'attic', celsius: 31 })
await db.sensors.put({ name: 'cellar', celsius: 12 })

let token = ''
let seen = 0
for await (const change of db.sensors.watch({ from: 'snapshot' })) {
  console.log(change.kind, change.key, change.row?.celsius)
  token = change.token
  if (++seen === 2) break
}

await db.sensors.put({ name: 'attic', celsius: 33 })
await db.close()

db = await open({ dir: './sensors', tables: { sensors } })
await db.sensors.delete('cellar')
for await (const change of db.sensors.watch({ after: token })) {
  console.log(change.kind, change.key, change.row?.celsius)
  if (change.kind === 'delete') break
}
await db.close()
