/**
 * Tokens for the HTTP API. A token is `hf_ID_SECRET`; what is stored is its SHA-256, so that whoever
 * reads the database cannot use it. Its text is shown once, by the call that makes it.
 *
 *   _tokens   ID   {name, scopes, hash, createdAt, expiresAt?, rotatedAt?, previous?: {hash, until}}
 */
import { hash } from 'node:crypto'
import type { Env } from '../core/env.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { looseDefinition } from '../table/database.ts'
import type { AnyTable } from '../table/handles.ts'
import type { AnyDatabase, AnyRow } from './any-rows.ts'
import { SCOPES, type Scope } from './scopes.ts'

const TOKENS = '_tokens'
const ID_CHARS = 8
const SECRET_BYTES = 32
/** Crockford's base 32: nothing in it is mistaken for something else when read aloud. */
const ID_ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const NAME_CHARS_MAX = 128
/** The longest that a rotated token's old secret goes on: 30 days. */
const GRACE_MS_MAX = 30 * 24 * 3_600_000

/** What is told of a token; its text is not kept. */
export interface TokenInfo {
  readonly id: string
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly createdAt: Date
  /** From then on it is refused. Without one it is good until it is revoked. */
  readonly expiresAt?: Date | undefined
  readonly rotatedAt?: Date | undefined
  /** Until then the secret before the last rotation is good as well. */
  readonly previousUntil?: Date | undefined
}

export interface NewToken extends TokenInfo {
  /** What clients send. It cannot be shown again. */
  readonly token: string
}

export interface TokenCallTypes {
  tokenCreate: {
    params: { name: string; scopes: readonly Scope[]; expiresAt?: Date | undefined }
    result: NewToken
  }
  /** All there are, expired ones too, by age. */
  tokenList: { params: Record<never, never>; result: readonly TokenInfo[] }
  /** A new secret for the same id. The old one goes on for `graceMs`, default 0. */
  tokenRotate: { params: { id: string; graceMs?: number | undefined }; result: NewToken }
  tokenRevoke: { params: { id: string }; result: null }
}

type TokenCalls = {
  readonly [M in keyof TokenCallTypes]: (
    params: TokenCallTypes[M]['params'],
  ) => Promise<TokenCallTypes[M]['result']>
}

/** A token as it is stored. */
export interface StoredToken extends TokenInfo {
  readonly hash: Uint8Array
  readonly previous?: { readonly hash: Uint8Array; readonly until: Date } | undefined
}

export function tokenCalls(db: AnyDatabase, env: Env): TokenCalls {
  const now = (): Date => new Date(env.clock.wallMs())
  return {
    tokenCreate: async ({ name, scopes, expiresAt }) => {
      checkNew(name, scopes, expiresAt, now())
      const table = tokenTable(db) ?? (await declare(db))
      const [id, token] = makeToken(env)
      const row = { id, name, scopes: [...scopes], hash: tokenHash(token), createdAt: now() }
      await table.insert(expiresAt === undefined ? row : { ...row, expiresAt })
      return { token, ...info(stored(row)), expiresAt }
    },
    tokenList: async () => {
      const rows = (await tokenTable(db)?.query().toArray()) ?? []
      const all = rows.map((row) => info(stored(row)))
      return all.sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime())
    },
    tokenRotate: async ({ id, graceMs = 0 }) => {
      if (!(graceMs >= 0 && graceMs <= GRACE_MS_MAX)) {
        throw refused(`graceMs is a number of milliseconds from 0 to ${GRACE_MS_MAX}`)
      }
      const [, token] = makeToken(env, id)
      const [rotatedAt, until] = [now(), new Date(env.clock.wallMs() + graceMs)]
      const { row } = await existing(id, () =>
        tokensOf(db, id).update(id, ({ previous: _previous, ...old }) => {
          const rotated = { ...old, hash: tokenHash(token), rotatedAt }
          return graceMs === 0 ? rotated : { ...rotated, previous: { hash: old['hash'], until } }
        }),
      )
      return { token, ...info(stored(row)) }
    },
    tokenRevoke: async ({ id }) => {
      const { existed } = await tokensOf(db, id).delete(id)
      if (!existed) throw unknownToken(id)
      return null
    },
  }
}

/** The table of tokens; undefined while no token was ever made. */
export function tokenTable(db: AnyDatabase): AnyTable | undefined {
  try {
    return db.table(TOKENS)
  } catch (error) {
    if (isHoldfastError(error, 'UnknownTable')) return undefined
    throw error
  }
}

export function stored(row: AnyRow): StoredToken {
  const { previous } = row as unknown as StoredToken
  return { ...(row as unknown as StoredToken), previousUntil: previous?.until }
}

/** SHA-256 of the whole token. */
export function tokenHash(token: string): Uint8Array {
  return hash('sha256', token, 'buffer')
}

/** The id in a token; undefined for what is no token. */
export function tokenId(token: string): string | undefined {
  return TOKEN_FORM.exec(token)?.[1]
}
const TOKEN_FORM = /^hf_([0-9a-z]{8})_[\w-]{43}$/

async function declare(db: AnyDatabase): Promise<AnyTable> {
  await db.define(TOKENS, looseDefinition({ key: 'id' }))
  return db.table(TOKENS)
}

function makeToken(env: Env, knownId?: string): readonly [id: string, token: string] {
  const id =
    knownId ??
    Array.from(env.random.bytes(ID_CHARS), (byte) => ID_ALPHABET[byte % ID_ALPHABET.length]).join(
      '',
    )
  const secret = Buffer.from(env.random.bytes(SECRET_BYTES)).toString('base64url')
  return [id, `hf_${id}_${secret}`]
}

function info(token: StoredToken): TokenInfo {
  const { id, name, scopes, createdAt, expiresAt, rotatedAt, previousUntil } = token
  return { id, name, scopes, createdAt, expiresAt, rotatedAt, previousUntil }
}

function tokensOf(db: AnyDatabase, id: string): AnyTable {
  const table = tokenTable(db)
  if (table === undefined || typeof id !== 'string' || id === '') throw unknownToken(id)
  return table
}

async function existing<T>(id: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    throw isHoldfastError(error, 'NotFound') ? unknownToken(id) : error
  }
}

function unknownToken(id: string): HoldfastError {
  return new HoldfastError('NotFound', `there is no token with the id ${JSON.stringify(id)}`)
}

function checkNew(name: unknown, scopes: unknown, expiresAt: unknown, now: Date): void {
  if (typeof name !== 'string' || name === '' || name.length > NAME_CHARS_MAX) {
    throw refused(`a token has a name of at most ${NAME_CHARS_MAX} characters`)
  }
  const fits = Array.isArray(scopes) && scopes.length > 0
  if (!fits || !scopes.every((scope) => (SCOPES as readonly unknown[]).includes(scope))) {
    throw refused(`a token has one or more of the scopes ${SCOPES.join(', ')}`)
  }
  if (expiresAt === undefined) return
  if (!(expiresAt instanceof Date && expiresAt.getTime() > now.getTime())) {
    throw refused('expiresAt is a date in the future')
  }
}

function refused(message: string): HoldfastError {
  return new HoldfastError('InvalidArgument', message)
}
