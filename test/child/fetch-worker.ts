// A thread that has the handler and no server: requests and answers are messages.
import { parentPort } from 'node:worker_threads'
import { open, strong } from '../../src/index.ts'
import { createHandler } from '../../src/server.ts'

export interface Asked {
  readonly url: string
  readonly method: string
  readonly body?: string
}
export interface Answered {
  readonly status: number
  readonly body: string
}

if (parentPort === null) throw new Error('this runs as a worker')
const port = parentPort
const db = await open({ memory: true, tables: { items: strong<{ id: string }>({ key: 'id' }) } })
const handler = createHandler(db, { access: 'trusted' })
port.on('message', (asked: Asked) => {
  const headers = { 'content-type': 'application/json' }
  const body = asked.body === undefined ? {} : { body: asked.body, headers }
  void (async () => {
    const answer = await handler.fetch(new Request(asked.url, { method: asked.method, ...body }))
    port.postMessage({ status: answer.status, body: await answer.text() } satisfies Answered)
  })()
})
