/** One request to the HTTP API, as the command makes them. */
import type { Value } from '../core/wire.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  /** From `/v1` on, percent-encoded, with its parameters. */
  readonly path: string
  /** In wire form. */
  readonly body?: unknown
  /** Idempotency-Key. */
  readonly key?: string | undefined
  /** Asks for the row as it is stored. */
  readonly representation?: boolean
  /** It may take far longer than a call does. */
  readonly isLong?: boolean
}

export interface Door {
  /** The answer's body. Throws what the server refuses it with. */
  readonly ask: (request: HttpRequest) => Promise<Value | undefined>
}
