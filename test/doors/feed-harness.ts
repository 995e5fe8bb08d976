/** A folder database with feeds over it, and a hand on its heartbeats. */
import { createServer, type Server } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { afterEach } from 'vitest'
import type { Env } from '../../src/core/env.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import { open, strong, unvalidated, type Database, type Retention } from '../../src/index.ts'
import type { AnyDatabase } from '../../src/server/any-rows.ts'
import { feedRoutes } from '../../src/server/http/feed-routes.ts'
import type { Feeds } from '../../src/server/http/feeds.ts'
import { HTTP_LIMITS } from '../../src/server/http/limits.ts'
import type { HttpEnv, HttpParts, Visit } from '../../src/server/http/parts.ts'
import { asError, problemResponse } from '../../src/server/http/problem.ts'
import { EventStream } from './event-stream.ts'

export interface Row {
  k: string
  n: number
  pad?: string
}
const t = strong({ row: unvalidated<Row>(), key: 'k' })
const tables = { t, other: t }

/** The heartbeat's own delay: timers of it are rung by the test. */
const HEARTBEAT_MS = 15_000

export interface Door {
  readonly db: Database<typeof tables>
  readonly feeds: Feeds
  readonly fetch: (path: string, init?: RequestInit) => Promise<Response>
  readonly stop: AbortController
  feed(query: string, lastId?: string): Promise<EventStream>
  /** Lets 15 seconds pass for heartbeats. Returns how many timers there were. */
  beat(): number
  /** The same over a socket; gives its URL. */
  listen(): Promise<string>
}

const closers: (() => Promise<unknown>)[] = []

export function cleanUp(): void {
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })
}

export async function openDoor(
  options: { retention?: Retention; feeds?: number } = {},
): Promise<Door> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-feeds-'))
  closers.push(() => rm(dir, { recursive: true, force: true }))
  const { retention } = options
  const db = await open({ dir, tables, ...(retention === undefined ? {} : { retention }) })
  closers.push(() => db.close())
  const beats = new Set<() => void>()
  const env: Env = { ...systemEnv, timers: { ...systemEnv.timers, after: rung(beats) } }
  const stop = new AbortController()
  const app = new Hono<HttpEnv>()
  app.onError((cause) => problemResponse(asError(cause)))
  const feeds = feedRoutes(app, {
    db: db as unknown as AnyDatabase,
    env,
    limits: { ...HTTP_LIMITS, feeds: options.feeds ?? HTTP_LIMITS.feeds },
    scope: () => () => undefined,
    stopping: stop.signal,
  } as Partial<HttpParts> as HttpParts)
  const visit = (request: Request): Response | Promise<Response> =>
    app.fetch(request, { route: '', headers: request.headers } satisfies Visit)
  const fetch = async (path: string, init?: RequestInit): Promise<Response> =>
    visit(new Request(`http://localhost${path}`, init))
  return {
    db,
    feeds,
    fetch,
    stop,
    feed: async (query, lastId) =>
      new EventStream(
        await fetch(
          `/v1/tables/t/feed${query}`,
          lastId === undefined ? {} : { headers: { 'last-event-id': lastId } },
        ),
      ),
    beat: () => {
      const due = [...beats]
      beats.clear()
      for (const ring of due) ring()
      return due.length
    },
    listen: async () => {
      const listener = getRequestListener(visit)
      const server = createServer((incoming, outgoing) => void listener(incoming, outgoing))
      await new Promise<void>((resolve) => {
        server.listen(0, '127.0.0.1', resolve)
      })
      closers.push(() => closeServer(server))
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    },
  }
}

function rung(beats: Set<() => void>): Env['timers']['after'] {
  return (delayMs, callback, kind) => {
    if (delayMs !== HEARTBEAT_MS) return systemEnv.timers.after(delayMs, callback, kind)
    beats.add(callback)
    return () => beats.delete(callback)
  }
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => {
    server.close(() => resolve())
  })
}

/** Resolves once `holds` does; the test's own time limit is the only one. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}
