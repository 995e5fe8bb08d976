/** Restores, and says `restored`; or is killed at it. Arguments: the backups, and where to. */
import { restore } from '../../dist/index.js'

const [from = '', dir = ''] = process.argv.slice(2)
process.stdout.write('begun\n')
await restore({ from, dir })
process.stdout.write('restored\n')
