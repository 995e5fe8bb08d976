/** Queries as requests ask for them: parameters of a URL, or members of a step. */
import { HoldfastError } from '../core/holdfast-error.ts'
import type { Value } from '../core/wire.ts'
import type { Page, ReadLevel, ReadOptions, Rows } from '../table/handles.ts'
import type { LooseQuery } from '../table/strong/query.ts'
import { checkKey, checkLimit, refused, segmentOf } from './arguments.ts'
import type { Terms, Transport } from './transport.ts'
import { newerToken, positionOf } from './session-token.ts'

export type Row = Record<string, Value | undefined>

const BOUNDS = ['eq', 'gt', 'gte', 'lt', 'lte', 'prefix'] as const
/** Of a remote cursor, between how many rows its query gave so far and the server's own cursor. */
const DONE = '~'

/** Throws `InvalidKey` and `InvalidArgument`; whether bounds go together the server says. */
function checkQuery(query: LooseQuery): void {
  for (const name of BOUNDS) if (query[name] !== undefined) checkKey(query[name])
  checkLimit(query.limit)
}

/** As members of a transaction's step. */
export function queryMembers(query: LooseQuery): Row {
  checkQuery(query)
  const { index, reverse, limit } = query
  const members: Row = { index, reverse }
  if (limit !== Number.POSITIVE_INFINITY) members['limit'] = limit
  for (const name of BOUNDS) members[name] = query[name] as Value | undefined
  return members
}

/** As parameters of a URL, `limit` and cursor apart. */
export function queryParameters(query: LooseQuery): string[] {
  checkQuery(query)
  const parameters: string[] = []
  for (const name of BOUNDS) {
    const bound = query[name]
    if (bound !== undefined) parameters.push(`${name}=${segmentOf(bound)}`)
  }
  if (query.index !== undefined) parameters.push(`index=${encodeURIComponent(query.index)}`)
  if (query.reverse === true) parameters.push('reverse=true')
  return parameters
}

/** Level and token of a read, as headers. */
export function readHeaders(
  { level, after }: ReadOptions,
  session: string | undefined,
): Record<string, string> {
  const headers: Record<string, string> = {}
  if (level !== undefined) headers['holdfast-read-level'] = levelText(level)
  // Who asks for what is here by now does not wait for more, but by a token of his own.
  const isLoose = level === 'local' || typeof level === 'object'
  const token = isLoose || session === undefined ? after : newestOf(after, session)
  if (token !== undefined) headers['holdfast-after'] = token
  return headers
}

/** A token that is none, or another history's, goes as it is: the server says so. */
function newestOf(after: string | undefined, session: string): string {
  if (after === undefined) return session
  return positionOf(after) === undefined ? after : (newerToken(after, session) ?? after)
}

function levelText(level: ReadLevel): string {
  return typeof level === 'object' ? `max-staleness=${Math.floor(level.maxStalenessMs)}` : level
}

export class RemoteRows implements Rows<Row> {
  readonly #transport: Transport
  readonly #path: string
  readonly #query: LooseQuery
  readonly #pageRows: number

  constructor(transport: Transport, path: string, query: LooseQuery, pageRows: number) {
    this.#transport = transport
    this.#path = path
    this.#query = query
    this.#pageRows = pageRows
  }

  async toArray(): Promise<Row[]> {
    const rows: Row[] = []
    for await (const page of this.#pages()) rows.push(...page)
    return rows
  }

  async first(): Promise<Row | undefined> {
    checkQuery(this.#query)
    if (this.#query.limit === 0) return undefined
    const { rows } = await this.#fetch(1, undefined, this.#transport.terms(this.#query))
    return rows[0]
  }

  async page(options: { limit: number; cursor?: string | undefined }): Promise<Page<Row>> {
    const { limit = 0, cursor } = (options ?? {}) as Partial<typeof options>
    if (!Number.isInteger(limit) || limit < 1) throw refused('a page has a limit of at least 1')
    checkQuery(this.#query)
    const terms = this.#transport.terms(this.#query)
    const most = this.#query.limit ?? Number.POSITIVE_INFINITY
    if (most === Number.POSITIVE_INFINITY) return this.#fetch(limit, cursor ?? 'start', terms)
    // The query's own limit is counted here: the server knows pages only.
    const { done, inner } = cursor === undefined ? { done: 0, inner: 'start' } : opened(cursor)
    if (done >= most) return { rows: [], cursor: undefined }
    const page = await this.#fetch(Math.min(limit, most - done), inner, terms)
    const now = done + page.rows.length
    const more = page.cursor !== undefined && now < most
    return { rows: page.rows, cursor: more ? `${now}${DONE}${page.cursor}` : undefined }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for await (const page of this.#pages()) yield* page
  }

  /** Each page has the query's deadline: how long its rows are looked at is not the call's time. */
  async *#pages(): AsyncGenerator<Row[], void, undefined> {
    checkQuery(this.#query)
    let left = this.#query.limit ?? Number.POSITIVE_INFINITY
    let cursor: string | undefined = left <= this.#pageRows ? undefined : 'start'
    while (left > 0) {
      const count = Math.min(left, this.#pageRows)
      const page = await this.#fetch(count, cursor, this.#transport.terms(this.#query))
      left -= page.rows.length
      if (page.rows.length > 0) yield page.rows
      if (page.cursor === undefined || cursor === undefined) return
      cursor = page.cursor
    }
  }

  async #fetch(limit: number, cursor: string | undefined, terms: Terms): Promise<Page<Row>> {
    const parameters = [...queryParameters(this.#query), `limit=${limit}`]
    if (cursor !== undefined) parameters.push(`cursor=${encodeURIComponent(cursor)}`)
    const path = `${this.#path}/query?${parameters.join('&')}`
    const headers = readHeaders(this.#query, this.#transport.token)
    const { value } = await this.#transport.call(
      { method: 'GET', path, headers, writes: false },
      terms,
    )
    const { rows, cursor: next } = value as unknown as { rows: Row[]; cursor?: string }
    return { rows, cursor: next }
  }
}

function opened(cursor: string): { done: number; inner: string } {
  const [done = '', ...rest] = cursor.split(DONE)
  if (!/^\d+$/.test(done) || rest.length === 0) {
    throw new HoldfastError('InvalidCursor', 'the cursor belongs to another query')
  }
  return { done: Number(done), inner: rest.join(DONE) }
}
