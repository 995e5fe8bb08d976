// Transactions as lists of steps: nothing is applied that was not decided on, and nothing in part.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Api, PLACES, type Account } from './http-harness.ts'

type Step = Readonly<Record<string, unknown>>

const sumOf = (rows: readonly Account[]) => rows.reduce((sum, { balance }) => sum + balance, 0n)

/** Tries the steps, then commits them as a client does: each with the outcome that was seen. */
const expecting = (steps: Step[], results: readonly { digest: string }[]) =>
  steps.map((step, i) => ({ ...step, expect: results[i]?.digest }))

describe.each(PLACES)('transactions over HTTP, in %s', (place) => {
  let api: Api
  beforeEach(async () => {
    api = await Api.over(place)
  })
  afterEach(async () => {
    expect(api.problems).toEqual([])
    await api.close()
  })
  const run = (body: Step, headers?: Record<string, string>) =>
    api.post('/v1/transactions', body as never, headers)
  const attempt = (steps: Step[]) => run({ steps, mode: 'try' })
  const commit = async (steps: Step[]) => {
    const { results } = (await attempt(steps)).body
    return run({ steps: expecting(steps, results) })
  }
  const put = (id: string, more = {}) => ({ table: 'things', op: 'put', row: { id, ...more } })
  const get = (key: string) => ({ table: 'things', op: 'get', key })

  it('commits all steps, each seeing those before it', async () => {
    const steps = [
      put('a', { n: 1 }),
      { table: 'things', op: 'increment', key: 'a', fields: { n: 4 } },
      { table: 'things', op: 'patch', key: 'a', fields: { m: 1 }, remove: ['gone'] },
      get('a'),
      { table: 'things', op: 'has', key: 'b' },
      { table: 'things', op: 'insert', row: { id: 'b' } },
      { table: 'things', op: 'getMany', keys: ['b', 'c'] },
      { table: 'things', op: 'query', query: { reverse: true, limit: 1 } },
      { table: 'things', op: 'count' },
      { table: 'things', op: 'delete', key: 'b' },
    ]
    const { status, body, headers } = await run({ steps })
    expect(status).toBe(200)
    expect(body.results.map(({ ok }) => ok)).toEqual([
      { id: 'a', n: 1 },
      null,
      null,
      { id: 'a', n: 5, m: 1 },
      false,
      { id: 'b' },
      [{ id: 'b' }, null],
      [{ id: 'b' }],
      2,
      true,
    ])
    expect(headers.get('holdfast-token')).toBe(body.token)
    expect(await api.db.things.query().toArray()).toEqual([{ id: 'a', n: 5, m: 1 }])
  })

  it('applies nothing of a try, and gives the same digests for the same outcomes', async () => {
    const steps = [put('a'), { table: 'things', op: 'insert', row: { id: 'a' } }, put('b')]
    const first = (await attempt(steps)).body.results
    // The list ends with the first refusal that was not expected.
    expect(first).toHaveLength(2)
    expect(first[1].error).toMatchObject({ code: 'AlreadyExists', kind: 'conflict' })
    expect(first[1].error.message).toMatch(/already has a row/)
    const second = (await attempt(expecting(steps, first))).body.results
    expect(second).toHaveLength(3)
    expect(second.slice(0, 2)).toEqual(first)
    expect(await api.db.things.count()).toBe(0)
    expect((await attempt([])).body.results).toEqual([])
  })

  it('goes on after a refusal that its caller caught, which leaves no trace', async () => {
    await api.db.users.put({ id: 1, email: 'a' })
    const refused = { table: 'users', op: 'put', row: { id: 2, email: 'a' } }
    const steps = [refused, { table: 'users', op: 'has', key: 2 }, put('a'), get('a')]
    const [{ digest }] = (await attempt([refused])).body.results
    const committed = await run({ steps: [{ ...refused, expect: digest }, ...steps.slice(1)] })
    expect(committed.status).toBe(200)
    expect(committed.body.results[0].error.code).toBe('UniqueViolation')
    expect(committed.body.results[1].ok).toBe(false)
    expect(await api.db.users.count()).toBe(1)
    expect(await api.db.things.get('a')).toEqual({ id: 'a' })
  })

  it('cancels itself at a refusal nobody expected, and says at which step', async () => {
    await api.db.things.put({ id: 'b' })
    const insert = { table: 'things', op: 'insert', row: { id: 'b' } }
    const answer = await run({ steps: [put('a'), insert] })
    expect(answer).toMatchObject({ status: 409, body: { code: 'AlreadyExists', applied: 'no' } })
    expect(answer.body.details.step).toBe(1)
    expect(await api.db.things.has('a')).toBe(false)
  })

  it('commits only what was decided by outcomes that still hold', async () => {
    const query = { table: 'places', op: 'query', query: { index: 'byKind', eq: 'inn' } }
    const count = { table: 'places', op: 'count', query: { prefix: ['Ulm'] } }
    const steps = [get('a'), query, count, put('done')]
    const inn = { town: 'Ulm', street: 1, kind: 'inn' }
    const changes: [() => Promise<unknown>, number | undefined][] = [
      [async () => undefined, undefined],
      // What changed and changed back is what it was.
      [
        async () => [await api.db.things.put({ id: 'a' }), await api.db.things.delete('a')],
        undefined,
      ],
      [() => api.db.things.put({ id: 'a' }), 0],
      [() => api.db.places.put(inn), 1],
      [() => api.db.places.put({ ...inn, street: 2, kind: 'x' }), 2],
    ]
    for (const [change, step] of changes) {
      await api.db.things.delete('done')
      const { results } = (await attempt(steps)).body
      await change()
      const answer = await run({ steps: expecting(steps, results) })
      expect([answer.status, answer.body.details?.step]).toEqual([
        step === undefined ? 200 : 409,
        step,
      ])
      expect(await api.db.things.has('done')).toBe(step === undefined)
      if (step !== undefined) expect(answer.body).toMatchObject({ code: 'Conflict', applied: 'no' })
    }
  })

  it(
    'keeps the sum of a bank while many clients transfer at once',
    { timeout: 60_000 },
    async () => {
      const accounts = ['a', 'b', 'c', 'd']
      await api.db.accounts.putMany(accounts.map((id) => ({ id, balance: 100n })))
      let [done, conflicts] = [0, 0]
      const transfer = async (from: string, to: string, amount: bigint): Promise<void> => {
        for (;;) {
          const reads = [from, to].map((key) => ({ table: 'accounts', op: 'get', key }))
          const { results } = (await attempt(reads)).body
          const [source, target] = [results[0], results[1]].map(
            ({ ok }) => (ok as unknown as Account).balance,
          ) as [bigint, bigint]
          if (source < amount) return
          const writes = [
            { table: 'accounts', op: 'put', row: { id: from, balance: source - amount } },
            { table: 'accounts', op: 'put', row: { id: to, balance: target + amount } },
          ]
          const answer = await run({ steps: [...expecting(reads, results), ...writes] })
          if (answer.status === 200) {
            done++
            return
          }
          expect([answer.status, answer.body.code]).toEqual([409, 'Conflict'])
          conflicts++
        }
      }
      const client = async (seed: number): Promise<void> => {
        for (let i = 0; i < 10; i++) {
          const from = accounts[(seed + i) % 4] as string
          const to = accounts[(seed + i + 1 + (i % 3)) % 4] as string
          await transfer(from, to, BigInt(1 + ((seed * 7 + i) % 9)))
        }
      }
      let reading = true
      const sums = (async () => {
        const seen = new Set<bigint>()
        while (reading) {
          const { results } = (await attempt([{ table: 'accounts', op: 'query' }])).body
          seen.add(sumOf(results[0].ok as unknown as Account[]))
        }
        return seen
      })()
      await Promise.all(Array.from({ length: 12 }, (_, seed) => client(seed)))
      reading = false
      expect(await sums).toEqual(new Set([400n]))
      const rows = await api.db.accounts.query().toArray()
      expect(sumOf(rows)).toBe(400n)
      expect(rows.every(({ balance }) => balance >= 0n)).toBe(true)
      expect(done).toBeGreaterThan(50)
      // Without losers nothing would have been concurrent here.
      expect(conflicts).toBeGreaterThan(0)
    },
  )

  it('lets no two transactions each write what the other has read', async () => {
    await api.db.things.putMany([
      { id: 'x', on: true },
      { id: 'y', on: true },
    ])
    const reads = [get('x'), get('y')]
    const { results } = (await attempt(reads)).body
    const off = (id: string) =>
      run({ steps: [...expecting(reads, results), put(id, { on: false })] })
    const answers = await Promise.all([off('x'), off('y')])
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409])
    const left = await api.db.things.query().toArray()
    expect(left.filter(({ on }) => on)).toHaveLength(1)
  })

  it('loses no update of many who count', async () => {
    await api.db.things.put({ id: 'n', n: 0 })
    const add = async (): Promise<void> => {
      for (;;) {
        const { results } = (await attempt([get('n')])).body
        const [step] = expecting([get('n')], results)
        const answer = await run({
          steps: [step, put('n', { n: (results[0].ok as { n: number }).n + 1 })],
        })
        if (answer.status === 200) return
      }
    }
    await Promise.all(Array.from({ length: 20 }, add))
    expect(await api.db.things.get('n')).toEqual({ id: 'n', n: 20 })
  })

  it('holds steps to ETags', async () => {
    const { headers } = await api.put('/v1/tables/things/rows', { id: 'a' })
    const etag = headers.get('etag') ?? ''
    const none = { ...put('b'), ifMatch: null }
    expect((await run({ steps: [{ ...put('a', { n: 1 }), ifMatch: etag }, none] })).status).toBe(
      200,
    )
    const again = await run({ steps: [{ ...put('a', { n: 2 }), ifMatch: etag }] })
    expect(again).toMatchObject({ status: 412, body: { code: 'Conflict', details: { step: 0 } } })
    expect(await run({ steps: [none] })).toMatchObject({
      ...{ status: 412, body: { code: 'AlreadyExists' } },
    })
    expect(await run({ steps: [{ ...get('c'), ifMatch: etag }] })).toMatchObject({ status: 412 })
    const gone = { table: 'things', op: 'delete', key: 'a', ifMatch: etag }
    // A failed condition is an outcome too: who expects it goes on.
    const [{ digest }] = (await attempt([gone])).body.results
    expect((await run({ steps: [{ ...gone, expect: digest }, put('d')] })).status).toBe(200)
    expect(await api.db.things.has('a')).toBe(true)
  })

  it('is exactly once with an idempotency key, also for many at once', async () => {
    await api.db.things.put({ id: 'n', n: 0 })
    const add = { table: 'things', op: 'increment', key: 'n', fields: { n: 1 } }
    const key = { 'idempotency-key': 'k' }
    expect((await run({ steps: [], mode: 'try' }, key)).body.results).toEqual([])
    const call = () => run({ steps: [get('n'), add], request: ['add'], value: { got: 7n } }, key)
    const answers = await Promise.all(Array.from({ length: 10 }, call))
    expect(answers.every(({ status }) => status === 200)).toBe(true)
    expect(answers.filter(({ body }) => 'results' in body)).toHaveLength(1)
    expect(
      answers.filter(({ body }) => 'replayed' in body).map(({ body }) => body.replayed),
    ).toEqual(Array.from({ length: 9 }, () => ({ got: 7n })))
    expect(await api.db.things.get('n')).toEqual({ id: 'n', n: 1 })
    const looked = await run({ steps: [], mode: 'try', request: ['add'] }, key)
    expect(looked.body.replayed).toEqual({ got: 7n })
    const other = await run({ steps: [], mode: 'try', request: ['other'] }, key)
    expect(other).toMatchObject({ status: 400, body: { code: 'IdempotencyMismatch' } })
    const bare = () => run({ steps: [add] }, { 'idempotency-key': 'bare' })
    await bare()
    expect((await bare()).body.replayed).toBe(null)
    expect(await api.db.things.get('n')).toEqual({ id: 'n', n: 2 })
  })

  it('refuses what is no transaction, before any of it runs', async () => {
    const bad: unknown[] = [
      null,
      [],
      1,
      {},
      { steps: {} },
      { steps: [null] },
      { steps: [[]] },
      { steps: [put('a')], more: 1 },
      { steps: [put('a')], mode: 'maybe' },
      { steps: [{ ...put('a'), op: 'toString' }] },
      { steps: [{ ...put('a'), op: '__proto__' }] },
      { steps: [{ ...put('a'), op: undefined }] },
      { steps: [put('a'), { ...put('b'), op: 'insert', key: 'b' }] },
      { steps: [{ table: 'things', op: 'put' }] },
      { steps: [{ table: 5, op: 'get', key: 1 }] },
      { steps: [{ ...get('a'), expect: 1 }] },
      { steps: [{ ...get('a'), ifMatch: 1 }] },
      { steps: [{ table: 'things', op: 'getMany', keys: 'a' }] },
      { steps: [{ table: 'things', op: 'query', query: [] }] },
      { steps: [{ table: 'things', op: 'query', query: { limit: -1 } }] },
      { steps: [{ table: 'things', op: 'query', query: { where: 1 } }] },
      { steps: [{ table: 'things', op: 'increment', key: 'a', fields: { n: 'x' } }] },
      { steps: [{ table: 'things', op: 'append', key: 'a', fields: [] }] },
    ]
    for (const body of bad) {
      const answer = await run(body as Step)
      expect([body, answer.status, answer.body.code]).toEqual([body, 400, 'InvalidRequest'])
    }
    const refused: [Step, number, string][] = [
      [{ table: '_imports', op: 'put', row: { import: 'x', start: 1 } }, 404, 'UnknownTable'],
      [{ table: '_tokens', op: 'query' }, 404, 'UnknownTable'],
      [{ table: 'constructor', op: 'get', key: 1 }, 404, 'UnknownTable'],
      [{ table: '__proto__', op: 'get', key: 1 }, 404, 'UnknownTable'],
      [{ table: 'things', op: 'get', key: null }, 400, 'InvalidKey'],
      [{ table: 'things', op: 'get', key: {} }, 400, 'InvalidKey'],
      [{ table: 'things', op: 'put', row: [] }, 422, 'InvalidRow'],
      [{ table: 'things', op: 'put', key: 'b', row: { id: 'a' } }, 400, 'InvalidArgument'],
      [{ table: 'things', op: 'query', query: { index: 'no' } }, 404, 'UnknownIndex'],
      [{ table: 'things', op: 'query', query: { eq: 1, gt: 2 } }, 400, 'InvalidArgument'],
      [{ table: 'things', op: 'increment', key: 'a', fields: { id: 1 } }, 400, 'IndexedField'],
      [{ table: 'things', op: 'append', key: 'a', fields: { n: 1 } }, 400, 'InvalidArgument'],
      [{ table: 'things', op: 'delete', key: 'a', ifMatch: 'x' }, 412, 'Conflict'],
    ]
    for (const [step, status, code] of refused) {
      const answer = await run({ steps: [put('a'), step] })
      expect([step, answer.status, answer.body.code]).toEqual([step, status, code])
      expect(answer.body.details.step).toBe(1)
    }
    expect(await api.db.things.count()).toBe(0)
  })

  it('gives no more than it can hold', async () => {
    const small = await Api.over(place, { pageRows: 2, bulkBodyBytes: 4_000 })
    await small.db.things.putMany(Array.from({ length: 21 }, (_, id) => ({ id })))
    const steps = (query: object) => ({ steps: [{ table: 'things', op: 'query', query }] as never })
    const refused = await small.post('/v1/transactions', steps({}))
    expect(refused).toMatchObject({ status: 413, body: { code: 'TransactionTooLarge' } })
    expect((await small.post('/v1/transactions', steps({ limit: 20 }))).status).toBe(200)
    await small.db.things.put({ id: 'wide', text: 'x'.repeat(1_000) })
    const many = Array.from({ length: 4 }, () => get('wide'))
    const wide = await small.post('/v1/transactions', { steps: many as never })
    expect(wide).toMatchObject({ status: 413, body: { code: 'TransactionTooLarge' } })
    await small.close()
  })

  it('holds a caught refusal to all that it said, and counts it as an outcome', async () => {
    const unique = { a: { unique: 'a' }, b: { unique: 'b' } }
    await api.put('/v1/tables/two', { key: 'id', indexes: unique })
    await api.put('/v1/tables/two/rows', { id: 1, a: 1, b: 1 })
    const refused = { table: 'two', op: 'put', row: { id: 2, a: 1, b: 2 } }
    const [{ digest }] = (await attempt([refused])).body.results
    const decided = { steps: [{ ...refused, expect: digest }, put('a')] }
    expect((await run(decided)).status).toBe(200)
    // It is the other index now: who went by that decided on something else.
    await api.put('/v1/tables/two/rows', { id: 1, a: 9, b: 2 })
    expect(await run(decided)).toMatchObject({ status: 409, body: { code: 'Conflict' } })
    const small = await Api.over(place, { bulkBodyBytes: 4_000 })
    const missing = { table: 'none', op: 'has', key: 1 }
    const seen = await small.post('/v1/transactions', { steps: [missing], mode: 'try' })
    const expected = { ...missing, expect: seen.body.results[0].digest }
    const many = { steps: Array.from({ length: 50 }, () => expected), mode: 'try' }
    expect((await small.post('/v1/transactions', many)).body.code).toBe('TransactionTooLarge')
    await small.close()
  })

  it('counts no more by index than it can hold to', async () => {
    const small = await Api.over(place, { pageRows: 1 })
    const inns = Array.from({ length: 101 }, (_, street) => ({ town: 'Ulm', street, kind: 'inn' }))
    await small.db.places.putMany(inns)
    const counted = (query: object) =>
      small.post('/v1/transactions', { steps: [{ table: 'places', op: 'count', query }] as never })
    expect((await counted({ index: 'byKind' })).body.code).toBe('TransactionTooLarge')
    expect((await counted({ index: 'byKind', limit: 100 })).body.results[0].ok).toBe(100)
    expect((await counted({})).body.results[0].ok).toBe(101)
    await small.close()
  })

  it('commits again what was tried, over validated rows too', async () => {
    const answer = await commit([
      { table: 'users', op: 'insert', row: { id: 1, email: 'a' } },
      { table: 'users', op: 'query', query: { index: 'byEmail', eq: 'a' } },
    ])
    expect(answer.status).toBe(200)
    expect(answer.body.results[1].ok).toEqual([{ id: 1, email: 'a' }])
  })
})
