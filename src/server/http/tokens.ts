/**
 * Looks at the token that a request carries. Stored tokens are kept in memory once they were read,
 * until the feed of their table says that one changed: so a token that is revoked by another
 * process stops within the feed's delay, one that is revoked here at once, and a good one costs one
 * hash.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { AnyTable } from '../../table/handles.ts'
import type { AnyDatabase } from '../any-rows.ts'
import { allows, type Scope } from '../scopes.ts'
import { stored, tokenHash, tokenId, tokenTable, type StoredToken } from '../token-operations.ts'
import type { Access } from './access.ts'
import type { HttpParts } from './parts.ts'

/** Tokens kept in memory at the most. */
const KNOWN_MAX = 10_000

export class Tokens {
  readonly #db: AnyDatabase
  readonly #env: Env
  readonly #known = new Map<string, StoredToken>()
  /** Counts changes of the table: what was read before one is not kept after it. */
  #changes = 0
  #watching = false
  readonly #stopping: AbortSignal

  constructor(db: AnyDatabase, env: Env, stopping: AbortSignal) {
    this.#db = db
    this.#env = env
    this.#stopping = stopping
  }

  /**
   * Passes a request with this `Authorization` header, at once where the token is known.
   * @throws HoldfastError `Unauthenticated`, `Forbidden`
   */
  check(authorization: string | null, scope: Scope): Promise<void> | undefined {
    const token = bearer(authorization)
    const id = tokenId(token)
    if (id === undefined) throw invalidToken()
    const known = this.#known.get(id)
    if (known === undefined) return this.#read(id).then((read) => this.#judge(read, token, scope))
    this.#judge(known, token, scope)
    return undefined
  }

  /** What is known of this token is no longer so. */
  forget(id: string): void {
    this.#changes++
    this.#known.delete(id)
  }

  #judge(known: StoredToken | undefined, token: string, scope: Scope): void {
    const nowMs = this.#env.clock.wallMs()
    const hash = tokenHash(token)
    if (known === undefined || !isSecretOf(known, hash, nowMs)) throw invalidToken()
    if (known.expiresAt !== undefined && known.expiresAt.getTime() <= nowMs) {
      throw unauthenticated('the token has expired')
    }
    if (allows(known.scopes, scope)) return
    throw new HoldfastError(
      'Forbidden',
      `this needs a token with the scope ${scope}; this one has ${known.scopes.join(', ')}`,
      { details: { scope } },
    )
  }

  async #read(id: string): Promise<StoredToken | undefined> {
    const table = tokenTable(this.#db)
    if (table === undefined) return undefined
    if (!this.#watching && !this.#stopping.aborted) void this.#watch(table)
    const before = this.#changes
    const row = await table.get(id)
    if (row === undefined) return undefined
    const read = stored(row)
    if (this.#watching && this.#changes === before) {
      if (this.#known.size >= KNOWN_MAX) this.#known.clear()
      this.#known.set(id, read)
    }
    return read
  }

  /** Forgets what changes. When the feed ends, nothing is kept until there is another one. */
  async #watch(table: AnyTable): Promise<void> {
    this.#watching = true
    try {
      for await (const { key } of table.watch({ signal: this.#stopping })) {
        this.forget(key as string)
      }
    } catch {
      // The database closes, the server stops or the table is gone: whoever reads next is told.
    } finally {
      this.#watching = false
      this.#changes++
      this.#known.clear()
    }
  }
}

/** What a route that needs a scope is behind. */
export function scopeOf(access: Access, tokens: Tokens): HttpParts['scope'] {
  if (access !== 'tokens') return () => () => undefined
  return (scope) => (c) => {
    const authorization = c.env.headers.get('authorization')
    c.env.stillMay = () => tokens.check(authorization, scope)
    return tokens.check(authorization, scope)
  }
}

function isSecretOf({ hash, previous }: StoredToken, given: Uint8Array, nowMs: number): boolean {
  if (timingSafeEqual(hash, given)) return true
  if (previous === undefined || previous.until.getTime() <= nowMs) return false
  return timingSafeEqual(previous.hash, given)
}

function bearer(authorization: string | null): string {
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
  if (token !== undefined) return token
  throw unauthenticated('this server is used with a token, and the request has none')
}

/** The same for a token that never was, one that was revoked and one with another secret. */
function invalidToken(): HoldfastError {
  return unauthenticated('the token is not valid')
}

function unauthenticated(message: string): HoldfastError {
  return new HoldfastError('Unauthenticated', message)
}
