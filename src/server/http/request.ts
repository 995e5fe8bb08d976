/** What requests say: keys, bodies, read levels, deadlines. Whatever is wrong is `InvalidRequest`. */
import { HoldfastError, isHoldfastError } from '../../core/errors.ts'
import type { Key } from '../../core/key-codec.ts'
import { parseKeySegment } from '../../core/key-segment.ts'
import { LIMITS } from '../../core/limits.ts'
import { parseWire, WireError, type Value } from '../../core/wire.ts'
import type { AnyTable, ReadLevel, ReadOptions, WriteOptions } from '../../table/handles.ts'
import { isHidden, unknownTable } from '../any-rows.ts'
import { invalid } from '../members.ts'
import type { HttpContext, HttpParts } from './parts.ts'

export { invalid }

const SLASH = '/'
const WHOLE_NUMBER = /^\d{1,9}$/
const PERCENT = '%'

/** The values of a header, named in lower case; undefined where there is none. */
export function headerOf(c: HttpContext, name: string): string | undefined {
  return c.env.headers.get(name) ?? undefined
}

/** The path as it was sent: whoever reads a part of it decodes it, once. */
export function rawPath(request: Request): string {
  const { url } = request
  const start = url.indexOf(SLASH, url.indexOf('://') + 3)
  const query = url.indexOf('?', start)
  const end = query < 0 ? url.indexOf('#', start) : query
  return end < 0 ? url.slice(start) : url.slice(start, end)
}

/** The path's part at `place`, decoded: 3 is the table of /v1/tables/:table, 5 the key of its row. */
export function pathPart(c: HttpContext, place: number): string {
  const { path } = c.req
  let start = 0
  for (let passed = 0; passed < place; passed++) start = path.indexOf(SLASH, start) + 1
  const end = path.indexOf(SLASH, start)
  return decoded('the path', end < 0 ? path.slice(start) : path.slice(start, end))
}

/** Strictly: what is no UTF-8 is refused, and not taken for other text. */
function decoded(what: string, text: string): string {
  if (!text.includes(PERCENT)) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(`${what}: ${text.slice(0, 100)} is not percent-encoded UTF-8`)
  }
}

/** The table that a request may see. Throws `UnknownTable`, for hidden ones too. */
export function tableOf(parts: HttpParts, name: string): AnyTable {
  if (isHidden(name)) throw unknownTable(parts.db, name)
  try {
    return parts.db.table(name)
  } catch (cause) {
    throw isHoldfastError(cause, 'UnknownTable') ? unknownTable(parts.db, name) : cause
  }
}

/** The table that the path names. */
export function tableIn(c: HttpContext, parts: HttpParts): AnyTable {
  return tableOf(parts, pathPart(c, 3))
}

/** Runs `read`, whose WireError is the request's fault. */
export function readWire<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof WireError) throw invalid(`${what}: ${cause.message}`)
    throw cause
  }
}

export function keyIn(c: HttpContext): Key {
  const segment = pathPart(c, 5)
  return readWire('the key in the path', () => parseKeySegment(segment))
}

/** The query's parameters. Throws `InvalidRequest` for one that is not in `known`. */
export function parametersOf(c: HttpContext, known: readonly string[]): Map<string, string[]> {
  const { url } = c.req.raw
  const start = url.indexOf('?')
  const given = new Map<string, string[]>()
  if (start < 0) return given
  const hash = url.indexOf('#', start)
  const text = url.slice(start + 1, hash < 0 ? undefined : hash)
  for (const part of text.split('&')) {
    if (part === '') continue
    const at = part.indexOf('=')
    const [name, value] = at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)]
    const key = decoded('the query', name.replaceAll('+', ' '))
    if (!known.includes(key)) throw invalid(unknownParameter(key, known))
    const values = given.get(key)
    const plain = decoded(key, value.replaceAll('+', ' '))
    if (values === undefined) given.set(key, [plain])
    else values.push(plain)
  }
  return given
}

/** For routes that take none. */
export function noParameters(c: HttpContext): void {
  if (c.req.raw.url.includes('?')) parametersOf(c, [])
}

function unknownParameter(name: string, known: readonly string[]): string {
  const there = known.length === 0 ? 'this route has none' : `there are: ${known.join(', ')}`
  return `there is no parameter ${JSON.stringify(name.slice(0, 100))}; ${there}`
}

/** The only value of a parameter. */
export function onlyOf(given: Map<string, string[]>, name: string): string | undefined {
  const values = given.get(name)
  if (values !== undefined && values.length > 1) throw invalid(`${name} is given twice`)
  return values?.[0]
}

/** A whole number from `least`. */
export function numberOf(
  given: Map<string, string[]>,
  name: string,
  least: number,
): number | undefined {
  const text = onlyOf(given, name)
  if (text === undefined) return undefined
  if (!WHOLE_NUMBER.test(text) || Number(text) < least) {
    throw invalid(`${name} is a whole number from ${least}`)
  }
  return Number(text)
}

/** Read level, token and deadline. */
export function readOptionsOf(c: HttpContext, parts: HttpParts): ReadOptions {
  const level = headerOf(c, 'holdfast-read-level')
  return {
    level: level === undefined ? undefined : levelOf(level),
    after: headerOf(c, 'holdfast-after'),
    deadlineMs: deadlineOf(c, parts),
  }
}

export function writeOptionsOf(c: HttpContext, parts: HttpParts): WriteOptions {
  return {
    idempotencyKey: headerOf(c, 'idempotency-key'),
    deadlineMs: deadlineOf(c, parts),
  }
}

