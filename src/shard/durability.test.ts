// What an ack says satisfies a demand exactly when it survives whatever the demanded one survives.

import { expect, it } from 'vitest'
import { DURABILITIES, isAtLeast, type Durability } from './durability.ts'

/** What each survives: the process, this machine's power, this machine's disk, all machines' power. */
const SURVIVES: Record<Durability, readonly string[]> = {
  memory: [],
  fsynced: ['process', 'power', 'power of all'],
  quorum: ['process', 'power', 'disk'],
  'quorum-fsynced': ['process', 'power', 'disk', 'power of all'],
}

it('satisfies a demand that survives no more', () => {
  for (const least of DURABILITIES) {
    for (const durability of DURABILITIES) {
      const survives = SURVIVES[least].every((loss) => SURVIVES[durability].includes(loss))
      expect([durability, least, isAtLeast(durability, least)]).toEqual([
        durability,
        least,
        survives,
      ])
    }
  }
})
