// A backup over HTTP is an archive like any other, and one that fails does not look whole.
import { describe, expect, test } from 'vitest'
import { restore, strong, verifyBackup } from '../../src/index.ts'
import { createHandler } from '../../src/server.ts'
import { cleanUp, contentsOf, freshFolder, inPieces, openAt } from './places.ts'

/** Enough for several parts: an answer that is drained is then still on its way. */
const ROWS = 16_000
const tables = { rows: strong<{ id: number; text: string }>({ key: 'id' }) }

describe('POST /v1/backup', () => {
  cleanUp()

  async function served(): Promise<{
    db: Awaited<ReturnType<typeof openAt<typeof tables>>>
    post: (query?: string, signal?: AbortSignal) => Promise<Response>
    drain: () => void
    problems: Error[]
  }> {
    const db = await openAt(freshFolder(), tables)
    await db.rows.putMany(
      Array.from({ length: ROWS }, (_, id) => ({ id, text: `${id} ${'x'.repeat(1_000)}` })),
    )
    const problems: Error[] = []
    const onProblem = (problem: Error): number => problems.push(problem)
    const handler = createHandler(db, { access: 'trusted', onProblem })
    return {
      db,
      post: async (query = '', signal = new AbortController().signal) => {
        const url = `http://127.0.0.1:4653/v1/backup${query}`
        return handler.fetch(new Request(url, { method: 'POST', signal }))
      },
      drain: () => handler.drain(),
      problems,
    }
  }

  test('streams everything, or what is behind a position', async () => {
    const { db, post } = await served()
    const { position } = db.stats()
    const whole = await post()
    expect(whole.status).toBe(200)
    expect(whole.headers.get('content-type')).toBe('application/octet-stream')
    const first = new Uint8Array(await whole.arrayBuffer())
    await db.rows.delete(7)
    const more = new Uint8Array(await (await post(`?after=${position}`)).arrayBuffer())
    const both = Buffer.concat([first, more])
    expect(await verifyBackup({ from: inPieces(both, 10_000) })).toMatchObject({ rows: ROWS - 1 })
    const into = freshFolder()
    await restore({ from: inPieces(both, 10_000), dir: into })
    expect(await contentsOf(await openAt(into, tables))).toEqual(await contentsOf(db))
  })

  test('refuses what it does not know, before it begins', async () => {
    const { post } = await served()
    for (const query of ['?after=99999', '?after=-1', '?after=x', '?before=1']) {
      const answer = await post(query)
      expect(answer.status).toBe(400)
      expect(await answer.json()).toMatchObject({ code: 'InvalidRequest' })
    }
  })

  test('breaks off when the server drains: what came is no archive', async () => {
    const { post, drain, problems } = await served()
    const { body } = await post()
    const pieces: Uint8Array[] = []
    const read = async (): Promise<void> => {
      for await (const piece of (body ?? []) as AsyncIterable<Uint8Array>) {
        pieces.push(piece)
        drain()
      }
    }
    await expect(read()).rejects.toMatchObject({ code: 'Cancelled' })
    expect(problems).toEqual([])
    await expect(
      verifyBackup({ from: inPieces(Buffer.concat(pieces), 999) }),
    ).rejects.toMatchObject({ code: 'BackupCorrupt' })
  })

  test('tells the server too of what breaks once the answer has begun', async () => {
    const { db, post, problems } = await served()
    const { body } = await post()
    const read = async (): Promise<void> => {
      for await (const _ of (body ?? []) as AsyncIterable<Uint8Array>) await db.close()
    }
    await expect(read()).rejects.toMatchObject({ code: 'Closed' })
    await expect.poll(() => problems).toMatchObject([{ code: 'Closed' }])
  })
})
