/** What handles do: one suite for embedded databases and for remote ones. */
import { expectTypeOf, test } from 'vitest'
import type { RemoteDatabase } from '../../src/client.ts'
import type { Database, DatabaseLike } from '../../src/index.ts'
import { feedsContract } from './feeds.contract.ts'
import type { OpenDoor } from './places.ts'
import { queriesContract } from './queries.contract.ts'
import { rowsContract } from './rows.contract.ts'
import type { tables } from './tables.ts'
import { transactionsContract } from './transactions.contract.ts'

export function handlesContract(open: OpenDoor): void {
  rowsContract(open)
  queriesContract(open)
  transactionsContract(open)
  feedsContract(open)
}

test('both databases are what they have alike', () => {
  expectTypeOf<Database<typeof tables>>().toExtend<DatabaseLike<typeof tables>>()
  expectTypeOf<RemoteDatabase<typeof tables>>().toExtend<DatabaseLike<typeof tables>>()
})
