/**
 * What the compiler says of tables. Never run: `types.test.ts` compiles it, and every line marked
 * as an error must be one.
 */
import { type } from 'arktype'
import * as v from 'valibot'
import { z } from 'zod'
import { open, strong, unique, unvalidated, type Database } from '../../src/index.ts'

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function same<A, B>(..._equal: Equal<A, B> extends true ? [] : [never]): void {}

interface Account {
  id: string
  owner: string
  balance: bigint
  mail?: string
  since: Date | null
  tags: string[]
  nested: { deep: number }
}

// Keys and index fields hold key types.
strong({ row: unvalidated<Account>(), key: 'id', indexes: { byOwner: 'owner', byMail: 'mail' } })
strong({ row: unvalidated<Account>(), key: ['owner', 'id'], indexes: { both: ['owner', 'since'] } })
strong<Account>({ key: 'id', indexes: { byMail: unique('mail') }, ttl: 'since' })
// @ts-expect-error -- no such field
strong({ row: unvalidated<Account>(), key: 'none' })
// @ts-expect-error -- a key is never missing
strong({ row: unvalidated<Account>(), key: 'mail' })
// @ts-expect-error -- a key is never null
strong({ row: unvalidated<Account>(), key: 'since' })
// @ts-expect-error -- an array of strings is a value, not a field of a key
strong({ row: unvalidated<Account>(), key: 'tags' })
// @ts-expect-error -- objects are no keys
strong({ row: unvalidated<Account>(), key: ['id', 'nested'] })
// @ts-expect-error -- a key has at least one field
strong({ row: unvalidated<Account>(), key: [] })
// @ts-expect-error -- no such field
strong({ row: unvalidated<Account>(), key: 'id', indexes: { byNone: 'none' } })
// @ts-expect-error -- objects are not indexed
strong({ row: unvalidated<Account>(), key: 'id', indexes: { byNested: 'nested' } })
// @ts-expect-error -- nor in a unique index
strong({ row: unvalidated<Account>(), key: 'id', indexes: { byNested: unique('nested') } })
// @ts-expect-error -- nor among several fields
strong({ row: unvalidated<Account>(), key: 'id', indexes: { by: ['owner', 'tags'] } })
// @ts-expect-error -- a time to live is a Date
strong({ row: unvalidated<Account>(), key: 'id', ttl: 'owner' })
// @ts-expect-error -- no such field, the row type given by hand
strong<Account>({ key: 'none' })

const tables = {
  accounts: strong({
    row: unvalidated<Account>(),
    key: 'id',
    indexes: { byOwner: 'owner', byMail: unique('mail'), bySince: ['owner', 'since'] },
  }),
  events: strong({
    row: unvalidated<{ day: Date; shard: number; seq: bigint; what: string }>(),
    key: ['day', 'shard', 'seq'],
  }),
  zod: strong({
    row: z.object({ id: z.string(), n: z.number().default(1), at: z.coerce.date() }),
    key: 'id',
  }),
  valibot: strong({ row: v.object({ id: v.number(), name: v.string() }), key: 'id' }),
  arktype: strong({ row: type({ id: 'string', n: 'number' }), key: ['id', 'n'] }),
}

