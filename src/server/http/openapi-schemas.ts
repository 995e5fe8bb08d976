/** JSON Schemas of the API document: the wire form, what every route shares, and tables' rows. */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import type { JsonValue } from '../../core/wire.ts'
import { ERRORS } from '../../core/errors.ts'
import type { TableStats } from '../../table/handles.ts'
import { STEP_OPS } from '../step-forms.ts'

export type Json = { readonly [member: string]: JsonValue }

export const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` })
export const list = (items: Json): Json => ({ type: 'array', items })
export const text = (description: string): Json => ({ type: 'string', description })
/** An object of these members and no others. */
export function object(properties: Json, ...required: readonly string[]): Json {
  return { type: 'object', properties, required, additionalProperties: false }
}

const form = (name: string, content: Json, description: string, example: JsonValue): Json => ({
  ...object({ [name]: content }, name),
  description,
  examples: [{ [name]: example }],
})
const whole: Json = { type: 'integer', minimum: 0 }
const fields = (description: string, values: Json = ref('Value')): Json => ({
  type: 'object',
  description,
  additionalProperties: values,
})
const ack: Json = {
  position: { ...whole, description: 'Where in the log the write is.' },
  durability: {
    enum: ['memory', 'fsynced', 'quorum', 'quorum-fsynced'],
    description: 'How far the ack goes.',
  },
  token: text('For Holdfast-After of later reads, and for feeds: they then see this write.'),
}
const indexFields: Json = { oneOf: [{ type: 'string' }, list({ type: 'string' })] }
const BOUNDS = ['eq', 'gt', 'gte', 'lt', 'lte', 'prefix']
const kinds = [...new Set(Object.values(ERRORS).map(({ kind }) => kind))]

export const SCHEMAS: Json = {
  BigInt: form(
    '$bigint',
    { type: 'string', pattern: '^(?:0|-?[1-9][0-9]*)$' },
    'A bigint: its decimal digits.',
    '-123',
  ),
  Date: form(
    '$date',
    { type: 'string', format: 'date-time' },
    'A moment, in UTC with milliseconds.',
    '2001-01-01T00:00:00.000Z',
  ),
  Bytes: form(
    '$bytes',
    { type: 'string', contentEncoding: 'base64' },
    'Bytes as base64 with padding.',
    'AAEC',
  ),
  PlainObject: form(
    '$object',
    { type: 'object', additionalProperties: ref('Value') },
    'An object whose only key begins with `$`, taken literally.',
    { $date: 1 },
  ),
  Value: {
    description: 'Any value: JSON, with forms for what JSON lacks.',
    anyOf: [
      { type: ['null', 'boolean', 'number', 'string'] },
      ref('BigInt'),
      ref('Date'),
      ref('Bytes'),
      ref('PlainObject'),
      list(ref('Value')),
      { type: 'object', additionalProperties: ref('Value') },
    ],
  },
  KeyPart: {
    anyOf: [{ type: ['string', 'number'] }, ref('BigInt'), ref('Date'), ref('Bytes')],
  },
  Key: {
    description: 'A key: one part, or a list of the parts of a compound key.',
    anyOf: [ref('KeyPart'), list(ref('KeyPart'))],
  },
  Row: fields('A row of any table.'),
  Ack: object(ack, 'position', 'durability', 'token'),
  RowAck: object(
    { ...ack, row: { ...ref('Row'), description: 'With `Prefer: return=representation`.' } },
    'position',
    'durability',
    'token',
  ),
  DeleteAck: object(
    { ...ack, existed: { type: 'boolean' } },
    'position',
    'durability',
    'token',
    'existed',
  ),
  BulkResult: {
    oneOf: [
      object(
        { ok: { const: true }, ...ack, existed: { type: 'boolean' } },
        'ok',
        'position',
        'durability',
        'token',
      ),
      object({ ok: { const: false }, problem: ref('Problem') }, 'ok', 'problem'),
    ],
  },
  Changes: {
    ...object({
      set: fields('Fields to set.'),
      remove: list(text('A field to remove.')),
      increment: fields('Added to fields that hold numbers.', {
        anyOf: [{ type: 'number' }, ref('BigInt')],
      }),
      decrement: fields('Taken from fields that hold numbers.', {
        anyOf: [{ type: 'number' }, ref('BigInt')],
      }),
      min: fields('Each field keeps the lesser.'),
      max: fields('Each field keeps the greater.'),
      append: fields('Added to fields that hold lists.', list(ref('Value'))),
      create: { ...ref('Row'), description: 'The row to start from when there is none.' },
    }),
    description: 'Changes made together; a field is in one of them.',
    minProperties: 1,
  },
  Step: {
    ...object(
      {
        table: { type: 'string' },
        op: { enum: STEP_OPS },
        expect: text('The digest of the outcome that the caller saw.'),
        ifMatch: { type: ['string', 'null'], description: "The row's ETag; null for no row." },
        key: ref('Key'),
        keys: list(ref('Key')),
        query: object({
          index: { type: 'string' },
          ...Object.fromEntries(BOUNDS.map((bound) => [bound, ref('Key')])),
          reverse: { type: 'boolean' },
          limit: whole,
        }),
        row: ref('Row'),
        fields: fields('What the op takes for each field.'),
        remove: list(text('A field that `patch` removes.')),
        create: ref('Row'),
      },
      'table',
      'op',
    ),
    description: 'One step: each op takes the members that it needs, and no others.',
  },
  TableStats: object(
    {
      name: { type: 'string' },
      rows: whole,
      bytes: { ...whole, description: 'Bytes of rows, indexes not counted.' },
      validated: { type: 'boolean', description: 'Whether a schema checks its rows.' },
      key: list({ type: 'string' }),
      indexes: list(
        object(
          {
            name: { type: 'string' },
            fields: list({ type: 'string' }),
            unique: { type: 'boolean' },
            state: { type: 'string' },
          },
          'name',
          'fields',
          'unique',
          'state',
        ),
      ),
    },
    'name',
    'rows',
    'bytes',
    'validated',
    'key',
    'indexes',
  ),
  TableSpec: object(
    {
      key: indexFields,
      indexes: {
        type: 'object',
        additionalProperties: {
          oneOf: [...(indexFields['oneOf'] as Json[]), object({ unique: indexFields }, 'unique')],
        },
      },
    },
    'key',
  ),
  Problem: {
    type: 'object',
    description: 'RFC 9457, with what Holdfast knows besides.',
    properties: {
      type: { type: 'string' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: text('What was wrong.'),
      code: { enum: Object.keys(ERRORS) },
      kind: { enum: kinds },
      applied: { enum: ['no', 'yes', 'unknown'], description: 'Whether anything was written.' },
      advice: text('What to do about it.'),
      retryAfterMs: { ...whole, description: 'Present when the same call may succeed later.' },
      details: { type: 'object' },
    },
    required: ['type', 'title', 'status', 'detail', 'code', 'kind', 'applied', 'advice'],
  },
}

/** What a converter of the usual libraries does with types that JSON Schema has no word for. */
const LIBRARY_OPTIONS = {
  // zod
  unrepresentable: 'any',
  override: ({ zodSchema, jsonSchema }: ZodOverride): void => {
    const { type } = zodSchema._zod.def
    if (type === 'bigint') Object.assign(jsonSchema, ref('BigInt'))
    if (type === 'date') Object.assign(jsonSchema, ref('Date'))
  },
  // arktype
  fallback: {
    date: () => ref('Date'),
    domain: ({ domain, base }: ArkFallback) => (domain === 'bigint' ? ref('BigInt') : base),
    default: ({ base }: ArkFallback) => base,
  },
}
interface ZodOverride {
  readonly zodSchema: { readonly _zod: { readonly def: { readonly type: string } } }
  readonly jsonSchema: Record<string, unknown>
}
interface ArkFallback {
  readonly domain?: string
  readonly base: object
}

/** The component schemas of a table's rows: as they are written, and as they are stored. */
export function rowSchemas(
  table: TableStats,
  name: string,
  schema: StandardSchemaV1 | undefined,
): { readonly written: Json; readonly stored: Json } {
  return {
    written: converted(schema, 'input', `${name}.written`) ?? looseRow(table, `${name}.written`),
    stored: converted(schema, 'output', `${name}.stored`) ?? looseRow(table, `${name}.stored`),
  }
}

/** Components by their names, `name` that of the row; undefined when the schema cannot say. */
function converted(
  schema: StandardSchemaV1 | undefined,
  direction: 'input' | 'output',
  name: string,
): Json | undefined {
  const standard = schema?.['~standard'] as Partial<StandardJSONSchemaV1.Props> | undefined
  if (standard?.jsonSchema === undefined) return undefined
  let made: Record<string, unknown>
  try {
    const options = { target: 'draft-2020-12', libraryOptions: LIBRARY_OPTIONS }
    made = standard.jsonSchema[direction](options)
  } catch {
    // A library may refuse: the document then says less, and the schema still checks rows.
    return undefined
  }
  const { $schema: _, $defs = {}, ...root } = made as Record<string, JsonValue> & { $defs?: Json }
  const components: Record<string, JsonValue> = { [name]: relinked(root, name) }
  for (const [part, definition] of Object.entries($defs)) {
    components[partName(name, part)] = relinked(definition, name)
  }
  return components
}

function looseRow(table: TableStats, name: string): Json {
  const part = (field: string): [string, Json] => [field, ref('KeyPart')]
  const indexed = table.indexes.flatMap((index) => index.fields)
  const optional = indexed.filter((field) => !table.key.includes(field))
  const orNone = (field: string): [string, Json] => [
    field,
    { anyOf: [ref('KeyPart'), { type: 'null' }] },
  ]
  return {
    [name]: {
      type: 'object',
      properties: Object.fromEntries([...table.key.map(part), ...optional.map(orNone)]),
      required: table.key,
      additionalProperties: ref('Value'),
    },
  }
}

/** References within the schema become references within the document. */
function relinked(value: JsonValue, name: string): JsonValue {
  if (Array.isArray(value)) return value.map((item: JsonValue) => relinked(item, name))
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value as Json).map(([key, member]) => {
    if (key !== '$ref' || typeof member !== 'string') return [key, relinked(member, name)]
    if (member === '#') return [key, ref(name)['$ref']]
    const part = /^#\/\$defs\/(.+)$/.exec(member)?.[1]
    return [key, part === undefined ? member : ref(partName(name, part))['$ref']]
  })
  return Object.fromEntries(members) as Json
}

function partName(name: string, part: string): string {
  return `${name}.${part.replaceAll(/[^\w.-]/g, '_')}`
}
