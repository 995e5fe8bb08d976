// One row at a time over HTTP: reads and their tags, writes and their conditions, exactly once.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { keySegment } from '../../src/core/key-segment.ts'
import { strong } from '../../src/index.ts'
import { Api, PLACES } from './http-harness.ts'

describe.each(PLACES)('rows over HTTP, in %s', (place) => {
  let api: Api
  beforeEach(async () => {
    api = await Api.over(place)
  })
  afterEach(async () => {
    expect(api.problems).toEqual([])
    await api.close()
  })
  const thing = (id: string) => `/v1/tables/things/rows/${id}`

  it('gives a row back as it was put, with every type', async () => {
    const row = { id: 'a', n: 5n, at: new Date(7), bytes: new Uint8Array([1, 2]), deep: [{ x: 1 }] }
    const put = await api.put(thing('a'), row)
    expect(put.status).toBe(200)
    expect(put.body).toEqual({
      position: expect.any(Number) as unknown,
      durability: place === 'memory' ? 'memory' : 'fsynced',
      token: put.headers.get('holdfast-token'),
    })
    const got = await api.get(thing('a'))
    expect(got.status).toBe(200)
    expect(got.body).toEqual(row)
    expect(got.headers.get('etag')).toBe(put.headers.get('etag'))
    expect(got.headers.get('content-type')).toBe('application/json')
    const head = await api.call('HEAD', thing('a'))
    expect([head.status, head.text]).toEqual([200, ''])
    expect(head.headers.get('etag')).toBe(got.headers.get('etag'))
    expect(await api.get(thing('b'))).toMatchObject({ status: 404, body: { code: 'NotFound' } })
  })

  it('reads after a token, and refuses one of another database', async () => {
    const { token } = (await api.put(thing('a'), { id: 'a' })).body
    const after = { 'holdfast-after': token, 'holdfast-read-level': 'session' }
    expect((await api.get(thing('a'), after)).status).toBe(200)
    const foreign = { 'holdfast-after': `hf1.${'0'.repeat(32)}.1` }
    expect((await api.get(thing('a'), foreign)).body.code).toBe('TokenMismatch')
    const odd = await api.get(thing('a'), { 'holdfast-after': 'x' })
    expect(odd).toMatchObject({ status: 400, body: { code: 'InvalidCursor' } })
  })

  it('inserts once, and says where the row is', async () => {
    const first = await api.post('/v1/tables/places/rows', { town: 'a/b', street: 7, kind: 'x' })
    expect(first.status).toBe(201)
    const location = first.headers.get('location') ?? ''
    expect(location).toBe(`/v1/tables/places/rows/${keySegment(['a/b', 7])}`)
    expect((await api.get(location)).body).toEqual({ town: 'a/b', street: 7, kind: 'x' })
    const second = await api.post('/v1/tables/places/rows', { town: 'a/b', street: 7, kind: 'y' })
    expect(second).toMatchObject({ status: 409, body: { code: 'AlreadyExists', applied: 'no' } })
    expect((await api.get(location)).body.kind).toBe('x')
  })

  it('takes a put without a key in the path, and none whose keys differ', async () => {
    expect((await api.put('/v1/tables/things/rows', { id: 'k' })).status).toBe(200)
    const wrong = await api.put(thing('other'), { id: 'k', changed: true })
    expect(wrong).toMatchObject({ status: 400, body: { code: 'InvalidRequest' } })
    expect((await api.get(thing('k'))).body).toEqual({ id: 'k' })
    expect((await api.put(thing('1'), { id: 1 })).body.code).toBe('InvalidRequest')
    expect((await api.put(thing('~1'), { id: 1 })).status).toBe(200)
  })

  it('answers the row where it is asked for', async () => {
    const prefer = { prefer: 'respond-async, return=representation' }
    const put = await api.put(thing('a'), { id: 'a', n: 1 }, prefer)
    expect(put.body.row).toEqual({ id: 'a', n: 1 })
    expect(put.headers.get('preference-applied')).toBe('return=representation')
    const patched = await api.patch(thing('a'), { increment: { n: 2 } }, prefer)
    expect(patched.body.row).toEqual({ id: 'a', n: 3 })
    const minimal = await api.put(thing('a'), { id: 'a' }, { prefer: 'return=minimal' })
    expect(minimal.body.row).toBeUndefined()
  })

  it('answers 304 to who has the row already', async () => {
    const etag = (await api.put(thing('a'), { id: 'a' })).headers.get('etag') ?? ''
    for (const tags of [etag, '*', `"x", W/${etag}`]) {
      const answer = await api.get(thing('a'), { 'if-none-match': tags })
      expect([answer.status, answer.text]).toEqual([304, ''])
      expect(answer.headers.get('etag')).toBe(etag)
    }
    expect((await api.get(thing('a'), { 'if-none-match': '"x"' })).status).toBe(200)
    expect((await api.get(thing('a'), { 'if-match': '"x"' })).status).toBe(412)
    expect((await api.get(thing('b'), { 'if-none-match': '*' })).status).toBe(404)
  })

  it('writes on a condition only when it holds', async () => {
    const etag = (await api.put(thing('a'), { id: 'a', n: 1 })).headers.get('etag') ?? ''
    for (const tags of ['"x"', `W/${etag}`, '"x", "y"']) {
      const refused = await api.put(thing('a'), { id: 'a', n: 2 }, { 'if-match': tags })
      expect(refused).toMatchObject({ status: 412, body: { code: 'Conflict', applied: 'no' } })
      expect((await api.patch(thing('a'), { set: { n: 2 } }, { 'if-match': tags })).status).toBe(
        412,
      )
      expect((await api.delete(thing('a'), { 'if-match': tags })).status).toBe(412)
    }
    expect((await api.get(thing('a'))).body.n).toBe(1)
    expect((await api.put(thing('b'), { id: 'b' }, { 'if-match': '*' })).status).toBe(412)
    const put = await api.put(thing('a'), { id: 'a', n: 2 }, { 'if-match': `"x" , ${etag}` })
    expect(put.status).toBe(200)
    const tag = put.headers.get('etag') ?? ''
    expect((await api.put(thing('a'), { id: 'a', n: 3 }, { 'if-match': etag })).status).toBe(412)
    expect((await api.put(thing('a'), { id: 'a' }, { 'if-none-match': tag })).status).toBe(412)
    const patched = await api.patch(thing('a'), { increment: { n: 5 } }, { 'if-match': tag })
    expect(patched.status).toBe(200)
    expect((await api.get(thing('a'))).body.n).toBe(7)
    const gone = await api.delete(thing('a'), { 'if-match': patched.headers.get('etag') ?? '' })
    expect(gone).toMatchObject({ status: 200, body: { existed: true } })
    expect((await api.delete(thing('a'), { 'if-match': '*' })).status).toBe(412)
    expect(await api.delete(thing('a'))).toMatchObject({ status: 200, body: { existed: false } })
  })

  it('inserts by a put that says so, and refuses tags that are none', async () => {
    const none = { 'if-none-match': '*' }
    expect((await api.put(thing('a'), { id: 'a', n: 1 }, none)).status).toBe(200)
    const second = await api.put(thing('a'), { id: 'a', n: 2 }, none)
    expect(second).toMatchObject({ status: 412, body: { code: 'AlreadyExists' } })
    for (const tags of ['x', '', '"a" "b"', '"a', 'w/"a"']) {
      const answer = await api.put(thing('a'), { id: 'a' }, { 'if-match': tags })
      expect([tags, answer.status, answer.body.code]).toEqual([tags, 400, 'InvalidRequest'])
    }
    expect((await api.post('/v1/tables/things/rows', { id: 'z' }, none)).status).toBe(400)
  })

  it('lets one of many writers with the same tag win', async () => {
    const etag = (await api.put(thing('a'), { id: 'a', n: 0 })).headers.get('etag') ?? ''
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        api.put(thing('a'), { id: 'a', n: n + 1 }, { 'if-match': etag }),
      ),
    )
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(19)
  })

  it('changes fields all at once, or none', async () => {
    await api.put(thing('a'), { id: 'a', n: 1, m: 10, list: [1], gone: true, name: 'x' })
    const changes = {
      increment: { n: 2 },
      decrement: { m: 3 },
      min: { low: 4 },
      max: { high: 5 },
      append: { list: [2, 3] },
      set: { name: 'y' },
      remove: ['gone'],
    }
    expect((await api.patch(thing('a'), changes)).status).toBe(200)
    const row = { id: 'a', n: 3, m: 7, low: 4, high: 5, list: [1, 2, 3], name: 'y' }
    expect((await api.get(thing('a'))).body).toEqual(row)
    const bad: [object, number, string][] = [
      [{ increment: { name: 1 }, set: { n: 9 } }, 409, 'NotNumeric'],
      [{ increment: { name: 1 } }, 409, 'NotNumeric'],
      [{ append: { n: [1] }, set: { name: 'z' } }, 409, 'NotAppendable'],
      [{ increment: { id: 1 }, set: { n: 9 } }, 400, 'IndexedField'],
      [{ increment: { id: 1 } }, 400, 'IndexedField'],
      [{ increment: { n: 1 }, set: { n: 9 } }, 400, 'InvalidRequest'],
      [{ increment: { n: 'x' } }, 400, 'InvalidRequest'],
      [{ append: { list: 1 } }, 400, 'InvalidRequest'],
      [{ remove: [1] }, 400, 'InvalidRequest'],
      [{ set: { id: 'b' } }, 400, 'InvalidArgument'],
      [{}, 400, 'InvalidRequest'],
      [{ put: { n: 1 } }, 400, 'InvalidRequest'],
      [{ set: [1] }, 400, 'InvalidRequest'],
      [{ set: { n: 1 }, create: { id: 'b' } }, 400, 'InvalidArgument'],
    ]
    for (const [body, status, code] of bad) {
      const answer = await api.patch(thing('a'), body as never)
      expect([body, answer.status, answer.body.code]).toEqual([body, status, code])
    }
    expect((await api.get(thing('a'))).body).toEqual(row)
    expect((await api.patch(thing('b'), { set: { n: 1 }, increment: { m: 1 } })).status).toBe(404)
    expect((await api.patch(thing('b'), { set: { n: 1 } })).status).toBe(404)
    const create = { increment: { n: 1 }, set: { name: 'new' }, create: { id: 'b', n: 10 } }
    expect((await api.patch(thing('b'), create)).status).toBe(200)
    expect((await api.get(thing('b'))).body).toEqual({ id: 'b', n: 11, name: 'new' })
  })

  it('refuses changes that do not fit the row that a schema makes of `create`', async () => {
    const filled = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value: unknown) => ({ value: { list: 7, ...(value as { id: string }) } }),
      },
    } as const
    await api.db.define('filled', strong({ row: filled, key: 'id' }))
    const changes = { append: { list: [1] }, set: { n: 1 }, create: { id: 'a' } }
    const answer = await api.patch('/v1/tables/filled/rows/a', changes)
    expect([answer.status, answer.body.code]).toEqual([409, 'NotAppendable'])
    expect((await api.get('/v1/tables/filled/rows/a')).status).toBe(404)
  })

  it('keeps indexes in step with what a patch changes', async () => {
    await api.put('/v1/tables/users/rows', { id: 1, email: 'a' })
    await api.put('/v1/tables/users/rows', { id: 2, email: 'b' })
    const one = '/v1/tables/users/rows/~1'
    const taken = await api.patch(one, { set: { email: 'b' }, increment: { visits: 1 } })
    expect(taken).toMatchObject({ status: 409, body: { code: 'UniqueViolation' } })
    expect((await api.patch(one, { set: { email: 'c' }, increment: { v: 1 } })).status).toBe(200)
    const found = await api.get('/v1/tables/users/query?index=byEmail&eq=c')
    expect(found.body.rows).toEqual([{ id: 1, email: 'c', v: 1 }])
    const invalid = await api.put('/v1/tables/users/rows', { id: 3, email: 5 })
    expect(invalid).toMatchObject({ status: 422, body: { code: 'InvalidRow' } })
    expect(invalid.body.details.issues).toEqual([{ path: 'email', message: 'an email is text' }])
  })

  it('is exactly once with an idempotency key, whatever the write', async () => {
    const key = (name: string) => ({ 'idempotency-key': name })
    const insert = () => api.post('/v1/tables/things/rows', { id: 'a', n: 1 }, key('insert'))
    const first = await insert()
    await api.put(thing('a'), { id: 'a', n: 5 })
    const again = await insert()
    expect(again).toMatchObject({ status: 201, body: { position: first.body.position } })
    expect((await api.get(thing('a'))).body.n).toBe(5)
    for (const body of [{ increment: { n: 1 } }, { increment: { n: 1 }, set: { m: 1 } }]) {
      const name = JSON.stringify(body)
      const before = (await api.get(thing('a'))).body.n
      expect((await api.patch(thing('a'), body, key(name))).status).toBe(200)
      expect((await api.patch(thing('a'), body, key(name))).status).toBe(200)
      expect((await api.get(thing('a'))).body.n).toBe(before + 1)
      const other = await api.patch(thing('a'), { increment: { n: 2 } }, key(name))
      expect(other).toMatchObject({ status: 400, body: { code: 'IdempotencyMismatch' } })
    }
    await api.patch(thing('a'), { set: { n: 1 } }, key('set'))
    const changed = await api.patch(thing('a'), { set: { n: 2 } }, key('set'))
    expect(changed.body.code).toBe('IdempotencyMismatch')
    expect((await api.delete(thing('a'), key('gone'))).body.existed).toBe(true)
    expect((await api.delete(thing('a'), key('gone'))).body.existed).toBe(true)
  })

  it('takes the condition for a part of an idempotent request', async () => {
    const etag = (await api.put(thing('a'), { id: 'a', n: 1 })).headers.get('etag') ?? ''
    const with_ = (tag: string | undefined) => ({
      'idempotency-key': 'k',
      ...(tag !== undefined && { 'if-match': tag }),
    })
    expect((await api.put(thing('a'), { id: 'a', n: 2 }, with_(etag))).status).toBe(200)
    const replay = await api.put(thing('a'), { id: 'a', n: 2 }, with_(etag))
    expect([replay.status, replay.headers.get('etag')]).toEqual([
      200,
      (await api.get(thing('a'))).headers.get('etag'),
    ])
    for (const tag of [undefined, '*', '"x"']) {
      const other = await api.put(thing('a'), { id: 'a', n: 2 }, with_(tag))
      expect([tag, other.body.code]).toEqual([tag, 'IdempotencyMismatch'])
    }
  })

  it('refuses deadlines that are none', async () => {
    for (const deadline of ['0', '-1', 'x', '1e3', '1.5', '99999999999']) {
      const answer = await api.get(thing('a'), { 'holdfast-deadline-ms': deadline })
      expect([deadline, answer.status]).toEqual([deadline, deadline === '' ? 404 : 400])
    }
    expect((await api.get(thing('a'), { 'holdfast-deadline-ms': '500' })).status).toBe(404)
    expect((await api.get(thing('a'), { 'holdfast-read-level': 'best' })).status).toBe(400)
  })
})
