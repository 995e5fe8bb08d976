/** Events as the bytes of `text/event-stream` (WHATWG HTML, 9.2). */
import { stringifyWire, type Value } from '../../core/wire.ts'
import type { HoldfastError } from '../../core/errors.ts'
import type { Key } from '../../core/key-codec.ts'
import { problemOf } from './problem.ts'

export const EVENT_STREAM = 'text/event-stream'

/** One change of a table, as feeds hand it out. */
export interface FeedChange {
  readonly kind: string
  readonly key: Key
  readonly row: Value | undefined
  readonly position: number
  readonly token: string
}

/** The event of a change. A row of a snapshot has no id: nothing can resume in its middle. */
export function changeEvent({ kind, key, row, position, token }: FeedChange): string {
  const data = stringifyWire({ key: key as Value, row, position })
  return kind === 'row' ? event(kind, data) : event(kind, data, token)
}

export function liveEvent(token: string): string {
  return event('live', stringifyWire({ token }), token)
}

/** How a stream ends: `problem` when it broke, `end` when the server is stopping. */
export function lastEvent(kind: 'problem' | 'end', error: HoldfastError): string {
  return event(kind, stringifyWire(problemOf(error)))
}

/** How long a client waits before it asks again. */
export function retryLine(retryMs: number): string {
  return `retry: ${retryMs}\n\n`
}

/** Proves that the line is alive; with a token it moves what a client resumes from, and no more. */
export function heartbeat(token?: string): string {
  return token === undefined ? ':\n\n' : `id: ${token}\n\n`
}

function event(kind: string, data: string, id?: string): string {
  const head = id === undefined ? '' : `id: ${id}\n`
  return `${head}event: ${kind}\ndata: ${data}\n\n`
}
