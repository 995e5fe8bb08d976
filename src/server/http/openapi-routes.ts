/** The API's description: for programs at /v1/openapi.json, for people at /docs. */
import { isHoldfastError } from '../../core/errors.ts'
import { schemaOf } from '../../table/schema-of.ts'
import { isIn } from '../conditions.ts'
import { etagOf } from '../digest.ts'
import { emptyAnswer, readAnswer } from './answer.ts'
import { docsPage, PAGE_POLICY } from './docs-page.ts'
import { conditionOf } from './entity-tags.ts'
import { openapiDocument, type DescribedTable } from './openapi.ts'
import type { Json } from './openapi-schemas.ts'
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import { headerOf, noParameters } from './request.ts'
import { scoped } from './route.ts'
import { tablesShown } from './table-routes.ts'

export function openapiRoutes(app: HttpApp, parts: HttpParts): void {
  const documents = new Documents(parts)
  // Its own, so that those without a token do not have the other one made again and again.
  const bare = new Documents(parts)
  const mayRead = parts.scope('read')
  app.get(
    '/v1/openapi.json',
    scoped(parts, 'read', async (c) => {
      noParameters(c)
      const { text, etag } = documents.of(tablesOf(parts))
      const noneMatch = conditionOf(c)?.noneMatch
      if (noneMatch !== undefined && isIn(etag, noneMatch)) return emptyAnswer(304, { etag })
      return readAnswer(parts, text, etag)
    }),
  )
  app.get('/docs', async (c) => {
    noParameters(c)
    // What tables there are is for those who may read them; the routes are for everybody.
    const isReader = await passes(c, mayRead)
    const tables = isReader ? tablesOf(parts) : []
    const made = (isReader ? documents : bare).of(tables)
    const { origin } = new URL(c.req.url)
    const withToken = headerOf(c, 'authorization') !== undefined
    return new Response(pageOf(made, tables, origin, withToken), {
      headers: {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': PAGE_POLICY,
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'cache-control': 'no-cache',
      },
    })
  })
  app.get('/', () => new Response(null, { status: 302, headers: { location: '/docs' } }))
}

async function passes(c: HttpContext, guard: ReturnType<HttpParts['scope']>): Promise<boolean> {
  try {
    await guard(c)
    return true
  } catch (cause) {
    if (isHoldfastError(cause, 'Unauthenticated', 'Forbidden')) return false
    throw cause
  }
}

function tablesOf(parts: HttpParts): DescribedTable[] {
  return tablesShown(parts).map((stats) => ({
    stats,
    schema: schemaOf(parts.db.table(stats.name)),
  }))
}

/** The last page of a document is kept: it is for whoever asks, and takes far longer than a row. */
function pageOf(
  made: Made,
  tables: readonly DescribedTable[],
  origin: string,
  withToken: boolean,
): string {
  const { page } = made
  if (page?.origin === origin && page.withToken === withToken) return page.text
  const text = docsPage({ document: made.document, tables, origin, withToken })
  made.page = { origin, withToken, text }
  return text
}

interface Made {
  readonly document: Json
  readonly text: string
  readonly etag: string
  page?: { readonly origin: string; readonly withToken: boolean; readonly text: string }
}

/** The newest document, made again when a definition or a schema has changed. */
class Documents {
  readonly #parts: HttpParts
  #made:
    | (Made & { readonly definitions: string; readonly tables: readonly DescribedTable[] })
    | undefined

  constructor(parts: HttpParts) {
    this.#parts = parts
  }

  of(tables: readonly DescribedTable[]): Made {
    const definitions = JSON.stringify(
      tables.map(({ stats: { name, key, indexes, validated } }) => [name, key, indexes, validated]),
    )
    const made = this.#made
    const isSame =
      made?.definitions === definitions &&
      made.tables.every(({ schema }, i) => schema === tables[i]?.schema)
    if (isSame) return made
    const document = openapiDocument(tables, this.#parts.limits)
    const text = JSON.stringify(document)
    this.#made = { document, text, etag: etagOf(text), definitions, tables }
    return this.#made
  }
}
