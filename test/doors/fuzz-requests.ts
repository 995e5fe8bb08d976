/** Requests made from the API document: as it says, and then wrong in many ways. */
import fc from 'fast-check'

export type Json = { readonly [member: string]: unknown }
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Json>>>>
}

export interface Asked {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly scope: 'read' | 'write' | 'operate' | 'none'
}

const DEPTH_MAX = 5
const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', '$date', 'a', 'n', 'é']
const TEXTS = [
  '',
  ' ',
  '~',
  '~~',
  '.',
  '..',
  '%',
  '%00',
  '/',
  '\u0000',
  '\ud800',
  '\u202e',
  '\ufeff',
  '🦀',
  "' OR 1=1 --",
  '${x}',
  '\r\nset-cookie: a=b',
  'a'.repeat(3_000),
  ...NAMES,
]
const NUMBERS = [0, -0, -1, 1.5, 1e308, 5e-324, 2 ** 53, 2 ** 53 + 2, -(2 ** 31), 1e21]
const FORMS = [
  { $bigint: '12' },
  { $bigint: '-0' },
  { $bigint: '9'.repeat(400) },
  { $bigint: 1 },
  { $date: '2001-01-01T00:00:00.000Z' },
  { $date: 'yesterday' },
  { $date: '+275760-09-13T00:00:00.000Z' },
  { $bytes: 'AAEC' },
  { $bytes: '*' },
  { $object: { $date: 1 } },
  { $none: 1 },
]

const oddText = fc.oneof(fc.constantFrom(...TEXTS), fc.string({ unit: 'binary', maxLength: 20 }))
const junk: fc.Arbitrary<unknown> = fc.oneof(
  oddText,
  fc.constantFrom(...NUMBERS, null, true, false, ...FORMS),
  fc.array(fc.constantFrom<unknown>(null, 1, 'a', {}), { maxLength: 4 }),
  fc.dictionary(fc.constantFrom(...NAMES.slice(1)), fc.constantFrom<unknown>(1, 'a', null, [])),
)

/** Keys that rows have, so that requests meet. */
const plainKey = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const small = fc.integer({ min: 0, max: 4 })
const segment = fc.oneof(
  { weight: 5, arbitrary: plainKey },
  { weight: 5, arbitrary: fc.tuple(plainKey, small).map((key) => `~${JSON.stringify(key)}`) },
  { weight: 1, arbitrary: fc.constantFrom('~7', '~{"$bigint":"7"}', '~["a"]', '~null', '~{') },
  { weight: 1, arbitrary: oddText },
)

/** Values that a schema of the document takes, mostly. */
function fromSchema(document: Document, schema: Json, depth = 0): fc.Arbitrary<unknown> {
  const { $ref, anyOf, oneOf, type } = schema
  if (typeof $ref === 'string') return fromSchema(document, resolve(document, $ref), depth + 1)
  if (schema['const'] !== undefined) return fc.constant(schema['const'])
  if (Array.isArray(schema['enum'])) return fc.constantFrom(...(schema['enum'] as unknown[]))
  const choices = (anyOf ?? oneOf) as readonly Json[] | undefined
  if (choices !== undefined) {
    const fitting = depth >= DEPTH_MAX ? choices.slice(0, 1) : choices
    return fc.oneof(...fitting.map((choice) => fromSchema(document, choice, depth + 1)))
  }
  const [first, ...others] = (Array.isArray(type) ? type : [type]) as (string | undefined)[]
  if (others.length > 0) {
    const each = [first, ...others].map((one) => fromSchema(document, { ...schema, type: one }))
    return fc.oneof(...each)
  }
  return ofType(document, schema, first, depth)
}

function ofType(
  document: Document,
  schema: Json,
  type: string | undefined,
  depth: number,
): fc.Arbitrary<unknown> {
  switch (type) {
    case 'string':
      if (schema['pattern'] !== undefined) return fc.bigInt().map(String)
      if (schema['format'] === 'date-time') return fc.constant('2001-01-01T00:00:00.000Z')
      if (schema['contentEncoding'] !== undefined) return fc.constantFrom('', 'AAEC')
      return fc.oneof({ weight: 4, arbitrary: plainKey }, fc.string({ maxLength: 8 }))
    case 'integer':
      return fc.integer({ min: (schema['minimum'] as number | undefined) ?? -3, max: 40 })
    case 'number':
      return fc.oneof(small, fc.double({ noNaN: true, noDefaultInfinity: true }))
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      if (depth >= DEPTH_MAX) return fc.constant([])
      return fc.array(fromSchema(document, (schema['items'] ?? {}) as Json, depth + 1), {
        maxLength: 4,
      })
    case 'object':
      return objectOf(document, schema, depth)
    default:
      return depth >= DEPTH_MAX ? fc.constant('a') : junk
  }
}

const rowOf = (own: string): fc.Arbitrary<object> =>
  own === 'loose'
    ? fc.record({ a: plainKey, b: small, n: small, tag: plainKey }, { requiredKeys: ['a', 'b'] })
    : fc.record({ id: plainKey, n: small })
