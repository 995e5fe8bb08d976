/** Parameters and headers that the API document's operations name. */
import type { Json } from './openapi-schemas.ts'

const string: Json = { type: 'string' }
const KEY_FORM =
  'a string as it is, any other key as `~` and its wire form, like `~7` or `~["a",1]`'

const inPath = (name: string, description: string): Json => ({
  name,
  in: 'path',
  required: true,
  description,
  schema: string,
})
const inQuery = (name: string, description: string, schema: Json = string): Json => ({
  name,
  in: 'query',
  description,
  schema,
})
const inHeader = (name: string, description: string, schema: Json = string): Json => ({
  name,
  in: 'header',
  description,
  schema,
})
const bound = (name: string, meaning: string): Json =>
  inQuery(name, `${meaning}: ${KEY_FORM}. Of the key, or of the index's fields.`)
const count = (minimum: number): Json => ({ type: 'integer', minimum, maximum: 999_999_999 })

export const PARAMETERS: Json = {
  'path.table': inPath('table', 'The name of the table.'),
  'path.key': inPath('key', `The key: ${KEY_FORM}, percent-encoded.`),
  'path.index': inPath('index', 'The name of the index.'),
  'path.id': inPath('id', 'Its id.'),
  index: inQuery('index', 'The index to read by. Default: the key.'),
  eq: bound('eq', 'Equal to'),
  gt: bound('gt', 'Greater than'),
  gte: bound('gte', 'From'),
  lt: bound('lt', 'Less than'),
  lte: bound('lte', 'Up to'),
  prefix: bound('prefix', 'The first parts of a compound key, or the beginning of a string'),
  reverse: inQuery('reverse', 'From the end to the start.', { type: 'boolean' }),
  limit: inQuery('limit', 'Rows at the most. Default 100.', count(1)),
  cursor: inQuery('cursor', '`start`, or the cursor of the page before.'),
  where: inQuery('where', 'A condition on a field, like `age>=18`; all of them hold.', {
    type: 'array',
    items: string,
  }),
  by: { ...inQuery('by', 'The field whose values make the groups.'), required: true },
  avg: inQuery('avg', 'The field that is averaged.'),
  minRows: inQuery('minRows', 'Groups with fewer rows are left out. Default 1.', count(0)),
  join: inQuery('join', 'The table whose rows have the values as keys.'),
  from: inQuery('from', 'Where a feed begins. Default `now`.', {
    enum: ['now', 'start', 'snapshot'],
  }),
  after: inQuery('after', 'A token: the feed begins after what it stands for.'),
  backupAfter: inQuery('after', 'A position: only what is newer than a backup of it.', count(0)),
  LastEventId: inHeader('Last-Event-ID', 'The id of the last event; goes before `after`.'),
  IdempotencyKey: inHeader('Idempotency-Key', 'Makes the call once, however often it is sent.'),
  ReadLevel: inHeader(
    'Holdfast-Read-Level',
    'linearizable (default), session, local or max-staleness=MS.',
    { type: 'string', pattern: '^(linearizable|session|local|max-staleness=\\d{1,9})$' },
  ),
  After: inHeader('Holdfast-After', 'A token: the read sees at least what it stands for.'),
  Deadline: inHeader('Holdfast-Deadline-Ms', 'Gives up after so many milliseconds.', count(1)),
  IfMatch: inHeader('If-Match', 'Only if the row has one of these tags; `*`: if there is a row.'),
  IfNoneMatch: inHeader(
    'If-None-Match',
    'Only if the row has none of these tags, or is not there.',
  ),
  Prefer: inHeader('Prefer', '`return=representation`: the answer has the row as it is stored.'),
}

const header = (description: string): Json => ({ description, schema: string })

export const HEADERS: Json = {
  'Holdfast-Token': header('Stands for what was seen or written; for Holdfast-After and feeds.'),
  ETag: header('A strong tag of the content.'),
  Location: header('Where it is.'),
  'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } },
}