export async function use(db: Database<typeof tables>): Promise<void> {
  // Rows and keys are inferred.
  const account = await db.accounts.get('a')
  same<typeof account, Account | undefined>()
  const event = await db.events.get([new Date(), 1, 2n])
  same<typeof event, { day: Date; shard: number; seq: bigint; what: string } | undefined>()
  const checked = await db.zod.get('a')
  same<typeof checked, { id: string; n: number; at: Date } | undefined>()
  same<Awaited<ReturnType<typeof db.valibot.get>>, { id: number; name: string } | undefined>()
  same<Awaited<ReturnType<typeof db.arktype.get>>, { id: string; n: number } | undefined>()
  const [first] = await db.accounts.query({ index: 'byOwner', eq: 'ada' }).toArray()
  same<typeof first, Account | undefined>()
  for await (const change of db.events.watch()) {
    same<typeof change.key, readonly [Date, number, bigint]>()
    break
  }

  // What goes in is the schema's input.
  await db.zod.insert({ id: 'a', at: '2020-01-01' })
  await db.zod.put({ id: 'a', n: 5, at: new Date() })
  // @ts-expect-error -- a field of the wrong type
  await db.zod.insert({ id: 'a', n: 'x', at: 1 })
  // @ts-expect-error -- a field is missing
  await db.accounts.insert({ id: 'a' })
  // @ts-expect-error -- a bigint is not a number
  await db.accounts.update('a', (row) => ({ ...row, balance: 5 }))

  // Keys are of the table's type.
  // @ts-expect-error -- a string
  await db.accounts.get(5)
  // @ts-expect-error -- one part is missing
  await db.events.get([new Date(), 1])
  // @ts-expect-error -- a part of the wrong type
  await db.events.get([new Date(), 1, 2])
  // @ts-expect-error -- no tuple
  await db.valibot.delete(['a'])
  await db.arktype.deleteMany([['a', 1]])

  // Queries: bounds are of the key's type, or of the index's.
  db.accounts.query({ gte: 'a', lt: 'b', limit: 5, reverse: true })
  db.accounts.query({ prefix: 'a' })
  db.accounts.query({ index: 'byMail', prefix: 'a@' })
  db.accounts.query({ index: 'bySince', eq: ['ada', new Date()] })
  db.accounts.query({ index: 'bySince', prefix: ['ada'] })
  db.events.query({ prefix: [new Date()] })
  db.events.query({ prefix: [new Date(), 1] })
  db.events.query({ gt: [new Date(), 1, 2n] })
  // @ts-expect-error -- the key is a string
  db.accounts.query({ eq: 5 })
  // @ts-expect-error -- so is the owner
  db.accounts.query({ index: 'byOwner', eq: 5 })
  // @ts-expect-error -- no such index
  db.accounts.query({ index: 'byNone', eq: 'a' })
  // @ts-expect-error -- the index is of two fields
  db.accounts.query({ index: 'bySince', eq: 'ada' })
  // @ts-expect-error -- in this order
  db.accounts.query({ index: 'bySince', eq: [new Date(), 'ada'] })
  // @ts-expect-error -- a prefix has leading parts
  db.events.query({ prefix: [1] })
  // @ts-expect-error -- numbers have no prefixes
  db.valibot.query({ prefix: 1 })

  // Stateful ops: fields of the kind they are for.
  await db.accounts.increment('a', { balance: 1n })
  await db.accounts.append('a', { tags: ['x'] })
  await db.accounts.patch('a', { mail: undefined })
  // @ts-expect-error -- a bigint is not a number
  await db.accounts.increment('a', { balance: 1 })
  // @ts-expect-error -- a string is no number
  await db.accounts.increment('a', { owner: 1 })
  // @ts-expect-error -- not a list
  await db.accounts.append('a', { owner: ['x'] })
  // @ts-expect-error -- elements of the wrong type
  await db.accounts.append('a', { tags: [1] })
  // @ts-expect-error -- no such field
  await db.accounts.patch('a', { none: 1 })

  // Transactions have the same tables and types, and give what their function gives.
  const told = await db.transact(async (tx) => {
    const row = await tx.accounts.get('a')
    same<typeof row, Account | undefined>()
    tx.accounts.increment('a', { balance: -1n })
    // @ts-expect-error -- a field is missing
    await tx.accounts.put({ id: 'a' })
    return row?.balance
  })
  same<typeof told, bigint | undefined>()
  // @ts-expect-error -- a table that is not declared
  void db.none
  // Such a table goes by its name, with plain rows.
  await db.table('other').put({ anything: 1, at: new Date() })
}

export async function shapes(): Promise<void> {
  const db = await open({ memory: true, tables })
  const defined = await db.define('more', strong({ row: z.object({ k: z.bigint() }), key: 'k' }))
  same<Awaited<ReturnType<typeof defined.get>>, { k: bigint } | undefined>()
  // @ts-expect-error -- in memory there is no folder
  await open({ memory: true, dir: './x' })
  const plain = await open({ memory: true })
  // @ts-expect-error -- nothing was declared
  void plain.accounts
}

strong({ row: unvalidated<{ k: string }>(), key: 'k', leastDurability: 'quorum-fsynced' })
// @ts-expect-error -- no such durability
strong({ row: unvalidated<{ k: string }>(), key: 'k', leastDurability: 'forever' })
