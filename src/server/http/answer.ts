/** Answers in wire form, with what they carry in headers. */
import { hash } from 'node:crypto'
import { stringifyWire, type Value } from '../../core/wire.ts'
import type { Ack } from '../../table/handles.ts'
import type { HttpParts } from './parts.ts'

export const JSON_TYPE = 'application/json'
/** Characters of an ETag: 132 bits of a SHA-256. */
const ETAG_CHARS = 22

/** The strong ETag of a representation: the same text, the same tag (RFC 9110, 8.8.3). */
export function etagOf(text: string): string {
  return `"${hash('sha256', text, 'base64url').slice(0, ETAG_CHARS)}"`
}

/** An answer to a read: `Holdfast-Token` stands for what was seen. */
export function readAnswer(parts: HttpParts, text: string, etag?: string): Response {
  const headers: Record<string, string> = {
    'content-type': JSON_TYPE,
    'holdfast-token': parts.db.token,
  }
  if (etag !== undefined) headers['etag'] = etag
  return new Response(text, { headers })
}

/** An answer to a write: the ack, and what else the call gives. */
export function ackAnswer(
  ack: Ack,
  more: Readonly<Record<string, Value>> = {},
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const { position, durability, token } = ack
  return new Response(stringifyWire({ position, durability, token, ...more }), {
    status,
    headers: { 'content-type': JSON_TYPE, 'holdfast-token': token, ...headers },
  })
}
