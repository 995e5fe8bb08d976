// Callers and readers of an HTTP server: autocannon, node:http, and bare sockets for feeds.

import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { Child } from '../lib/child.mjs'
import { Histogram } from '../lib/histogram.mjs'
import { idOf, itemOf, randomNumbers } from '../lib/rows.mjs'
import { BULK_ROWS } from './service.mjs'

/** @typedef {import('./service.mjs').Load} Load */
/** @typedef {import('./service.mjs').Service} Service */
/** @typedef {import('./service.mjs').Writer} Writer */
/** @typedef {import('../lib/measures.mjs').Round} Round */
/** @typedef {{ method: 'GET' | 'PUT' | 'POST', path: string, headers?: Record<string, string>, body?: string }} Ask */

/**
 * What is used of autocannon, which has no typings of its own.
 * @typedef {object} AutocannonOptions
 * @property {string} url
 * @property {number} connections
 * @property {number} duration in seconds
 * @property {(client: { setRequests(requests: readonly Ask[]): void }) => void} setupClient
 * @typedef {object} Instance
 * @property {(event: 'response', listener: (client: unknown, status: number, bytes: number, tookMs: number) => void) => unknown} on
 * @property {(event: 'reqError', listener: (error: Error) => void) => unknown} once
 * @typedef {(options: AutocannonOptions, done: (error: Error | null) => void) => Instance} Autocannon
 */

const ROWS_PATH = '/v1/tables/items/rows'
const JSON_HEADERS = { 'content-type': 'application/json' }
const random = randomNumbers(20_261_122)
let version = 0

/** Requests that are made ahead, for all connections of a round together, and for one. */
const ASKS = 20_000
const ASKS_EACH_MAX = 2_000
const BULK_ASKS = 8

/** @param {string} system @returns {Service} */
export const httpService = (system) => ({
  start: async (folder, rows) => {
    const child = await Child.start(system, folder, {}, 'http-worker')
    /** @type {string} */
    const url = await child.ask({ type: 'serve', rows })
    return { url, stop: () => child.close() }
  },
  round,
  openWriter: (url) => Promise.resolve(writer(url)),
  openReaders,
})

/** @param {Load} load @returns {Ask[]} */
function asksOf({ name, connections, rows }) {
  const count = Math.min(ASKS_EACH_MAX, Math.ceil(ASKS / connections))
  switch (name) {
    case 'get':
      return Array.from({ length: count }, () => ({
        method: 'GET',
        path: `${ROWS_PATH}/${idOf(random(rows))}`,
      }))
    case 'put':
      return Array.from({ length: count }, () => putAsk(itemOf(random(rows), ++version)))
    default:
      return Array.from({ length: BULK_ASKS }, () => ({
        method: 'POST',
        path: '/v1/tables/items/bulk',
        headers: JSON_HEADERS,
        body: JSON.stringify({
          put: Array.from({ length: BULK_ROWS }, () => itemOf(random(rows), ++version)),
        }),
      }))
  }
}

/** @param {import('../lib/rows.mjs').Item} item @returns {Ask} */
function putAsk(item) {
  return {
    method: 'PUT',
    path: `${ROWS_PATH}/${item.id}`,
    headers: JSON_HEADERS,
    body: JSON.stringify(item),
  }
}

/** @param {Load} load @returns {Promise<Round>} */
async function round(load) {
  const { url, name, connections, ms } = load
  const latencies = new Histogram()
  let operations = 0
  let refused = 0
  let lastRefusal = 0
  const peer = 'autocannon'
  const { default: autocannon } = /** @type {{ default: Autocannon }} */ (await import(peer))
  const start = performance.now()
  await new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
    const instance = autocannon(
      {
        url,
        connections,
        duration: ms / 1000,
        setupClient: (client) => client.setRequests(asksOf(load)),
      },
      (error) => {
        if (error === null) resolve()
        else reject(error)
      },
    )
    instance.on('response', (_client, status, _bytes, tookMs) => {
      if (status >= 300) {
        refused++
        lastRefusal = status
      }
      latencies.add(tookMs)
      operations++
    })
    instance.once('reqError', reject)
  })
  if (refused > 0) {
    throw new Error(`${refused} of ${operations} requests were refused, with ${lastRefusal}`)
  }
  const per = name === 'bulk' ? BULK_ROWS : 1
  return { name, operations: operations * per, elapsedMs: performance.now() - start, latencies }
}

/** @param {string} url @returns {Writer} */
function writer(url) {
  const agent = new Agent({ keepAlive: true })
  return {
    write: (item) => ask(url, agent, putAsk(item)),
    close: () => agent.destroy(),
  }
}

/** @param {string} url @param {Agent} agent @param {Ask} ask @returns {Promise<void>} */
function ask(url, agent, { method, path, headers = {}, body = '' }) {
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, url), { method, agent, headers }, (answer) => {
      answer.resume()
      answer.on('error', reject)
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve()
        else reject(new Error(`${method} ${path}: status ${answer.statusCode}`))
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/**
 * Bare sockets, so that what is measured is the server and not its readers.
 * @type {Service['openReaders']}
 */
async function openReaders(url, count, onSent) {
  const { hostname, port } = new URL(url)
  const sockets = await Promise.all(
    Array.from({ length: count }, () => openReader(hostname, Number(port), onSent)),
  )
  return {
    close: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

const MARK = '"sentMs":'

/**
 * @param {string} hostname
 * @param {number} port
 * @param {(sentMs: number) => void} onSent
 * @returns {Promise<import('node:net').Socket>}
 */
function openReader(hostname, port, onSent) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, hostname, () => {
      socket.write(
        `GET /v1/tables/items/feed?from=now HTTP/1.1\r\nHost: ${hostname}:${port}\r\n` +
          'Accept: text/event-stream\r\n\r\n',
      )
    })
    let text = ''
    let isOpen = false
    socket.setEncoding('latin1')
    socket.on('error', reject)
    socket.on('data', (/** @type {string} */ chunk) => {
      text += chunk
      if (!isOpen) {
        if (!text.includes('\r\n\r\n')) return
        if (!text.startsWith('HTTP/1.1 200 ')) reject(new Error(text.slice(0, 300)))
        isOpen = true
        resolve(socket)
      }
      text = readMarks(text, onSent)
    })
  })
}

/** Tells every send time in `text`; gives back what is not complete yet. @param {string} text @param {(sentMs: number) => void} onSent */
export function readMarks(text, onSent) {
  let at = 0
  for (;;) {
    const mark = text.indexOf(MARK, at)
    if (mark === -1) return text.slice(Math.max(at, text.length - MARK.length))
    const end = text.indexOf('}', mark)
    if (end === -1) return text.slice(mark)
    onSent(Number.parseFloat(text.slice(mark + MARK.length, end)))
    at = end
  }
}
