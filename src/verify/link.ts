/**
 * A TCP link on this machine through which one process talks to another, and which can be made to
 * fail as a network does, without any privilege: cut, held in either direction, slow.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** What a link does to what it carries. Forward is from who connects to who accepts. */
export interface LinkState {
  /** Connections are reset, new ones as well. */
  readonly isCut: boolean
  /** Bytes are held and connections stay, as when packets vanish: they arrive once it holds no more. */
  readonly holdsForward: boolean
  readonly holdsBack: boolean
  /** Milliseconds that it adds each way. */
  readonly delayMs: number
}

export const OPEN_LINK: LinkState = {
  isCut: false,
  holdsForward: false,
  holdsBack: false,
  delayMs: 0,
}

/** Bytes on their way in one direction of a connection, beyond which its sender has to wait. */
const IN_FLIGHT_BYTES = 8 * 1024 * 1024
const HOST = '127.0.0.1'

export class Link {
  /** Where it listens, on 127.0.0.1. */
  readonly port: number
  readonly #server: Server
  readonly #targetPort: number
  readonly #pairs = new Set<Pair>()
  /** Connections that nobody answers before the link is whole again. */
  readonly #waiting = new Set<Socket>()
  #state = OPEN_LINK

  private constructor(server: Server, targetPort: number) {
    this.#server = server
    this.#targetPort = targetPort
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (socket) => this.#connected(socket))
  }

  /** Listens on a free port, for connections to `targetPort` of 127.0.0.1, where nobody need be yet. */
  static async open(targetPort: number): Promise<Link> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
    server.listen(0, HOST)
    await once(server, 'listening')
    return new Link(server, targetPort)
  }

  get state(): LinkState {
    return this.#state
  }

  /** Takes effect at once, for connections that are there as well. */
  set(state: LinkState): void {
    this.#state = state
    for (const pair of this.#pairs) pair.set(state)
    if (holds(state)) return
    for (const socket of this.#waiting) this.#carry(socket)
    this.#waiting.clear()
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#waiting) socket.destroy()
    for (const pair of this.#pairs) pair.reset()
    await closed
  }

  #connected(socket: Socket): void {
    // What goes wrong with a connection ends it; the other end is told by its pipe.
    socket.on('error', () => undefined)
    if (holds(this.#state) && !this.#state.isCut) {
      // No handshake gets through in one direction alone either.
      this.#waiting.add(socket)
      socket.once('close', () => this.#waiting.delete(socket))
    } else this.#carry(socket)
  }

  #carry(socket: Socket): void {
    if (this.#state.isCut) {
      socket.resetAndDestroy()
      return
    }
    const target = connect({ port: this.#targetPort, host: HOST, allowHalfOpen: true })
    target.setNoDelay(true)
    target.on('error', () => undefined)
    const pair = new Pair(socket, target)
    this.#pairs.add(pair)
    for (const end of [socket, target]) {
      end.once('close', () => {
        if (socket.destroyed && target.destroyed) this.#pairs.delete(pair)
      })
    }
    pair.set(this.#state)
  }
}

const holds = ({ holdsForward, holdsBack }: LinkState): boolean => holdsForward || holdsBack

/** The two halves of one connection. */
class Pair {
  readonly #sockets: readonly Socket[]
  readonly #forward: Pipe
  readonly #back: Pipe

  constructor(client: Socket, target: Socket) {
    this.#sockets = [client, target]
    this.#forward = new Pipe(client, target)
    this.#back = new Pipe(target, client)
  }

  set({ isCut, holdsForward, holdsBack, delayMs }: LinkState): void {
    if (isCut) this.reset()
    this.#forward.set(holdsForward, delayMs)
    this.#back.set(holdsBack, delayMs)
  }

  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }
}

/** What one end said, and when the other is to have it. */
interface Said {
  readonly what: Buffer | 'end' | 'reset'
  readonly dueMs: number
}

/** One direction: carries bytes, the end, and a break, in order. */
class Pipe {
  readonly #from: Socket
  readonly #to: Socket
  readonly #queue: Said[] = []
  #queuedBytes = 0
  #isHeld = false
  #delayMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket) {
    this.#from = from
    this.#to = to
    from.on('data', (bytes: Buffer) => this.#take(bytes))
    from.once('end', () => this.#take('end'))
    from.once('close', () => {
      if (!from.readableEnded) this.#take('reset')
    })
    to.on('drain', () => this.#pump())
    to.once('close', () => clearTimeout(this.#timer))
  }

  set(isHeld: boolean, delayMs: number): void {
    this.#isHeld = isHeld
    this.#delayMs = delayMs
    this.#pump()
  }

  #take(what: Said['what']): void {
    this.#queue.push({ what, dueMs: performance.now() + this.#delayMs })
    if (typeof what === 'object') this.#queuedBytes += what.length
    this.#pump()
  }

  #pump(): void {
    clearTimeout(this.#timer)
    while (!this.#isHeld && !this.#to.writableNeedDrain) {
      const next = this.#queue[0]
      if (next === undefined) break
      const waitMs = next.dueMs - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs))
        break
      }
      this.#queue.shift()
      this.#hand(next.what)
    }
    const isFull = this.#queuedBytes > IN_FLIGHT_BYTES || this.#to.writableNeedDrain
    if (this.#isHeld || isFull) this.#from.pause()
    else this.#from.resume()
  }

  #hand(what: Said['what']): void {
    if (typeof what === 'object') this.#queuedBytes -= what.length
    if (this.#to.destroyed) return
    if (what === 'end') this.#to.end()
    else if (what === 'reset') this.#to.resetAndDestroy()
    else this.#to.write(what)
  }
}