const keyOf = (own: string): fc.Arbitrary<unknown> =>
  own === 'loose' ? fc.tuple(plainKey, small) : plainKey

/** Steps whose members are those of their op. */
const step = fc
  .tuple(
    fc.constantFrom('accounts', 'loose', 'loose', 'ledger', '_tokens'),
    fc.constantFrom('get', 'has', 'delete', 'getMany', 'query', 'count', 'insert', 'put', 'patch'),
  )
  .chain(([own, op]) => {
    const fixed = { table: fc.constant(own), op: fc.constant(op) }
    if (op === 'insert' || op === 'put') return fc.record({ ...fixed, row: rowOf(own) })
    if (op === 'getMany')
      return fc.record({ ...fixed, keys: fc.array(keyOf(own), { maxLength: 3 }) })
    if (op === 'query' || op === 'count') return fc.record(fixed)
    const key = keyOf(own)
    if (op !== 'patch') return fc.record({ ...fixed, key })
    return fc.record({ ...fixed, key, fields: fc.record({ note: junk }) })
  })

/** Members whose values a schema does not say, and that only some values make sense of. */
const MEANT: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  steps: fc.array(
    fc.oneof({ weight: 6, arbitrary: step }, { weight: 1, arbitrary: mutated(step) }),
    { maxLength: 4 },
  ),
  mode: fc.constantFrom('commit', 'commit', 'try', 'put', 'insert'),
  start: fc.constant(0),
  end: fc.constantFrom(41, 41, 41, 3),
  table: fc.constantFrom('accounts', 'loose', 'ledger', 'ledger', '_tokens', 'nope'),
}

function objectOf(document: Document, schema: Json, depth: number): fc.Arbitrary<unknown> {
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, Json>>
  const required = (schema['required'] ?? []) as string[]
  const members = Object.fromEntries(
    Object.entries(properties).map(([name, each]) => [
      name,
      MEANT[name] ?? fromSchema(document, each, depth + 1),
    ]),
  )
  const requiredKeys = required.filter((name) => Object.hasOwn(members, name))
  const known = fc.record(members, { requiredKeys })
  const { additionalProperties: more } = schema
  if (typeof more !== 'object' || more === null || depth >= DEPTH_MAX) return known
  const others = fc.dictionary(
    fc.constantFrom('n', 'tag', 'note', 'list'),
    fromSchema(document, more as Json, depth + 1),
    { maxKeys: 2 },
  )
  return fc.tuple(others, known).map(([some, own]) => ({ ...some, ...(own as object) }))
}

/** A value with one of its parts made wrong. */
function mutated(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .tuple(value, junk, fc.nat(), fc.constantFrom('replace', 'remove', 'add'))
    .map(([whole, other, place, how]) => {
      if (typeof whole !== 'object' || whole === null) return other
      const names = Object.keys(whole)
      const name = names[place % Math.max(1, names.length)]
      const copy = (Array.isArray(whole) ? [...(whole as unknown[])] : { ...whole }) as Record<
        string,
        unknown
      >
      if (how === 'add' || name === undefined) copy[NAMES[place % NAMES.length] as string] = other
      else if (how === 'replace') copy[name] = other
      else delete copy[name]
      return copy
    })
}

const headerText = fc.oneof(
  fc.constantFrom('*', '"x"', 'W/"x"', '"', 'linearizable', 'max-staleness=5', '1', '0', '-1', 'é'),
  fc.string({ maxLength: 12 }).map((text) => text.replaceAll(/[^\u0020-\u007e]/g, '?')),
)
const scope = fc.constantFrom<Asked['scope']>('read', 'write', 'operate', 'none')

/** A request of one operation: of its own scope and right, or somewhat wrong. */
export function fromOperation(
  document: Document,
  path: string,
  method: string,
  operation: Json,
): fc.Arbitrary<Asked> {
  const parameters = ((operation['parameters'] ?? []) as Json[]).map((each) =>
    resolve(document, each['$ref'] as string),
  )
  const named = (place: string): Json[] => parameters.filter((each) => each['in'] === place)
  const right = (each: Json): fc.Arbitrary<string> =>
    fromParameter(document, each).map((value) => String(value))
  const some = (place: string, odd: fc.Arbitrary<string>): fc.Arbitrary<Record<string, string>> => {
    const all = named(place)
    const optional = all.filter((each) => each['required'] !== true)
    return fc.subarray(optional, { maxLength: Math.min(3, optional.length) }).chain((few) => {
      const taken = all.filter((each) => each['required'] === true || few.includes(each))
      const values = taken.map((each): [string, fc.Arbitrary<string>] => [
        each['name'] as string,
        fc.oneof({ weight: 6, arbitrary: right(each) }, { weight: 1, arbitrary: odd }),
      ])
      return fc.record(Object.fromEntries(values))
    })
  }
  const media = ((operation['requestBody'] as Json | undefined)?.['content'] ?? {}) as Json
  const schema = (media['application/json'] as Json | undefined)?.['schema'] as Json | undefined
  return fc
    .record({
      parts: fc.tuple(
        ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => partOf(name as string)),
      ),
      query: fc.option(some('query', oddText), { freq: 2, nil: {} }),
      headers: fc.option(some('header', headerText), { freq: 1, nil: {} }),
      body: schema === undefined ? fc.constant(undefined) : bodyOf(fromSchema(document, schema)),
      scope: fc.oneof({ weight: 3, arbitrary: fc.constant<Asked['scope']>('operate') }, scope),
    })
    .map(({ parts, query, headers, body, scope: own }) => {
      let next = 0
      const filled = path.replaceAll(/\{\w+\}/g, () => encoded(parts[next++] as string))
      const search = Object.entries(query).map(
        ([name, value]) => `${encoded(name)}=${encoded(value)}`,
      )
      const tail = search.length === 0 ? '' : `?${search.join('&')}`
      const isPut = method === 'put' && path.endsWith('/rows/{key}')
      const sent = isPut ? agreeing(body, parts.at(-1) as string) : body
      return { method: method.toUpperCase(), path: filled + tail, headers, body: sent, scope: own }
    })
}

