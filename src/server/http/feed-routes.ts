/** Feeds as server-sent events. */
import type { WatchOptions } from '../../table/handles.ts'
import type { Feed } from './feed.ts'
import { Feeds } from './feeds.ts'
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import { headerOf, invalid, onlyOf, parametersOf, tableIn } from './request.ts'
import { scoped } from './route.ts'
import { EVENT_STREAM, retryLine } from './sse.ts'

/** What a client waits before it asks again, when the stream broke. */
const RETRY_MS = 2_000

const PLACES = ['now', 'start', 'snapshot'] as const

export function feedRoutes(app: HttpApp, parts: HttpParts): Feeds {
  const feeds = new Feeds(parts)
  app.get(
    '/v1/tables/:table/feed',
    scoped(parts, 'read', (c) => openFeed(c, parts, feeds)),
  )
  return feeds
}

async function openFeed(c: HttpContext, parts: HttpParts, feeds: Feeds): Promise<Response> {
  const table = tableIn(c, parts)
  const start = startOf(c)
  const headers = {
    'content-type': EVENT_STREAM,
    // A proxy that gathers bytes would hold changes back.
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
    'holdfast-token': parts.db.token,
  }
  // It would open what nobody reads.
  if (c.req.method === 'HEAD') return new Response(null, { headers })
  const gone = c.req.raw.signal
  const feed = await feeds.start(table, start, gone, c.env.stillMay)
  if (gone.aborted) feed.close()
  else gone.addEventListener('abort', () => feed.close(), { once: true })
  return new Response(streamOf(feed), { headers })
}

/** Last-Event-ID goes before `after`, and `after` before `from`. */
function startOf(c: HttpContext): WatchOptions {
  const given = parametersOf(c, ['from', 'after'])
  const place = onlyOf(given, 'from') ?? 'now'
  const token = onlyOf(given, 'after')
  const from = PLACES.find((known) => known === place)
  if (from === undefined) throw invalid(`from is now, start or snapshot, not ${place}`)
  // Browsers send it empty when they have none.
  const last = headerOf(c, 'last-event-id')
  const after = last === undefined || last === '' ? token : last
  return after === undefined ? { from } : { after }
}

/** Holds one chunk at the most: the feed makes what is asked for. */
function streamOf(feed: Feed): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        controller.enqueue(Buffer.from(retryLine(RETRY_MS)))
        feed.attach({
          write: (bytes) => {
            controller.enqueue(bytes)
            return false
          },
          end: () => controller.close(),
        })
      },
      pull: () => feed.resume(),
      cancel: () => feed.close(),
    },
    { highWaterMark: 0 },
  )
}
