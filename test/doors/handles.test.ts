/** The same handles do the same, whatever door they go through. */
import { describe } from 'vitest'
import { handlesContract } from './handles.contract.ts'
import { cleanUp, doors } from './places.ts'

describe.each(Object.entries(doors))('handles, %s', (_, open) => {
  cleanUp()
  handlesContract(open)
})
