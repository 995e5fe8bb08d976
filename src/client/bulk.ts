/** Many rows, each on its own, in requests of a bounded size. */
import type { HoldfastError } from '../core/holdfast-error.ts'
import { isHoldfastError } from '../core/holdfast-error.ts'
import type { Value } from '../core/wire.ts'
import type { CallOptions, RowResult } from '../table/handles.ts'
import { valueText } from './arguments.ts'
import { lostError, type Transport } from './transport.ts'
import { problemError } from './problem.ts'

export type BulkKind = 'insert' | 'put' | 'delete'

/** Characters and rows of one request: far below what a server takes, enough to fill its commits. */
const CHUNK_CHARS = 512 * 1024
const CHUNK_ROWS = 1_000

interface Item {
  readonly place: number
  readonly text: string
}

type Told = { readonly ok: true } | { readonly ok: false; readonly problem: Value }

/** Results in the items' order: what is wrong with one, and a request that fails, stop no other. */
export async function bulk<T>(
  transport: Transport,
  path: string,
  kind: BulkKind,
  items: Iterable<unknown>,
  check: (item: unknown) => unknown,
  options: CallOptions,
): Promise<RowResult<T>[]> {
  const results: RowResult<T>[] = []
  let chunk: Item[] = []
  let chars = 0
  const send = async (): Promise<void> => {
    if (chunk.length === 0) return
    const sent = chunk
    chunk = []
    chars = 0
    const body = `{"${kind}":[${sent.map(({ text }) => text).join(',')}]}`
    const told = await tellOf(transport, path, body, options)
    for (const [i, { place }] of sent.entries()) results[place] = resultOf<T>(told, i)
  }
  let place = 0
  for (const item of items) {
    try {
      check(item)
      const text = valueText(item)
      if (chars + text.length > CHUNK_CHARS || chunk.length === CHUNK_ROWS) await send()
      chunk.push({ place, text })
      chars += text.length
    } catch (error) {
      results[place] = { ok: false, error: error as HoldfastError }
    }
    place++
  }
  await send()
  return results
}

async function tellOf(
  transport: Transport,
  path: string,
  body: string,
  options: CallOptions,
): Promise<readonly Told[] | HoldfastError> {
  const headers = { prefer: 'return=representation' }
  const call = { method: 'POST', path, body, headers, writes: true }
  try {
    const { value } = await transport.call(call, transport.terms(options))
    return (value as { results?: readonly Told[] } | undefined)?.results ?? []
  } catch (cause) {
    if (isHoldfastError(cause)) return cause
    throw cause
  }
}

function resultOf<T>(told: readonly Told[] | HoldfastError, place: number): RowResult<T> {
  if (isHoldfastError(told)) return { ok: false, error: told }
  const result = told[place]
  if (result?.ok === true) {
    const { ok: _, ...value } = result
    return { ok: true, value: value as T }
  }
  const error = problemError(result?.problem)?.error
  return { ok: false, error: error ?? lostError(true, undefined, 'the row has no result') }
}
