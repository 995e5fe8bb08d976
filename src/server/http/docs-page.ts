/** The API document as a page that needs nothing but itself: no script, no font, no other server. */
import { hash } from 'node:crypto'
import type { JsonValue } from '../../core/wire.ts'
import { curl, resolve, sampleKey, sampleOf } from './docs-samples.ts'
import { STYLE } from './docs-style.ts'
import type { DescribedTable } from './openapi.ts'
import type { Json } from './openapi-schemas.ts'

const STYLE_HASH = hash('sha256', STYLE, 'base64')
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${STYLE_HASH}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

interface Page {
  readonly document: Json
  readonly tables: readonly DescribedTable[]
  /** Where this server was reached. */
  readonly origin: string
  /** Whether examples send a token. */
  readonly withToken: boolean
}

interface Route {
  readonly path: string
  readonly method: string
  readonly operation: Json
}

export function docsPage(page: Page): string {
  const routes = routesOf(page.document)
  const tags = page.document['tags'] as unknown as { name: string; description: string }[]
  const sections = tags.map(({ name, description }) => {
    const own = routes.filter(({ operation }) => (operation['tags'] as string[])[0] === name)
    return { name, description, own, id: idOf(name) }
  })
  const links = sections.map(({ name, id }) => `<li><a href="#${id}">${escaped(name)}</a></li>`)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Holdfast API</title>
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the routes</a>
<header>
<h1>Holdfast API</h1>
<p>The routes of <code>${escaped(page.origin)}</code>, made from its tables as they are now.
For programs: <a href="/v1/openapi.json">/v1/openapi.json</a> (OpenAPI 3.1).</p>
</header>
<nav aria-label="Contents"><ul>
<li><a href="#forms">Forms</a></li>
${links.join('\n')}
</ul></nav>
<main id="main">
${forms(page)}
${sections.map((section) => sectionOf(page, section)).join('\n')}
</main>
</body>
</html>
`
}

interface Section {
  readonly name: string
  readonly description: string
  readonly own: readonly Route[]
  readonly id: string
}

function sectionOf(page: Page, { name, description, own, id }: Section): string {
  const table = page.tables.find(({ stats }) => `Table ${stats.name}` === name)
  const rows =
    table === undefined
      ? ''
      : `<details><summary>Schema of a row</summary><pre><code>${escaped(
          JSON.stringify(resolve(page.document, schemaPath(table.stats.name)), null, 2),
        )}</code></pre></details>`
  const routes =
    table === undefined
      ? own.map((route) => routeOf(page, route))
      : own.filter(isOfRows).map((route) => briefOf(page, route))
  return `<section aria-labelledby="${id}">
<h2 id="${id}">${escaped(name)}</h2>
<p>${escaped(description)}</p>
${rows}
${routes.join('\n')}
</section>`
}

/** Commands that change a table itself are shown for no table: they are pasted too easily. */
function isOfRows({ operation }: Route): boolean {
  return !/^(?:defineTable|dropTable|dropIndex)\./.test(said(operation['operationId']))
}

/** A route of one table: its command alone; what it means is told once, of any table. */
function briefOf(page: Page, route: Route): string {
  const { operation, method, path } = route
  const id = said(operation['operationId'])
  const general = id.slice(0, id.indexOf('.'))
  return `<article id="${escaped(id)}">
<h3>${badge(method)} <code>${escaped(path)}</code></h3>
<p>${escaped(said(operation['summary']))} (<a href="#${escaped(general)}">more</a>)</p>
<pre tabindex="0"><code>${escaped(commandOf(page, route))}</code></pre>
</article>`
}

function routeOf(page: Page, route: Route): string {
  const { operation, method, path } = route
  const id = escaped(said(operation['operationId']))
  const statuses = Object.entries(operation['responses'] as Json).map(([status, answer]) => {
    const { description } = resolved(page.document, answer)
    return `<tr><td><code>${status}</code></td><td>${prose(said(description))}</td></tr>`
  })
  return `<article id="${id}">
<h3>${badge(method)} <code>${escaped(path)}</code> <a class="anchor" href="#${id}" aria-label="Link to ${id}">#</a></h3>
<p><strong>${escaped(said(operation['summary']))}.</strong> ${prose(said(operation['description']))}</p>
<pre tabindex="0"><code>${escaped(commandOf(page, route))}</code></pre>
${parametersOf(page.document, operation)}
<details><summary>Answers</summary><table><thead><tr><th scope="col">Status</th>\
<th scope="col">Meaning</th></tr></thead><tbody>${statuses.join('')}</tbody></table></details>
</article>`
}

function parametersOf(document: Json, operation: Json): string {
  const given = ((operation['parameters'] ?? []) as Json[]).map((each) => {
    const { name, in: place, description, required } = resolved(document, each)
    const need = required === true ? ', required' : ''
    return `<tr><td><code>${escaped(said(name))}</code></td><td>${said(place)}${need}</td>\
<td>${prose(said(description))}</td></tr>`
  })
  if (given.length === 0) return ''
  return `<details><summary>Parameters</summary><table><thead><tr><th scope="col">Name</th>\
<th scope="col">Where</th><th scope="col">Meaning</th></tr></thead>\
<tbody>${given.join('')}</tbody></table></details>`
}

/** A command that can be pasted; placeholders become a row of the table, or of the first there is. */
function commandOf(page: Page, { path, method, operation }: Route): string {
  const { document, tables, origin, withToken } = page
  const table =
    tables.find(({ stats }) => path.startsWith(`/v1/tables/${stats.name}/`)) ?? tables[0]
  const row =
    table === undefined
      ? { id: 'a' }
      : sampleOf(document, { $ref: `#/${schemaPath(table.stats.name)}` })
  const name = table?.stats.name ?? 'TABLE'
  const defines = operation['operationId'] === 'defineTable'
  const filled = path
    .replace('{table}', defines || operation['operationId'] === 'dropTable' ? 'new_table' : name)
    .replace('{key}', sampleKey(row, table?.stats.key ?? ['id']))
    .replace('{index}', table?.stats.indexes[0]?.name ?? 'INDEX')
    .replace('{id}', 'ID')
  const query = path.endsWith('/groups') ? `?by=${table?.stats.key[0] ?? 'id'}` : ''
  const body = withTable(bodyOf(document, operation, row), name)
  const open = path.endsWith('/feed') ? ' -N' : ''
  return curl({ method, url: `${origin}${filled}${query}`, body, withToken }) + open
}

