/** Feeds whose connection breaks: nothing is lost, nothing comes twice. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isHoldfastError, type connect } from '../../src/client.ts'
import type { Database } from '../../src/index.ts'
import { eventsOf, type ServerEvent } from '../../src/client/sse.ts'
import { createHandler, serve } from '../../src/server.ts'
import { cleanUp, client, codeOf, eventually, openMemory, served } from './places.ts'
import { tables } from './tables.ts'

cleanUp()

interface Broken {
  readonly db: ReturnType<typeof connect<typeof tables>>
  readonly embedded: Database<typeof tables>
  /** Paths of the feeds that were asked for. */
  readonly feeds: string[]
  /** Streams whose client went away. */
  readonly left: () => number
  /** Breaks every feed after so many bytes; undefined for none. */
  breakAfter: number | undefined
}

/** A client whose feeds break as a network would break them. */
async function breaking(): Promise<Broken> {
  const embedded = await openMemory(tables)
  const handler = createHandler(embedded, { access: 'trusted' })
  const feeds: string[] = []
  let left = 0
  const fetch = async (request: Request): Promise<Response> => {
    const response = await handler.fetch(request)
    const { pathname, search } = new URL(request.url)
    if (!pathname.endsWith('/feed') || response.body === null) return response
    feeds.push(search)
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    let room = broken.breakAfter ?? Number.POSITIVE_INFINITY
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await reader.read()
          if (done) return controller.close()
          controller.enqueue(value.subarray(0, room))
          room -= value.length
          if (room > 0) return undefined
          void reader.cancel()
          controller.error(new TypeError('terminated'))
        },
        cancel() {
          left++
          return reader.cancel()
        },
      },
      { highWaterMark: 0 },
    )
    return new Response(body, { status: response.status, headers: response.headers })
  }
  const db = client<typeof tables>({ url: 'http://holdfast.test', fetch })
  const broken: Broken = { db, embedded, feeds, left: () => left, breakAfter: undefined }
  return broken
}

describe('a feed', () => {
  test('goes on where it broke, without gap or repetition', async () => {
    const broken = await breaking()
    const { db, embedded, feeds } = broken
    const seen: number[] = []
    // Enough for a change or two, and at any place in them.
    broken.breakAfter = 410
    const feed = (async () => {
      for await (const { row } of db.plain.watch()) {
        seen.push(row?.n ?? -1)
        if (seen.length === 40) break
      }
    })()
    await db.plain.put({ k: 'a', n: 0 })
    for (let n = 1; n < 40; n++) await embedded.plain.put({ k: `k${n % 5}`, n })
    await feed
    expect(seen).toEqual([...Array(40).keys()])
    expect(feeds.length).toBeGreaterThan(3)
    expect(feeds.every((search) => search.startsWith('?after='))).toBe(true)
  })

  test('says so when it broke within the snapshot', async () => {
    const broken = await breaking()
    const { db, embedded } = broken
    await embedded.plain.putMany(Array.from({ length: 50 }, (_, n) => ({ k: `k${n}`, n })))
    broken.breakAfter = 500
    const seen: string[] = []
    const watch = async (): Promise<void> => {
      for await (const { key } of db.plain.watch({ from: 'snapshot' })) seen.push(key)
    }
    const error = await watch().catch((cause: unknown) => cause)
    expect(isHoldfastError(error, 'SnapshotExpired')).toBe(true)
    expect(seen.length).toBeGreaterThan(0)
    expect(seen.length).toBeLessThan(50)
  })

  test('whose snapshot is whole goes on behind it', async () => {
    const broken = await breaking()
    const { db, embedded, feeds } = broken
    await embedded.plain.putMany(Array.from({ length: 3 }, (_, n) => ({ k: `k${n}`, n })))
    const seen: string[] = []
    broken.breakAfter = 600
    for await (const { kind, key } of db.plain.watch({ from: 'snapshot' })) {
      seen.push(`${kind} ${key}`)
      if (seen.length >= 3 && seen.length < 9) {
        await embedded.plain.put({ k: `later${seen.length}`, n: 0 })
      }
      if (seen.length === 9) break
    }
    expect(seen).toEqual([
      ...['row k0', 'row k1', 'row k2'],
      ...[3, 4, 5, 6, 7, 8].map((n) => `insert later${n}`),
    ])
    expect(feeds.length).toBeGreaterThan(1)
  })

  test('closes its connection when its loop is left, or aborted', async () => {
    const broken = await breaking()
    const { db, embedded } = broken
    await embedded.plain.put({ k: 'a', n: 1 })
    for await (const { key } of db.plain.watch({ from: 'start' })) {
      expect(key).toBe('a')
      break
    }
    await eventually(() => broken.left() === 1)
    const stop = new AbortController()
    const end = codeOf(async () => {
      for await (const _ of db.plain.watch({ from: 'start', signal: stop.signal })) stop.abort()
    })
    expect(await end).toBe('Cancelled')
    await eventually(() => broken.left() === 2)
  })

  test('and calls outlive a server that is replaced', async () => {
    const embedded = await openMemory(tables)
    const first = await serve(embedded, { port: 0 })
    const db = client<typeof tables>({ url: first.url })
    const seen: number[] = []
    const feed = (async () => {
      for await (const { row } of db.plain.watch({ deadlineMs: 20_000 })) {
        seen.push(row?.n ?? -1)
        if (row?.n === 3) break
      }
    })()
    await db.plain.put({ k: 'a', n: 1 })
    await eventually(() => seen.length === 1)
    await first.close()
    await embedded.plain.put({ k: 'a', n: 2 })
    await served(embedded, { port: first.port })
    await db.plain.put({ k: 'a', n: 3 })
    await feed
    expect(seen).toEqual([1, 2, 3])
  })

  test('gives up when nothing answers for its deadline', async () => {
    const fetch = (): Promise<Response> => Promise.reject(new TypeError('fetch failed'))
    const db = client<typeof tables>({ url: 'http://holdfast.test', fetch })
    const end = codeOf(async () => {
      for await (const _ of db.plain.watch({ from: 'start', deadlineMs: 50 })) expect.unreachable()
    })
    expect(await end).toBe('Unreachable')
  })
})

test('events are read whatever pieces they come in', async () => {
  const text =
    'retry: 5\n\n:\n\nid: 1\nevent: insert\ndata: {"a":\ndata: "ü"}\n\r\nid: 2\r\n\r\n: x\n\ndata:y\n\n'
  const bytes = new TextEncoder().encode(text)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: bytes.length })), async (cuts) => {
      const places = [0, ...new Set(cuts.toSorted((a, b) => a - b)), bytes.length]
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          for (const [i, at] of places.entries()) {
            const piece = bytes.subarray(at, places[i + 1])
            if (piece.length > 0) controller.enqueue(piece)
          }
          controller.close()
        },
      })
      const events: ServerEvent[] = []
      const { signal } = new AbortController()
      for await (const event of eventsOf(body, signal, () => undefined)) events.push(event)
      expect(events).toEqual([
        { id: '1', event: 'insert', data: '{"a":\n"ü"}' },
        { id: '2', event: '', data: '' },
        { id: undefined, event: '', data: 'y' },
      ])
    }),
  )
})
