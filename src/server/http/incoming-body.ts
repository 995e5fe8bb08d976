/**
 * The body of a request to node:http, when its length was announced. Mostly it came with the head:
 * it is all there once the parser is through with what arrived, and taken in one piece. Events for
 * each part, a web stream and a copy cost more than all the rest that a put needs of HTTP.
 */
import type { IncomingMessage } from 'node:http'

/** Rejects when the client went away before all of it was there. */
export function readIncoming(incoming: IncomingMessage, length: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    queueMicrotask(() => {
      if (length > 0 && incoming.readableLength === length) {
        const bytes = incoming.read() as Uint8Array
        // Nothing but its end is left.
        incoming.resume()
        resolve(bytes)
      } else {
        collect(incoming, resolve, reject)
      }
    })
  })
}

function collect(
  incoming: IncomingMessage,
  resolve: (bytes: Uint8Array) => void,
  reject: (cause: unknown) => void,
): void {
  const parts: Uint8Array[] = []
  incoming.on('data', (part: Uint8Array) => parts.push(part))
  incoming.on('end', () => resolve(Buffer.concat(parts)))
  incoming.on('error', reject)
  incoming.on('close', () => reject(new Error('the client went away')))
  // What ended before anybody listened says so to nobody.
  if (incoming.destroyed) reject(incoming.errored ?? new Error('the client went away'))
}
