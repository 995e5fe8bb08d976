// The HTTP API called in process: a request in, a response out, its body read from the wire form.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open, strong, type Database } from '../../src/index.ts'
import { createHandler, type HandlerOptions, type HttpHandler } from '../../src/server.ts'
import { parseWire, stringifyWire, type Value } from '../../src/core/wire.ts'

export type Place = 'memory' | 'folder'
export const PLACES: readonly Place[] = ['memory', 'folder']

export interface Account {
  id: string
  balance: bigint
}
interface User {
  id: number
  email: string
  name?: string
}

interface Thing {
  id: string | number
  n?: number
  on?: boolean
  odd?: boolean
  is?: string
  g?: string | number | boolean
  text?: string
}

/** A schema whose rows have an email. */
const userSchema = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value: unknown) => {
      const { email } = value as { email?: unknown }
      return typeof email === 'string'
        ? { value: value as User }
        : { issues: [{ message: 'an email is text', path: ['email'] }] }
    },
  },
} as const

export const tables = {
  accounts: strong<Account>({ key: 'id' }),
  things: strong<Thing>({ key: 'id' }),
  users: strong({ row: userSchema, key: 'id', indexes: { byEmail: { unique: 'email' } } }),
  places: strong<{ town: string; street: number; kind: string }>({
    key: ['town', 'street'],
    indexes: { byKind: 'kind' },
  }),
}

/** What bodies may have in them. */
export interface Told {
  readonly code: string
  readonly detail: string
  readonly details: {
    readonly step?: number
    readonly tables?: readonly string[]
    readonly issues?: unknown
  }
  readonly position: number
  readonly token: string
  readonly durability: string
  readonly existed: boolean
  readonly row: Readonly<Record<string, unknown>>
  readonly rows: readonly Thing[]
  readonly cursor: string | undefined
  readonly groups: readonly unknown[]
  readonly results: readonly [Outcome, Outcome, ...Outcome[]]
  readonly replayed: Value
  readonly tables: readonly { readonly name: string }[]
  readonly indexes: readonly unknown[]
  readonly finished: unknown
  readonly kind: string
  readonly n: number
  readonly is: string
}

/** Of a step, or of a row in a bulk call. */
export interface Outcome {
  readonly ok: Value
  readonly digest: string
  readonly error: { readonly code: string; readonly message: string }
  readonly problem: { readonly code: string }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body, from the wire form. */
  readonly body: Told
}

export interface Called {
  readonly body?: Value | undefined
  /** The body as it is, in place of `body`. */
  readonly raw?: string | Blob | ReadableStream | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

export class Api {
  readonly db: Database<typeof tables>
  readonly handler: HttpHandler
  /** Bugs and damage that a request brought to light: none may. */
  readonly problems: Error[] = []
  readonly #dir: string | undefined

  private constructor(db: Database<typeof tables>, dir: string | undefined, limits: object) {
    this.db = db
    this.#dir = dir
    const options: HandlerOptions = {
      access: 'trusted',
      limits,
      onProblem: (problem) => this.problems.push(problem),
    }
    this.handler = createHandler(db, options)
  }

  static async over(place: Place, limits: HandlerOptions['limits'] = {}): Promise<Api> {
    const dir = place === 'memory' ? undefined : mkdtempSync(join(tmpdir(), 'holdfast-http-'))
    const db =
      dir === undefined ? await open({ memory: true, tables }) : await open({ dir, tables })
    return new Api(db, dir, limits ?? {})
  }

  async call(method: string, path: string, called: Called = {}): Promise<Answer> {
    const { body, raw, headers, signal } = called
    const sent = raw ?? (body === undefined ? undefined : stringifyWire(body))
    const request = new Request(`http://127.0.0.1:4653${path}`, {
      method,
      ...(sent !== undefined && { body: sent, duplex: 'half' }),
      headers: { ...(sent !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(signal !== undefined && { signal }),
    })
    // A request that came by a socket would let others have a turn.
    await new Promise((resolve) => setImmediate(resolve))
    const response = await this.handler.fetch(request)
    const text = await response.text()
    const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== ''
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: (isJson ? parseWire(text) : undefined) as unknown as Told,
    }
  }

  get = (path: string, headers?: Called['headers']) => this.call('GET', path, { headers })
  put = (path: string, body: Value, headers?: Called['headers']) =>
    this.call('PUT', path, { body, headers })
  post = (path: string, body: Value, headers?: Called['headers']) =>
    this.call('POST', path, { body, headers })
  patch = (path: string, body: Value, headers?: Called['headers']) =>
    this.call('PATCH', path, { body, headers })
  delete = (path: string, headers?: Called['headers']) => this.call('DELETE', path, { headers })

  async close(): Promise<void> {
    await this.db.close()
    if (this.#dir !== undefined) rmSync(this.#dir, { recursive: true, force: true })
  }
}
