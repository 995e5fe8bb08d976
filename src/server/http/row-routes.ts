/** One row at a time. Get and put are the hot paths: what is rare comes behind a look at a header. */
import { HoldfastError } from '../../core/errors.ts'
import type { Key } from '../../core/key-codec.ts'
import { keySegment } from '../../core/key-segment.ts'
import { stringifyWire, type Value } from '../../core/wire.ts'
import type { Ack, AnyTable, WriteOptions, Written } from '../../table/handles.ts'
import { getNow, isSameKey, keyOf, storedKeyOf, type AnyRow } from '../any-rows.ts'
import { ackOf, changeIn, changeRow, readChanges, type TransactionTable } from '../changes.ts'
import { isIn, PRECONDITION_FAILED, checkCondition, type Condition } from '../conditions.ts'
import { etagOf } from '../digest.ts'
import { ackAnswer, emptyAnswer, readAnswer } from './answer.ts'
import { conditionOf } from './entity-tags.ts'
import type { HttpApp, HttpContext, HttpParts } from './parts.ts'
import {
  headerOf,
  bodyOf,
  invalid,
  keyIn,
  noParameters,
  readOptionsOf,
  tableIn,
  within,
  writeOptionsOf,
} from './request.ts'
import { scoped } from './route.ts'

const ROWS = '/v1/tables/:table/rows'
const ROW = '/v1/tables/:table/rows/:key'
const REPRESENTATION = /(?:^|[,;\s])return="?representation"?(?:$|[,;\s])/i

export function rowRoutes(app: HttpApp, parts: HttpParts): void {
  app.get(
    ROW,
    scoped(parts, 'read', (c) => getRow(c, parts)),
  )
  app.put(
    ROW,
    scoped(parts, 'write', (c) => putRow(c, parts, keyIn(c))),
  )
  app.put(
    ROWS,
    scoped(parts, 'write', (c) => putRow(c, parts, undefined)),
  )
  app.post(
    ROWS,
    scoped(parts, 'write', (c) => insertRow(c, parts)),
  )
  app.patch(
    ROW,
    scoped(parts, 'write', (c) => patchRow(c, parts)),
  )
  app.delete(
    ROW,
    scoped(parts, 'write', (c) => deleteRow(c, parts)),
  )
}

function getRow(c: HttpContext, parts: HttpParts): Response | Promise<Response> {
  const table = tableIn(c, parts)
  const key = keyIn(c)
  noParameters(c)
  const row = getNow(table, key, readOptionsOf(c, parts))
  if (!(row instanceof Promise)) return foundRow(c, parts, table, key, row)
  return row.then((found) => foundRow(c, parts, table, key, found))
}

function foundRow(
  c: HttpContext,
  parts: HttpParts,
  table: AnyTable,
  key: Key,
  row: AnyRow | undefined,
): Response {
  const condition = conditionOf(c)
  if (condition !== undefined) checkCondition(table.name, key, row, { match: condition.match })
  if (row === undefined) {
    throw new HoldfastError('NotFound', `${table.name} has no row with this key`, {
      details: { table: table.name, key },
    })
  }
  const text = stringifyWire(row)
  const etag = etagOf(text)
  if (condition?.noneMatch !== undefined && isIn(etag, condition.noneMatch)) {
    return emptyAnswer(304, { etag, 'holdfast-token': parts.db.token })
  }
  return readAnswer(parts, text, etag)
}

/** `key`: of the path, which the row's own must agree with. */
async function putRow(c: HttpContext, parts: HttpParts, key: Key | undefined): Promise<Response> {
  const table = tableIn(c, parts)
  noParameters(c)
  const condition = conditionOf(c)
  const options = writeOptionsOf(c, parts)
  const row = (await bodyOf(c, parts.limits.bodyBytes)) as AnyRow
  if (key !== undefined) checkKey(parts, table, key, row)
  if (condition === undefined) return rowAnswer(c, await table.put(row, options))
  if (condition.match === undefined && condition.noneMatch === '*') {
    return rowAnswer(c, await insertIfNone(table, row, options))
  }
  const own = key ?? keyOf(parts.db, table.name, row)
  return rowAnswer(
    c,
    await conditionally(c, parts, table, own, condition, ['put', row], (into) => into.put(row)),
  )
}

