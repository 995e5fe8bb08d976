/** Answers in wire form, with what they carry in headers. */
import { stringifyWire, type Value } from '../../core/wire.ts'
import type { Ack } from '../../table/handles.ts'
import type { HttpParts } from './parts.ts'

export const JSON_TYPE = 'application/json'

/** An answer to a read: `Holdfast-Token` stands for what was seen. */
export function readAnswer(parts: HttpParts, text: string, etag?: string): Response {
  const headers: Record<string, string> = {
    'content-type': JSON_TYPE,
    'holdfast-token': parts.db.token,
  }
  if (etag !== undefined) headers['etag'] = etag
  return new Response(text, { headers })
}

/** An answer without a token of its own, or with the one given. */
export function valueAnswer(value: Value, status = 200, token?: string): Response {
  const headers: Record<string, string> = { 'content-type': JSON_TYPE }
  if (token !== undefined) headers['holdfast-token'] = token
  return new Response(stringifyWire(value), { status, headers })
}

export function emptyAnswer(
  status: 204 | 304,
  headers: Readonly<Record<string, string>>,
): Response {
  return new Response(null, { status, headers })
}

/** An answer to a write: the ack, and what else the call gives. */
export function ackAnswer(
  { position, durability, token }: Ack,
  /** Members beside the ack's, as JSON: `,"name":value`. */
  more = '',
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const text = `{"position":${position},"durability":"${durability}","token":"${token}"${more}}`
  return new Response(text, {
    status,
    headers: { 'content-type': JSON_TYPE, 'holdfast-token': token, ...headers },
  })
}