function deadlineOf(c: HttpContext, parts: HttpParts): number | undefined {
  const given = headerOf(c, 'holdfast-deadline-ms')
  if (given === undefined) return undefined
  if (!WHOLE_NUMBER.test(given) || Number(given) === 0) {
    throw invalid('Holdfast-Deadline-Ms is a whole number of milliseconds above 0')
  }
  return Math.min(Number(given), parts.limits.deadlineMs)
}

/**
 * Runs `work` with a signal that is aborted at the request's deadline, and when its client goes away.
 * For work that takes more than one step; one row's reads and writes know their deadline themselves.
 */
export async function within<T>(
  c: HttpContext,
  parts: HttpParts,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadlineMs = deadlineOf(c, parts) ?? Math.min(LIMITS.deadlineMs, parts.limits.deadlineMs)
  const over = new AbortController()
  const cancel = parts.env.timers.after(
    deadlineMs,
    () => over.abort(new HoldfastError('DeadlineExceeded', `${deadlineMs} ms were not enough`)),
    'background',
  )
  const { signal: gone } = c.req.raw
  try {
    return await work(AbortSignal.any([gone, over.signal]))
  } catch (cause) {
    if (cause === gone.reason) {
      throw new HoldfastError('Cancelled', 'the client went away', { cause })
    }
    throw cause
  } finally {
    cancel()
  }
}

function levelOf(text: string): ReadLevel {
  if (text === 'linearizable' || text === 'session' || text === 'local') return text
  const staleness = /^max-staleness=(\d{1,9})$/.exec(text)
  if (staleness !== null) return { maxStalenessMs: Number(staleness[1]) }
  throw invalid(
    `Holdfast-Read-Level is linearizable, session, local or max-staleness=MS, not ${text}`,
  )
}

/** The body, in wire form. Throws `InvalidRequest`, `BodyTooLarge`. */
export async function bodyOf(c: HttpContext, limitBytes: number): Promise<Value> {
  const text = await textOf(c, limitBytes)
  if (text === '') throw invalid('there is no body; send JSON')
  refuseLongIntegers(text)
  return readWire('the body', () => parseWire(text))
}

function bodyTooLarge(limitBytes: number): HoldfastError {
  return new HoldfastError('BodyTooLarge', `the body has more than ${limitBytes} bytes`, {
    details: { limitBytes },
  })
}

const JSON_BODY = /^application\/(?:[\w.+-]+\+)?json\b/i
const UTF8 = new TextDecoder('utf-8', { fatal: true })

async function textOf(c: HttpContext, limitBytes: number): Promise<string> {
  const type = headerOf(c, 'content-type')
  if (type !== undefined && !JSON_BODY.test(type)) {
    throw invalid(`the body is ${type}; send application/json`, 415)
  }
  const coding = headerOf(c, 'content-encoding') ?? 'identity'
  if (coding.toLowerCase() !== 'identity') {
    throw invalid(`the body is coded as ${coding}; send it as it is`, 415)
  }
  const announced = headerOf(c, 'content-length')
  if (announced !== undefined && Number(announced) > limitBytes) throw bodyTooLarge(limitBytes)
  // Runtimes hold a body to its announced length; one without is counted as it comes.
  const bytes = await (announced === undefined
    ? counted(c.req.raw, limitBytes)
    : whole(c, Number(announced)))
  if (bytes.byteLength > limitBytes) throw bodyTooLarge(limitBytes)
  try {
    return UTF8.decode(bytes)
  } catch {
    throw invalid('the body is not UTF-8')
  }
}

/** Digits of a bigint in a body: a number is made of them in more than linear time. */
const BIGINT_CHARS = 4_096
/** What a body that has a longer one looks like: digits as such, or escaped. */
const MAY_BE_LONG = /[0-9]{4096}|\\u003/

function refuseLongIntegers(text: string): void {
  if (text.length <= BIGINT_CHARS || !MAY_BE_LONG.test(text)) return
  try {
    JSON.parse(text, (key, value: unknown) => {
      if (key !== '$bigint' || typeof value !== 'string' || value.length <= BIGINT_CHARS)
        return value
      throw invalid(`a bigint in a body has at most ${BIGINT_CHARS} characters`)
    })
  } catch (cause) {
    // What is no JSON is refused where it is read; what is nested too deep, here.
    if (cause instanceof SyntaxError) return
    throw cause instanceof RangeError ? invalid('the body is nested too deep') : cause
  }
}

function whole({ env, req }: HttpContext, length: number): Promise<ArrayBuffer | Uint8Array> {
  const { readBody } = env
  return (readBody === undefined ? req.raw.arrayBuffer() : readBody(length)).catch(broken)
}

async function counted({ body }: Request, limitBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  if (body === null) return new Uint8Array()
  const reader = (body as ReadableStream<Uint8Array>).getReader()
  for (let bytes = 0; ;) {
    const step = await reader.read().catch(broken)
    if (step.done) return Buffer.concat(chunks)
    bytes += step.value.byteLength
    if (bytes > limitBytes) {
      // What is still on its way is nobody's any more.
      reader.cancel().catch(() => undefined)
      throw bodyTooLarge(limitBytes)
    }
    chunks.push(step.value)
  }
}

function broken(cause: unknown): never {
  throw new HoldfastError('Cancelled', 'the body did not come whole', { cause })
}
