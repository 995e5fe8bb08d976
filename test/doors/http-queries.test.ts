// Queries, counts and groups over HTTP: values are told apart by their type, fields are the row's own,
// and what is large neither holds up others nor fills the memory.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Value } from '../../src/core/wire.ts'
import { Api, PLACES } from './http-harness.ts'

describe.each(PLACES)('queries over HTTP, in %s', (place) => {
  let api: Api
  beforeEach(async () => {
    api = await Api.over(place)
  })
  afterEach(async () => {
    expect(api.problems).toEqual([])
    await api.close()
  })
  const put = (rows: Value) => api.post('/v1/tables/things/bulk', { put: rows })
  const idsWhere = async (where: string) => {
    const { body } = await api.get(`/v1/tables/things/query?where=${encodeURIComponent(where)}`)
    return body.rows.map(({ id }) => id)
  }
  const groupsBy = async (rest: string) => (await api.get(`/v1/tables/things/groups?${rest}`)).body

  it('knows no fields but those of the row itself', async () => {
    await put([{ id: 'a' }, { id: 'b', toString: 'x', constructor: 5 }])
    expect(await groupsBy('by=constructor')).toEqual({ groups: [{ value: 5, rows: 1 }] })
    expect(await groupsBy('by=toString&avg=valueOf')).toEqual({ groups: [] })
    expect(await groupsBy('by=__proto__')).toEqual({ groups: [] })
    expect(await idsWhere('toString=x')).toEqual(['b'])
    expect(await idsWhere('constructor!=5')).toEqual(['a'])
    const added = await api.patch('/v1/tables/things/rows/a', {
      increment: { valueOf: 1 },
      append: { hasOwnProperty: [1] },
      max: { isPrototypeOf: 3 },
    })
    expect(added.status).toBe(200)
    expect(await api.db.things.get('a')).toEqual({
      ...{ id: 'a', valueOf: 1, hasOwnProperty: [1], isPrototypeOf: 3 },
    })
    await api.put('/v1/tables/odd', {
      key: 'id',
      indexes: { byForm: 'toString', byValue: { unique: 'valueOf' } },
    })
    expect((await api.put('/v1/tables/odd/rows', { id: 1 })).status).toBe(200)
    expect((await api.get('/v1/tables/odd/query?index=byForm')).body.rows).toEqual([])
    await api.put('/v1/tables/odder', { key: 'toString' })
    const refused = await api.put('/v1/tables/odder/rows', { id: 1 })
    expect(refused.body.detail).toMatch(/toString is missing/)
  })

  it('compares every whole number exactly, and no date with a number', async () => {
    const large = 2n ** 53n
    await put([
      { id: 'low', n: large },
      { id: 'high', n: large + 1n },
      { id: 'double', n: 2 ** 53 },
      { id: 'date', n: new Date(5) },
      { id: 'five', n: 5 },
      { id: 'big five', n: 5n },
    ])
    expect(await idsWhere(`n=${large}`)).toEqual(['double', 'low'])
    expect(await idsWhere(`n=${large + 1n}`)).toEqual(['high'])
    expect(await idsWhere(`n>${large}`)).toEqual(['high'])
    expect(await idsWhere(`n<=${large}`)).toEqual(['big five', 'double', 'five', 'low'])
    expect(await idsWhere('n=5')).toEqual(['big five', 'five'])
    expect(await idsWhere('n<1971-01-01')).toEqual(['date'])
  })

  it('finds bytes and lists by their wire form', async () => {
    const bytes = Uint8Array.of(1, 2)
    await put([
      { id: 'bytes', v: bytes },
      { id: 'list', v: [1, 2] },
      { id: 'none', v: 1 },
    ])
    expect(await idsWhere('v={"$bytes":"AQI="}')).toEqual(['bytes'])
    expect(await idsWhere('v=[1,2]')).toEqual(['list'])
    expect(await idsWhere('v!=[1,2]')).toEqual(['bytes', 'none'])
  })

  it('makes one group of equal values, and two of values that differ in type', async () => {
    const values = [5, 5n, new Date(5), '5', [5], Uint8Array.of(5), true, null, '\0[5]']
    await put(values.flatMap((v, i) => ['x', 'y'].map((half) => ({ id: `${i}${half}`, v }))))
    const { groups } = (await groupsBy('by=v')) as unknown as { groups: { rows: number }[] }
    expect(groups.map(({ rows }) => rows)).toEqual(values.map(() => 2))
  })

  it('refuses a cursor that was tampered with', async () => {
    await put(Array.from({ length: 9 }, (_, i) => ({ id: `${i}` })))
    const path = '/v1/tables/things/query?limit=2&cursor='
    const parts = String((await api.get(`${path}start`)).body.cursor).split('.')
    for (const done of ['9'.repeat(400), '9'.repeat(20), '-1', 'x', '']) {
      const changed = [...parts.slice(0, 3), done, parts[4]].join('.')
      const answer = await api.get(path + changed)
      expect([answer.status, answer.body.code]).toEqual([400, 'InvalidCursor'])
    }
  })

  it('gives others a turn while it counts, and counts one moment', async () => {
    const rows = 20_000
    await api.db.things.putMany(Array.from({ length: rows }, (_, i) => ({ id: i, g: i % 2 })))
    let turns = 0
    let counting = true
    const tick = (): void => {
      turns++
      if (counting) setImmediate(tick)
    }
    const counted = api.db.things.count({ gte: 0 })
    setImmediate(tick)
    const more = api.db.things.put({ id: rows })
    expect(await counted).toBe(rows)
    counting = false
    expect(turns).toBeGreaterThan(2)
    await more
    expect(await api.db.things.count({ gte: 0 })).toBe(rows + 1)
    expect(await api.db.things.count({ gte: 10, lt: rows, limit: 15_000 })).toBe(15_000)
    const path = '/v1/tables/things/count?gte=~5'
    expect((await api.get(path)).body).toEqual({ count: rows - 4 })
    const gone = new AbortController()
    const left = api.call('GET', path, { signal: gone.signal })
    setImmediate(() => gone.abort())
    const answer = await left
    expect(answer.body.code).toBe('Cancelled')
  })

  it('reads no more of large rows at once than it may answer', async () => {
    const text = 'x'.repeat(200_000)
    await api.db.things.putMany(Array.from({ length: 100 }, (_, id) => ({ id, text })))
    const answer = await api.get('/v1/tables/things/query?limit=100')
    expect([answer.status, answer.body.code]).toEqual([400, 'InvalidRequest'])
    expect((await api.get('/v1/tables/things/query?limit=9')).body.rows).toHaveLength(9)
    expect(await api.db.things.query({ reverse: true, limit: 50 }).toArray()).toHaveLength(50)
  })
})
