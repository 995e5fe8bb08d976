// Tables, queries, bulk calls, imports and status over HTTP.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Api, PLACES } from './http-harness.ts'

describe.each(PLACES)('tables over HTTP, in %s', (place) => {
  let api: Api
  beforeEach(async () => {
    api = await Api.over(place)
  })
  afterEach(async () => {
    expect(api.problems).toEqual([])
    await api.close()
  })

  it('defines, shows, changes and drops a table', async () => {
    const made = await api.put('/v1/tables/notes', { key: 'id', indexes: { byAuthor: 'author' } })
    expect(made.status).toBe(201)
    expect(made.body).toMatchObject({
      ...{ name: 'notes', key: ['id'], rows: 0, validated: false },
      indexes: [{ name: 'byAuthor', fields: ['author'], unique: false, state: 'ready' }],
    })
    await api.put('/v1/tables/notes/rows', { id: 1, author: 'ada', slug: 's' })
    const more = { key: ['id'], indexes: { byAuthor: ['author'], bySlug: { unique: 'slug' } } }
    const changed = await api.put('/v1/tables/notes', more)
    expect(changed.status).toBe(200)
    expect(changed.body.indexes).toHaveLength(2)
    const taken = await api.put('/v1/tables/notes/rows', { id: 2, author: 'x', slug: 's' })
    expect(taken.body.code).toBe('UniqueViolation')
    expect((await api.get('/v1/tables/notes')).body.rows).toBe(1)
    expect((await api.delete('/v1/tables/notes/indexes/bySlug')).status).toBe(204)
    expect((await api.delete('/v1/tables/notes/indexes/bySlug')).body.code).toBe('UnknownIndex')
    expect((await api.get('/v1/tables/notes')).body.indexes).toHaveLength(1)
    expect((await api.delete('/v1/tables/notes')).status).toBe(204)
    expect(await api.get('/v1/tables/notes')).toMatchObject({ status: 404 })
    const names = (await api.get('/v1/tables')).body.tables.map(({ name }) => name)
    expect(names).toEqual(['accounts', 'places', 'things', 'users'])
  })

  it('leaves a table with a schema to the program that declares it', async () => {
    const paths = ['/v1/tables/users/indexes/byEmail', '/v1/tables/users']
    const answers = [await api.delete(paths[0] ?? ''), await api.put(paths[1] ?? '', { key: 'id' })]
    for (const { status, body } of answers) {
      expect([status, body.code]).toEqual([400, 'InvalidSchema'])
    }
    await api.db.users.put({ id: 1, email: 'a' })
    expect((await api.put('/v1/tables/users/rows', { id: 2, email: 'a' })).status).toBe(409)
  })

  it('refuses definitions that are none', async () => {
    const bad: [string, unknown, number][] = [
      ['notes', {}, 400],
      ['notes', { key: 5 }, 400],
      ['notes', { key: [5] }, 400],
      ['notes', { key: 'id', indexes: [] }, 400],
      ['notes', { key: 'id', indexes: { a: 5 } }, 400],
      ['notes', { key: 'id', indexes: { a: { unique: 'x', more: 1 } } }, 400],
      ['notes', { key: 'id', ttl: 'x' }, 400],
      ['notes', { key: [] }, 400],
      ['things', { key: 'other' }, 400],
      ['users', { key: 'id' }, 400],
      ['_tokens', { key: 'id' }, 400],
      ['transact', { key: 'id' }, 400],
      ['constructor', { key: 'id' }, 400],
      ['a%20b', { key: 'id' }, 400],
      ['__proto__', { key: 'id' }, 400],
    ]
    for (const [table, body, status] of bad) {
      const answer = await api.put(`/v1/tables/${table}`, body as never)
      expect([table, body, answer.status]).toEqual([table, body, status])
    }
    expect((await api.get('/v1/tables')).body.tables).toHaveLength(4)
  })

  it('queries by key and by index, with conditions', async () => {
    const rows = Array.from({ length: 30 }, (_, street) => ({
      ...{ town: street < 20 ? 'Ulm' : 'Wien', street },
      kind: street % 3 === 0 ? 'inn' : 'shop',
    }))
    await api.db.places.putMany(rows)
    const query = async (text: string) => (await api.get(`/v1/tables/places/query?${text}`)).body
    expect((await query('')).rows).toEqual(rows)
    expect((await query('prefix=~["Wien"]&limit=2&reverse=true')).rows).toEqual([
      rows[29],
      rows[28],
    ])
    expect((await query('gte=~["Ulm",5]&lt=~%5B%22Ulm%22%2C7%5D')).rows).toEqual(rows.slice(5, 7))
    const inns = rows.filter(({ kind }) => kind === 'inn')
    expect((await query('index=byKind&eq=inn')).rows).toEqual(inns)
    const found = await query('index=byKind&eq=inn&where=street>10&where=town=Ulm')
    expect(found).toEqual({ rows: inns.filter(({ street }) => street > 10 && street < 20) })
    const count = await api.get('/v1/tables/places/count?index=byKind&eq=inn')
    expect(count.body).toEqual({ count: 10 })
    expect((await api.get('/v1/tables/places/count')).body).toEqual({ count: 30 })
    const many = await api.post('/v1/tables/places/get-many', {
      keys: [
        ['Ulm', 1],
        ['Ulm', 99],
      ],
    })
    expect(many.body).toEqual({ rows: [rows[1], null] })
    const groups = await api.get('/v1/tables/places/groups?by=town&avg=street&where=kind=inn')
    expect(groups.body.groups).toEqual([
      { value: 'Wien', rows: 3, average: 24 },
      { value: 'Ulm', rows: 7, average: 9 },
    ])
  })

  it('gives pages that are all of one moment', async () => {
    await api.db.things.putMany(Array.from({ length: 250 }, (_, id) => ({ id, odd: id % 2 === 1 })))
    for (const where of ['', '&where=odd=true']) {
      const ids: number[] = []
      let cursor: string | undefined = 'start'
      for (let page = 0; cursor !== undefined; page++) {
        const answer = await api.get(`/v1/tables/things/query?limit=70${where}&cursor=${cursor}`)
        expect(answer.status).toBe(200)
        expect(answer.body.rows.length).toBeLessThanOrEqual(70)
        ids.push(...answer.body.rows.map(({ id }) => Number(id)))
        cursor = answer.body.cursor
        await api.db.things.put({ id: 1_000 + page, odd: true })
      }
      const all = Array.from({ length: 250 }, (_, id) => id)
      expect(ids.filter((id) => id < 1_000)).toEqual(where === '' ? all : all.filter((i) => i % 2))
      // What came behind the first page is in none of them.
      expect(ids.filter((id) => id >= 1_000)).toHaveLength(where === '' ? 0 : ids.length - 125)
    }
  })

  it('keeps no snapshot for who takes one page and goes', async () => {
    await api.db.things.putMany(Array.from({ length: 50 }, (_, id) => ({ id })))
    for (let i = 0; i < 100; i++) {
      expect((await api.get('/v1/tables/things/query?limit=2')).status).toBe(200)
    }
  })

  it('writes many rows, each on its own', async () => {
    const rows = [
      { id: 1, email: 'a' },
      { id: 2, email: 'a' },
      { id: 3 },
      null,
      { id: 4, email: 'd' },
    ]
    const { body, status } = await api.post('/v1/tables/users/bulk', { insert: rows })
    expect(status).toBe(200)
    expect(body.results.map(({ ok, problem }) => (ok ? true : problem.code))).toEqual([
      ...[true, 'UniqueViolation', 'InvalidRow', 'InvalidRow', true],
    ])
    expect(body.results[0]).toMatchObject({
      position: expect.any(Number) as unknown,
      token: expect.any(String) as unknown,
    })
    const put = await api.post('/v1/tables/users/bulk', { put: [{ id: 1, email: 'b' }] })
    expect(put.body.results).toMatchObject([{ ok: true }])
    const gone = await api.post('/v1/tables/users/bulk', { delete: [1, 9, null] })
    expect(gone.body.results).toMatchObject([
      { ok: true, existed: true },
      { ok: true, existed: false },
      { ok: false, problem: { code: 'InvalidKey' } },
    ])
    for (const wrong of [{}, { insert: 1 }, { insert: [], put: [] }, [], { rows: [] }]) {
      expect((await api.post('/v1/tables/users/bulk', wrong as never)).status).toBe(400)
    }
  })

  it('writes each row of a bulk call once, with an idempotency key', async () => {
    const call = () =>
      api.post(
        '/v1/tables/things/bulk',
        { insert: Array.from({ length: 300 }, (_, id) => ({ id })) },
        { 'idempotency-key': 'bulk' },
      )
    const [first, second] = [await call(), await call()]
    expect(first.body.results.every(({ ok }) => ok)).toBe(true)
    expect(second.body.results).toEqual(first.body.results)
  })

  it('takes every idempotency key for many rows, and no key of one row for another', async () => {
    const headers = { 'idempotency-key': 'k'.repeat(256) }
    const bulk = () => api.post('/v1/tables/things/bulk', { put: [{ id: 'a' }] }, headers)
    expect((await bulk()).body.results).toMatchObject([{ ok: true }])
    await api.db.things.delete('a')
    expect((await bulk()).body.results).toMatchObject([{ ok: true }])
    expect(await api.db.things.has('a')).toBe(false)
    // One made of another's text, as a key with a number behind it would be.
    const [key, other] = [{ 'idempotency-key': 'x' }, { 'idempotency-key': 'x.0' }]
    await api.put('/v1/tables/things/rows', { id: 'b' }, other)
    const rows = await api.post('/v1/tables/things/bulk', { put: [{ id: 'c' }] }, key)
    expect(rows.body.results).toMatchObject([{ ok: true }])
  })

  it('takes no more rows at once than there is room for their results', async () => {
    const small = await Api.over(place, { bulkRows: 3 })
    const rows = [1, 2, 3, 4].map((id) => ({ id: `${id}` }))
    const bulk = (some: typeof rows) => small.post('/v1/tables/things/bulk', { put: some })
    expect((await bulk(rows)).body.code).toBe('InvalidRequest')
    expect((await bulk(rows.slice(1))).body.results).toHaveLength(3)
    const batch = (unread: number[]) =>
      small.post('/v1/imports/i/batches', {
        ...{ table: 'things', start: 0, end: 9, mode: 'put' },
        rows: [{ position: 0, row: { id: 'a' } }],
        unread: unread.map((position) => ({ position })),
      })
    expect((await batch([1, 2, 3])).body.code).toBe('InvalidRequest')
    expect((await batch([1, 2])).status).toBe(200)
    await small.close()
  })

  it('imports what it can beside rows that are refused, and nothing of those', async () => {
    const unique = { a: { unique: 'a' }, b: { unique: 'b' } }
    await api.put('/v1/tables/two', { key: 'id', indexes: unique })
    await api.put('/v1/tables/two/rows', { id: -1, a: 'x', b: 'y' })
    const rows = Array.from({ length: 1_200 }, (_, id) => ({
      position: id,
      // Half of each refused row would fit.
      row: { id, a: `${Math.floor(id / 2)}`, b: id % 2 === 0 ? 'y' : `${id}` },
    }))
    let turns = 0
    let running = true
    const tick = (): void => {
      turns++
      if (running) setImmediate(tick)
    }
    setImmediate(tick)
    const answer = await api.post('/v1/imports/two/batches', {
      ...{ table: 'two', start: 0, end: rows.length, mode: 'put', rows },
    })
    running = false
    expect(answer.body).toMatchObject({ rows: 600 })
    expect(turns).toBeGreaterThan(3)
    expect(await api.db.check()).toMatchObject({ ok: true })
    expect((await api.get('/v1/tables/two/count')).body).toEqual({ count: 601 })
  })

  it('imports batches once, and nothing into tables that are not shown', async () => {
    const at = '/v1/imports/file-1'
    expect((await api.get(at)).body).toEqual({ batches: [] })
    const batch = (more: object) => ({
      ...{ table: 'users', start: 0, end: 3, mode: 'insert' },
      rows: [
        { position: 0, row: { id: 1, email: 'a' } },
        { position: 1, row: { id: 2, email: 'a' } },
      ],
      ...{ unread: [{ position: 2, reason: 'no JSON' }] },
      ...more,
    })
    const done = await api.post(`${at}/batches`, batch({}))
    expect(done.body).toMatchObject({ rows: 1, rejected: [{ position: 1 }, { position: 2 }] })
    expect((await api.post(`${at}/batches`, batch({}))).body).toMatchObject({ rows: 0, doneTo: 3 })
    for (const more of [
      { start: -1 },
      { start: 0.5 },
      { end: -2 },
      { end: 1 },
      { mode: 'x' },
      { rows: 5 },
      { rows: [5] },
      { unread: [{}] },
      { other: 1 },
    ]) {
      const answer = await api.post(`${at}/batches`, batch(more))
      expect([more, answer.status, answer.body.code]).toEqual([more, 400, 'InvalidRequest'])
    }
    for (const table of ['_imports', '_tokens', 'constructor', 'nope']) {
      const answer = await api.post(
        `${at}/batches`,
        batch({ table, start: 3, rows: [], unread: [] }),
      )
      expect([table, answer.status]).toEqual([table, 404])
      const finish = await api.post(`${at}/finish`, { file: 'f', table })
      expect([table, finish.status]).toEqual([table, 404])
    }
    const totals = await api.post(`${at}/finish`, { file: 'f.ndjson', table: 'users' })
    expect(totals.body).toMatchObject({
      rows: 1,
      rejected: 2,
      finished: expect.any(Date) as unknown,
    })
    expect((await api.get(at)).body.finished).toMatchObject({ rows: 1, rejected: 2 })
    expect((await api.delete(at)).status).toBe(204)
    expect((await api.get(at)).body).toEqual({ batches: [] })
  })

  it('says how it is, and not where', async () => {
    await api.get('/v1/imports/x')
    const { body, status } = await api.get('/v1/status')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      identity: api.db.identity,
      version: expect.any(String) as unknown,
    })
    expect(body.durability).toBe(place === 'memory' ? 'memory' : 'fsynced')
    expect(body).not.toHaveProperty('dir')
    const names = body.tables.map(({ name }) => name)
    expect(names).toEqual(['accounts', 'places', 'things', 'users'])
  })

  it('says what it survives, and what is wrong', async () => {
    const { body, status } = await api.get('/v1/cluster')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      kind: 'embedded',
      identity: api.db.identity,
      nodes: [{ isSelf: true, state: 'alive', lag: 0, stalenessMs: 0 }],
      survives: { text: expect.stringMatching(/^survives /) as unknown },
      problems: [],
    })
    expect(body).not.toHaveProperty('log')
    expect((await api.get('/v1/cluster?x=1')).status).toBe(400)
  })
})