function bodyOf(document: Json, operation: Json, row: JsonValue): JsonValue | undefined {
  const body = operation['requestBody'] as Json | undefined
  if (body === undefined) return undefined
  const media = (body['content'] as Json)['application/json'] as Json
  if (media['example'] !== undefined) return media['example']
  const { $ref } = media['schema'] as Json
  const isRow = typeof $ref === 'string' && /\/Row(?:\.|$)/.test($ref)
  return isRow ? row : sampleOf(document, media['schema'])
}

function withTable(body: JsonValue | undefined, name: string): JsonValue | undefined {
  if (body === undefined) return undefined
  return JSON.parse(JSON.stringify(body).replaceAll('"TABLE"', JSON.stringify(name))) as JsonValue
}

function routesOf(document: Json): Route[] {
  return Object.entries(document['paths'] as Json).flatMap(([path, item]) =>
    Object.entries(item as Json).map(([method, operation]) => {
      return { path, method, operation: operation as Json }
    }),
  )
}

function forms({ document }: Page): string {
  const named = ['BigInt', 'Date', 'Bytes', 'PlainObject'].map((name) => {
    const schema = resolve(document, `components/schemas/${name}`) as Json
    const [example] = schema['examples'] as JsonValue[]
    return `<tr><td>${prose(said(schema['description']))}</td>\
<td><code>${escaped(JSON.stringify(example))}</code></td></tr>`
  })
  return `<section aria-labelledby="forms">
<h2 id="forms">Forms</h2>
<p>Bodies are JSON. What JSON has no word for is an object with one key:</p>
<table><thead><tr><th scope="col">Value</th><th scope="col">Form</th></tr></thead>\
<tbody>${named.join('')}</tbody></table>
<p>A key in a path is a string as it is, percent-encoded; any other key is <code>~</code> and its
form: <code>~7</code>, <code>~["a",1]</code>. A failure is a problem (RFC 9457) with
<code>code</code>, <code>applied</code> and <code>advice</code>. Where tokens are needed, send
<code>Authorization: Bearer TOKEN</code>.</p>
</section>`
}

function schemaPath(table: string): string {
  return `components/schemas/Row.${table}.written`
}

function resolved(document: Json, value: JsonValue): Json {
  const { $ref } = value as Json
  return (typeof $ref === 'string' ? resolve(document, $ref) : value) as Json
}

function said(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : ''
}

function badge(method: string): string {
  return `<span class="method ${method}">${method.toUpperCase()}</span>`
}

function idOf(name: string): string {
  return `section-${name.replaceAll(/\W+/g, '-')}`
}

/** Text with `code` in it. */
function prose(text: string): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] as string)
}
