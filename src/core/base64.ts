/**
 * Base64 with padding (RFC 4648, 4), strictly: no white space, no other alphabet. Through Buffer
 * where there is one, since the wire form is hot there; browsers and fetch runtimes have btoa.
 */

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** Bytes that one call of String.fromCharCode takes: more arguments would overflow the stack. */
const CHUNK_BYTES = 0x2000

// By name of the global object, so that no bundler puts a Buffer of its own in.
const isBuffered = typeof globalThis['Buffer'] === 'function'

/** The bytes of `text`; undefined when it is not base64. */
export function parseBase64(text: string): Uint8Array | undefined {
  if (!BASE64.test(text)) return undefined
  return isBuffered ? new Uint8Array(Buffer.from(text, 'base64')) : bytesOf(text)
}

export const formatBase64: (bytes: Uint8Array) => string = isBuffered
  ? (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
  : textOf

/** As `parseBase64` where there is no Buffer; `text` is base64. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
}

/** As `formatBase64` where there is no Buffer. */
export function textOf(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHUNK_BYTES))
  }
  return btoa(text)
}