async function insertRow(c: HttpContext, parts: HttpParts): Promise<Response> {
  const table = tableIn(c, parts)
  noParameters(c)
  noCondition(c)
  const options = writeOptionsOf(c, parts)
  const row = (await bodyOf(c, parts.limits.bodyBytes)) as AnyRow
  const written = await table.insert(row, options)
  const name = encodeURIComponent(table.name)
  const key = keySegment(storedKeyOf(table, written.row))
  return rowAnswer(c, written, 201, { location: `/v1/tables/${name}/rows/${key}` })
}

async function patchRow(c: HttpContext, parts: HttpParts): Promise<Response> {
  const table = tableIn(c, parts)
  const key = keyIn(c)
  noParameters(c)
  const condition = conditionOf(c)
  const options = writeOptionsOf(c, parts)
  const changes = readChanges(await bodyOf(c, parts.limits.bodyBytes))
  if (condition === undefined) {
    return rowAnswer(c, await changeRow(parts.db, table.name, key, changes, options))
  }
  const request = ['change', changes as Value]
  return rowAnswer(
    c,
    await conditionally(c, parts, table, key, condition, request, (into) =>
      changeIn(into, table.name, key, changes),
    ),
  )
}

async function deleteRow(c: HttpContext, parts: HttpParts): Promise<Response> {
  const table = tableIn(c, parts)
  const key = keyIn(c)
  noParameters(c)
  const condition = conditionOf(c)
  if (condition === undefined) {
    const gone = await table.delete(key, writeOptionsOf(c, parts))
    return ackAnswer(gone, `,"existed":${gone.existed}`)
  }
  const gone = await conditionally(c, parts, table, key, condition, ['delete'], async (from) => ({
    existed: await from.delete(key),
  }))
  return ackAnswer(gone, `,"existed":${gone.row['existed'] === true}`)
}

/** One transaction reads the row, compares, and writes: nobody comes between. */
async function conditionally(
  c: HttpContext,
  parts: HttpParts,
  table: AnyTable,
  key: Key,
  condition: Condition,
  request: readonly Value[],
  write: (table: TransactionTable) => Promise<AnyRow>,
): Promise<Written<AnyRow>> {
  const { name } = table
  const { match = null, noneMatch = null } = condition
  return within(c, parts, async (signal) => {
    const row = await parts.db.transact(
      async (tx) => {
        const own = tx.table(name)
        checkCondition(name, key, await own.get(key), condition)
        return write(own)
      },
      {
        ...writeOptionsOf(c, parts),
        signal,
        request: [name, key as Value, match, noneMatch, ...request],
      },
    )
    return { ...ackOf(parts.db), row }
  })
}

async function insertIfNone(
  table: AnyTable,
  row: AnyRow,
  options: WriteOptions,
): Promise<Written<AnyRow>> {
  try {
    return await table.insert(row, options)
  } catch (cause) {
    if (!(cause instanceof HoldfastError) || cause.code !== 'AlreadyExists') throw cause
    throw new HoldfastError('AlreadyExists', cause.message, {
      cause,
      details: { ...cause.details, status: PRECONDITION_FAILED },
    })
  }
}

function checkKey(parts: HttpParts, table: AnyTable, key: Key, row: AnyRow): void {
  if (isSameKey(keyOf(parts.db, table.name, row), key)) return
  throw invalid('the key in the path is not the key of the row')
}

/** An insert is a condition itself: another one beside it would be passed over. */
function noCondition(c: HttpContext): void {
  if (conditionOf(c) === undefined) return
  throw invalid('a POST takes no If-Match and no If-None-Match; PUT does')
}

/** Whether the rows that were stored are to be in the answer (RFC 7240). */
export function prefersRow(c: HttpContext): boolean {
  return REPRESENTATION.test(headerOf(c, 'prefer') ?? '')
}

function rowAnswer(
  c: HttpContext,
  written: Ack & { readonly row: AnyRow },
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const text = stringifyWire(written.row)
  const all = { etag: etagOf(text), ...headers }
  if (!prefersRow(c)) return ackAnswer(written, '', status, all)
  return ackAnswer(written, `,"row":${text}`, status, {
    ...all,
    'preference-applied': 'return=representation',
  })
}
