// The HTTP servers: Holdfast's, and bare Hono routes to compare it with. Each runs in a process of
// its own (http-worker.mjs).

import { open as openFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serve as serveHono } from '@hono/node-server'
import { Hono } from 'hono'
import { GroupCommit } from '../lib/group-commit.mjs'
import { idOf, itemOf } from '../lib/rows.mjs'
import { BULK_ROWS } from './service.mjs'

/** @typedef {import('../lib/rows.mjs').Item} Item */
/** @typedef {{ url: string, close(): Promise<void> }} HttpServer */
/** @typedef {(folder: string, rows: number) => Promise<HttpServer>} StartServer */

const LOAD_SLICE = 10_000

/** A real folder, with the limits as they are. @type {StartServer} */
async function startHoldfast(folder, rows) {
  const { open, strong, unvalidated } = await import('../../dist/index.js')
  const { serve } = await import('../../dist/server.js')
  /** @type {import('../../dist/index.js').Unvalidated<Item>} */
  const row = unvalidated()
  const db = await open({ dir: folder, tables: { items: strong({ row, key: 'id' }) } })
  for (let from = 0; from < rows; from += LOAD_SLICE) {
    const length = Math.min(LOAD_SLICE, rows - from)
    const slice = Array.from({ length }, (_, i) => itemOf(from + i, 0))
    for (const result of await db.items.putMany(slice)) if (!result.ok) throw result.error
  }
  const server = await serve(db, { port: 0 })
  return {
    url: server.url,
    close: async () => {
      await server.close()
      await db.close()
    },
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }
const encoder = new TextEncoder()

/**
 * The same bytes as Holdfast's bodies. A get answers with text made before; a write appends its
 * body to a file, which is synced for all who wait (group commit), and answers then.
 * @type {StartServer}
 */
async function startHono(folder, rows) {
  const texts = new Map(
    Array.from({ length: rows }, (_, n) => [idOf(n), JSON.stringify(itemOf(n, 0))]),
  )
  const file = await openFile(join(folder, 'bodies'), 'a')
  const appends = new GroupCommit(async (/** @type {readonly string[]} */ bodies) => {
    await file.appendFile(bodies.join('\n'))
    await file.datasync()
  })
  /** @type {Set<ReadableStreamDefaultController<Uint8Array>>} */
  const feeds = new Set()
  let position = 0
  const ack = () => `{"position":${++position},"durability":"fsynced","token":"${'t'.repeat(32)}"}`

  const app = new Hono()
  app.get('/v1/tables/:table/rows/:key', (c) => {
    const text = texts.get(c.req.param('key'))
    return text === undefined ? c.notFound() : c.body(text, 200, JSON_TYPE)
  })
  app.put('/v1/tables/:table/rows/:key', async (c) => {
    const body = await c.req.text()
    await appends.add(body)
    const answer = ack()
    if (feeds.size > 0) {
      const key = JSON.stringify(c.req.param('key'))
      const data = `{"key":${key},"row":${body},"position":${position}}`
      const event = encoder.encode(`id: ${position}\nevent: update\ndata: ${data}\n\n`)
      for (const feed of feeds) feed.enqueue(event)
    }
    return c.body(answer, 200, JSON_TYPE)
  })
  app.post('/v1/tables/:table/bulk', async (c) => {
    await appends.add(await c.req.text())
    const results = Array.from({ length: BULK_ROWS }, () => `{"ok":true,${ack().slice(1)}`)
    return c.body(`{"results":[${results.join(',')}]}`, 200, JSON_TYPE)
  })
  app.get('/v1/tables/:table/feed', () => {
    /** @type {ReadableStreamDefaultController<Uint8Array>} */
    let feed
    const stream = new ReadableStream({
      start(controller) {
        feed = controller
        feed.enqueue(encoder.encode(':\n\n'))
        feeds.add(feed)
      },
      cancel: () => void feeds.delete(feed),
    })
    return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
  })

  return new Promise((resolve) => {
    const server = serveHono({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => {
      resolve({
        url: `http://127.0.0.1:${port}`,
        close: async () => {
          if ('closeAllConnections' in server) server.closeAllConnections()
          server.close()
          await file.close()
        },
      })
    })
  })
}

/** @type {Record<string, StartServer>} */
export const HTTP_SERVERS = { holdfast: startHoldfast, hono: startHono }