/** A row with the key of its path; other bodies as they are. */
function agreeing(body: string | undefined, key: string): string | undefined {
  try {
    const row = JSON.parse(body ?? '') as unknown
    if (typeof row !== 'object' || row === null || Array.isArray(row)) return body
    const parts = key.startsWith('~[') ? (JSON.parse(key.slice(1)) as unknown[]) : undefined
    const own = parts === undefined ? { id: key } : { a: parts[0], b: parts[1] }
    return JSON.stringify({ ...row, ...own })
  } catch {
    return body
  }
}

const table = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('accounts', 'loose', 'ledger', 'new') },
  { weight: 1, arbitrary: fc.constantFrom('_tokens', '_imports', '__proto__', 'nope') },
)

/** A part of a path, by its name. */
function partOf(name: string): fc.Arbitrary<string> {
  if (name === 'key') return segment
  const right = name === 'table' ? table : name === 'index' ? index : fc.constantFrom('kept', 'x')
  return fc.oneof({ weight: 8, arbitrary: right }, { weight: 1, arbitrary: oddText })
}
const index = fc.constantFrom('byTag', 'byKind', 'none')

function fromParameter(document: Document, parameter: Json): fc.Arbitrary<unknown> {
  const name = String(parameter['name'])
  if (/^(?:eq|gte?|lte?|prefix)$/.test(name)) return segment
  if (name === 'index') return index
  if (name === 'by' || name === 'avg') return fc.constantFrom('n', 'tag', 'a')
  if (name === 'join') return fc.constantFrom('loose', 'accounts', '_tokens')
  if (name === 'where') return fc.constantFrom('n>=1', 'tag=a', 'n', 'n<', '=1')
  if (name === 'cursor') return fc.constantFrom('start', 'start', 'x')
  if (name === 'Idempotency-Key') return fc.constantFrom('k1', 'k2', 'k3')
  if (name === 'Prefer') return fc.constantFrom('return=representation', 'return=minimal')
  if (name.startsWith('If-')) return fc.constantFrom('*', '"nope"', '"a", W/"b"')
  const schema = parameter['schema'] as Json
  if (schema['pattern'] !== undefined) {
    return fc.constantFrom('linearizable', 'session', 'local', 'max-staleness=10')
  }
  return fromSchema(document, schema)
}

function bodyOf(value: fc.Arbitrary<unknown>): fc.Arbitrary<string | undefined> {
  return fc.oneof(
    { weight: 10, arbitrary: value.map((body) => JSON.stringify(body)) },
    { weight: 5, arbitrary: mutated(value).map((body) => JSON.stringify(body)) },
    { weight: 1, arbitrary: junk.map((body) => JSON.stringify(body)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(undefined, '', '{', 'null', '{"__proto__":{"a":1}}', '1e999'),
    },
    { weight: 1, arbitrary: fc.constantFrom('['.repeat(5_000), `"${'x'.repeat(70_000)}"`) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
  )
}

/** Any method, any path, any headers. */
export const anything: fc.Arbitrary<Asked> = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'OPTIONS', 'PUT', 'POST', 'PATCH', 'DELETE', 'PROPFIND'),
  path: fc
    .array(
      fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom('v1', 'tables', 'rows', 'tokens', 'accounts') },
        {
          weight: 2,
          arbitrary: fc.constantFrom('_tokens', '_imports', '__proto__', 'loose', 'feed'),
        },
        { weight: 1, arbitrary: oddText.map(encoded) },
        { weight: 1, arbitrary: fc.constantFrom('%', '%ff', '%2e%2e', '', '~%7b') },
      ),
      { maxLength: 7 },
    )
    .map((parts) => `/${parts.join('/')}`),
  headers: fc.dictionary(
    fc.constantFrom('content-type', 'content-length', 'accept', 'prefer', 'if-match', 'x-a'),
    headerText,
  ),
  body: fc.constantFrom(undefined, '{}', '{"id":"a"}', '['),
  scope,
})

/** As a path's part, whatever it is; a lone surrogate becomes what URLs make of it. */
function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

function resolve(document: Document, path: string): Json {
  let found: unknown = document
  for (const name of path.slice(2).split('/')) found = (found as Json)[name]
  return found as Json
}
