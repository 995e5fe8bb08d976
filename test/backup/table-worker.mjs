/** Restores one table into a database, and says how far it is; or is killed at it. */
import { open, restoreTable } from '../../dist/index.js'

const [from = '', dir = ''] = process.argv.slice(2)
const db = await open({ dir })
process.stdout.write('begun\n')
await restoreTable({ from, into: db, table: 'rows', as: 'copy' })
process.stdout.write('restored\n')
await db.close()
