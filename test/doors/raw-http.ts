// HTTP by hand: requests as text over a socket, for what no client library would send.
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A connection that is written to by hand. */
export class RawClient {
  readonly socket: Socket
  /** All that came. */
  received = ''
  /** Resolves when the connection is closed, by whichever side. */
  readonly closed: Promise<void>

  constructor(port: number, allowHalfOpen = false) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen })
    this.socket.setEncoding('latin1')
    this.socket.on('data', (text: string) => (this.received += text))
    // The close that follows says all there is to say.
    this.socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()))
  }

  send(...lines: readonly string[]): void {
    this.socket.write(`${lines.join('\r\n')}\r\n`)
  }

  destroy(): void {
    this.socket.destroy()
  }
}

/** Sends one request with just these header lines; resolves with the answer. */
export async function rawRequest(
  port: number,
  requestLine: string,
  headers: readonly string[],
): Promise<RawAnswer> {
  const client = new RawClient(port)
  client.send(requestLine, ...headers, 'Connection: close', '')
  await client.closed
  return parseAnswer(client.received)
}

export function parseAnswer(text: string): RawAnswer {
  const [head = '', body = ''] = text.split('\r\n\r\n', 2)
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf(':')
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()]
    }),
  )
  return { status: Number(statusLine.split(' ')[1]), headers, body }
}

/** Resolves once `isSo` is. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}
