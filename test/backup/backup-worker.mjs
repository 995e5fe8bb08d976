/** Backs up again and again, a base each time, and says so; or is killed at it. Arguments: from, to. */
import { backup } from '../../dist/index.js'

const [dir = '', to = ''] = process.argv.slice(2)
process.stdout.write('begun\n')
for (;;) {
  await backup({ dir, to, full: true })
  process.stdout.write('backed up\n')
}
