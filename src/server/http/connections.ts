/**
 * The connections of a server: how many requests each has under way, and what ends them. Neither a
 * client that sends too slowly, too much or nothing that makes sense, nor one that does not read its
 * answers, holds more than its own connection, and that for a stated time.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { HoldfastError } from '../../core/errors.ts'
import { stringifyWire } from '../../core/wire.ts'
import type { HttpMetrics, RefusalReason } from './http-metrics.ts'
import { readIncoming } from './incoming-body.ts'
import type { ConnectionLimits } from './limits.ts'
import type { HeaderReader, RequestInfo } from './parts.ts'
import { PROBLEM_TYPE, problemOf, statusOf } from './problem.ts'

/** What node:http says of requests that it cannot make sense of. */
const REFUSALS: Readonly<Record<string, readonly [RefusalReason, number, string]>> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 431, 'the head of the request is too large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['timeout', 408, 'the request did not arrive in time'],
}
const MALFORMED: readonly [RefusalReason, number, string] = [
  'malformed',
  400,
  'this is not an HTTP request',
]
/** The client went away: there is nobody to answer. */
const GONE: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED'])

interface Connection {
  readonly socket: Socket
  readonly remote: string | undefined
  /** Answers that are not ended yet, in the order of their requests. */
  readonly underWay: Set<ServerResponse>
  /** Whether a request came yet: until then the time for its head is the limit. */
  hasAsked: boolean
  /** What came last was no request: it ends with the answers to those before. */
  isBroken: boolean
}

/**
 * The headers as they came. Of several fields node:http takes the first of some names: who checked
 * the last one of two credentials in front of us would have checked another than we take.
 */
class IncomingHeaders implements HeaderReader {
  readonly #raw: readonly string[]

  constructor(raw: readonly string[]) {
    this.#raw = raw
  }

  get(name: string): string | null {
    const raw = this.#raw
    let value: string | null = null
    for (let i = 0; i < raw.length; i += 2) {
      const field = raw[i] as string
      if (field.length !== name.length || field.toLowerCase() !== name) continue
      value = value === null ? (raw[i + 1] as string) : `${value}, ${raw[i + 1] as string}`
    }
    return value
  }
}

export class Connections {
  readonly #limits: ConnectionLimits
  readonly #metrics: HttpMetrics
  readonly #sockets = new Set<Socket>()
  /** Those whose TLS handshake is not done, by their other end. */
  readonly #handshaking = new Map<string, Socket>()
  /** By what their requests come over. */
  readonly #open = new Map<Duplex, Connection>()
  #draining = false

  constructor(server: Server, limits: ConnectionLimits, metrics: HttpMetrics) {
    this.#limits = limits
    this.#metrics = metrics
    server.maxConnections = limits.connections
    server.timeout = limits.stalledMs
    server.keepAliveTimeout = limits.keepAliveMs
    // What Node closes as idle may have an answer that is not all sent.
    server.closeIdleConnections = () => this.#closeIdle()
    server.on('connection', (socket) => this.#count(socket))
    const isTls = 'setSecureContext' in server
    if (isTls) server.on('connection', (socket) => this.#shakesHands(socket))
    server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => this.#take(socket))
    server.on('drop', () => metrics.refused('connections'))
    server.on('clientError', (error, socket) => this.#refuse(error, socket))
    server.on('timeout', (socket: Socket) => this.#stalled(socket))
  }

  /** Counts a connection, before its TLS handshake if there is one. */
  #count(socket: Socket): void {
    this.#sockets.add(socket)
    this.#metrics.connections.add(1)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#metrics.connections.add(-1)
    })
  }

  #shakesHands(socket: Socket): void {
    const end = otherEnd(socket)
    this.#handshaking.set(end, socket)
    socket.once('close', () => {
      if (this.#handshaking.get(end) === socket) this.#handshaking.delete(end)
    })
  }

  /** Takes what requests come over: the connection, or what is inside its TLS. */
  #take(socket: Socket): void {
    this.#handshaking.delete(otherEnd(socket))
    const remote = socket.remoteAddress
    const underWay = new Set<ServerResponse>()
    this.#open.set(socket, { socket, remote, underWay, hasAsked: false, isBroken: false })
    socket.once('close', () => this.#open.delete(socket))
  }

  /** What is known of a request beside itself. */
  infoOf(incoming: IncomingMessage): RequestInfo {
    return {
      remote: this.#open.get(incoming.socket)?.remote,
      headers: new IncomingHeaders(incoming.rawHeaders),
      readBody: (length) => readIncoming(incoming, length),
    }
  }

  /** Counts a request. False: it was one too many, and is answered. */
  begin(incoming: IncomingMessage, outgoing: ServerResponse): boolean {
    const connection = this.#open.get(incoming.socket)
    if (connection === undefined) {
      outgoing.destroy()
      return false
    }
    const { underWay, socket } = connection
    underWay.add(outgoing)
    connection.hasAsked = true
    outgoing.on('close', () => {
      underWay.delete(outgoing)
      // The head of an answer that was under way may have promised to keep the connection.
      if (this.#draining && underWay.size === 0) socket.destroySoon()
      if (connection.isBroken && !hasWhole(underWay)) socket.destroySoon()
    })
    if (this.#draining) outgoing.shouldKeepAlive = false
    if (underWay.size <= this.#limits.pipelined) return true
    this.#metrics.refused('pipelined')
    const { pipelined } = this.#limits
    const error = new HoldfastError(
      'Overloaded',
      `this connection has ${pipelined} requests under way`,
      { details: { limit: pipelined } },
    )
    outgoing.shouldKeepAlive = false
    outgoing.writeHead(statusOf(error), { 'content-type': PROBLEM_TYPE })
    outgoing.end(stringifyWire(problemOf(error)))
    return false
  }

  /** From now on each connection ends with the answer that is under way, or the next one. */
  drain(): void {
    this.#draining = true
    for (const { underWay } of this.#open.values()) {
      for (const outgoing of underWay) outgoing.shouldKeepAlive = false
    }
  }

  /** Closes connections that have nothing under way. */
  #closeIdle(): void {
    for (const { socket, underWay } of this.#open.values()) {
      if (underWay.size === 0) socket.destroySoon()
    }
    for (const socket of this.#handshaking.values()) socket.destroy()
  }

  /** Cuts off whoever has the most to read, for as long as all together have too much. */
  shedUnread(): void {
    const unread = [...this.#open.values()]
      .map(({ socket, underWay }) => ({ socket, bytes: unreadOf(underWay) }))
      .filter(({ bytes }) => bytes > 0)
      .sort((a, b) => a.bytes - b.bytes)
    let total = unread.reduce((sum, { bytes }) => sum + bytes, 0)
    while (total > this.#limits.unreadBytes) {
      const most = unread.pop()
      if (most === undefined) return
      total -= most.bytes
      this.#metrics.refused('slow_reader')
      most.socket.destroy()
    }
  }

  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    const code = error.code ?? ''
    const connection = this.#open.get(socket)
    if (GONE.has(code)) {
      socket.destroy()
      return
    }
    const [reason, status, message] = REFUSALS[code] ?? MALFORMED
    this.#metrics.refused(reason)
    // Whose TLS handshake failed cannot be answered.
    if (connection === undefined || !socket.writable) {
      socket.destroy()
      return
    }
    const { underWay } = connection
    const [first] = underWay
    if (first?.headersSent === true) {
      socket.destroy()
      return
    }
    // A refusal would be taken for the answer to a request that did come, and may be carried out.
    if (hasWhole(underWay)) {
      connection.isBroken = true
      for (const outgoing of underWay) outgoing.shouldKeepAlive = false
      return
    }
    const refusal = new HoldfastError('InvalidRequest', message, { details: { status } })
    socket.end(rawAnswer(status, stringifyWire(problemOf(refusal))), () => socket.destroy())
  }

  /** Nothing was read or written for long: fine while an answer is being made, or a feed waits. */
  #stalled(socket: Socket): void {
    const connection = this.#open.get(socket)
    const isIdle = connection?.hasAsked === true && connection.underWay.size === 0
    if (isIdle) {
      socket.destroy()
    } else if (socket.writableLength > 0) {
      this.#metrics.refused('slow_reader')
      socket.destroy()
    } else {
      socket.setTimeout(this.#limits.stalledMs)
    }
  }
}

/** What waits behind an answer on its connection is in no socket yet. */
function unreadOf(underWay: ReadonlySet<ServerResponse>): number {
  let bytes = 0
  for (const outgoing of underWay) bytes += outgoing.writableLength
  return bytes
}

/** The same for a connection and for what is inside its TLS. */
function otherEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/** Whether one of these answers is to a request that came whole. */
function hasWhole(underWay: ReadonlySet<ServerResponse>): boolean {
  for (const { req } of underWay) if (req.complete) return true
  return false
}

function rawAnswer(status: number, body: string): string {
  const head = [
    `HTTP/1.1 ${status} ${status === 400 ? 'Bad Request' : 'Refused'}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
