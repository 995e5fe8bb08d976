/**
 * Queries inside a transaction: rows of flushed state, in slices, merged with the transaction's own
 * writes. Each slice's range goes into the read set, cut where the slice ended, and for an index the
 * rows returned too; so a commit sees no phantom (S11).
 */
import { binaryString, compareBytes, concatBytes, copyBytes, type Bytes } from '../../core/bytes.ts'
import { turn } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import { keyEnd } from '../../core/key-codec.ts'
import { PREFIX_BYTES } from '../../core/limits.ts'
import { prefixOf } from '../../log/entry.ts'
import { indexValue } from '../../shard/definitions.ts'
import { INDEX_VALUE_AT, ROW_KEY_AT } from '../../shard/layout.ts'
import type { Row } from '../../shard/row-codec.ts'
import type { Page, Rows } from '../handles.ts'
import { planWalk, readSlice, type Found, type LooseQuery, type Walk } from './query.ts'
import type { TableCore } from './table-core.ts'
import type { StrongTransaction } from './transaction.ts'

const SLICE = 256
const HIGHEST: Bytes = new Uint8Array(PREFIX_BYTES).fill(0xff)

export class TransactionRows implements Rows<Row> {
  readonly #transaction: StrongTransaction
  readonly #core: TableCore
  readonly #query: LooseQuery

  constructor(transaction: StrongTransaction, core: TableCore, query: LooseQuery) {
    this.#transaction = transaction
    this.#core = core
    this.#query = query
  }

  [Symbol.asyncIterator](): AsyncIterator<Row> {
    const rows = this.#rows(this.#query.limit)
    return {
      next: () => this.#transaction.running(rows.next()),
      return: () => rows.return(undefined),
    }
  }

  toArray(): Promise<Row[]> {
    return this.#transaction.running(this.#collect(this.#query.limit))
  }

  count(): Promise<number> {
    const rows = this.#collect(this.#query.limit)
    return this.#transaction.running(rows.then(({ length }) => length))
  }

  first(): Promise<Row | undefined> {
    const rows = this.#collect(Math.min(1, this.#query.limit ?? 1))
    return this.#transaction.running(rows.then(([row]) => row))
  }

  page(): Promise<Page<Row>> {
    return Promise.reject(
      new HoldfastError('Unsupported', 'a transaction has no cursors; iterate the query instead'),
    )
  }

  async #collect(limit: number | undefined): Promise<Row[]> {
    const rows: Row[] = []
    for await (const row of this.#rows(limit)) rows.push(row)
    return rows
  }

  async *#rows(limit: number | undefined): AsyncGenerator<Row, undefined, undefined> {
    const { node } = this.#core
    this.#transaction.assertOpen()
    const walk = planWalk(this.#core, { ...this.#query, limit })
    const direction = walk.reverse ? -1 : 1
    const own = ownEntries(this.#transaction, this.#core, walk)
    let left = walk.limit
    let after: Bytes | undefined
    for (let ended = false; !ended && left > 0;) {
      // What is dropped is swept away behind it: a walk over what is left would be cut short.
      this.#transaction.draft.noteDefinition(walk.definition)
      if (!this.#transaction.draft.isCurrent()) {
        throw new HoldfastError('Conflict', `the definition of ${this.#core.name} changed`)
      }
      // Own deletes may hide what is read: the slice is not cut to what is left.
      const { reader } = this.#transaction.draft
      const slice = readSlice(this.#core, reader, walk, after, SLICE)
      ended = slice.length < SLICE
      const last = slice.at(-1)?.at
      noteRange(this.#transaction, walk, after, ended ? undefined : last)
      after = last
      for (const found of slice) {
        while (
          own.added[0] !== undefined &&
          compareBytes(own.added[0].at, found.at) * direction < 0
        ) {
          yield (own.added.shift() as Found).row
          if (--left <= 0) return
        }
        if (own.replaced.has(binaryString(found.storeKey))) continue
        if (walk.index !== undefined) noteRow(this.#transaction, this.#core, found)
        yield found.row
        if (--left <= 0) return
      }
      if (!ended) await turn(node.env)
    }
    for (const { row } of own.added) {
      if (left-- <= 0) return
      yield row
    }
  }
}

/** The transaction's own rows that the walk meets, in its order, and which stored rows they hide. */
function ownEntries(
  transaction: StrongTransaction,
  core: TableCore,
  walk: Walk,
): { added: Found[]; replaced: Set<string> } {
  const added: Found[] = []
  const replaced = new Set<string>()
  for (const [name, { storeKey, row }] of transaction.ownRows(core)) {
    replaced.add(name)
    if (row === undefined) continue
    const at = placeOf(walk, storeKey, row)
    if (at === undefined || compareBytes(at, walk.gte) < 0) continue
    if (walk.lt !== undefined && compareBytes(at, walk.lt) >= 0) continue
    added.push({ at, storeKey, row })
  }
  const direction = walk.reverse ? -1 : 1
  added.sort((a, b) => compareBytes(a.at, b.at) * direction)
  return { added, replaced }
}

/** Where a row stands in what is walked over. */
function placeOf(walk: Walk, storeKey: Bytes, row: Row): Bytes | undefined {
  const { index, definition } = walk
  if (index === undefined) return storeKey
  const value = indexValue(definition, index, row)
  if (value === undefined) return undefined
  const head = walk.gte.subarray(0, index.unique ? ROW_KEY_AT : INDEX_VALUE_AT)
  return index.unique
    ? concatBytes(head, value)
    : concatBytes(head, value, storeKey.subarray(ROW_KEY_AT))
}

function noteRange(
  transaction: StrongTransaction,
  walk: Walk,
  after: Bytes | undefined,
  last: Bytes | undefined,
): void {
  const { definition, index, reverse } = walk
  const plain = index === undefined || index.unique
  const head = plain ? ROW_KEY_AT : INDEX_VALUE_AT
  const start = (reverse ? last : after) ?? walk.gte
  const end = (reverse ? after : last) ?? walk.lt
  // Entries are told to the window by their value alone: another row's entry of the value at which
  // a reverse slice ended may lie before it or behind it.
  const lowEnd = plain || start === walk.gte ? start.length : keyEnd(start, head)
  const inside =
    end !== undefined && compareBytes(end.subarray(0, head), walk.gte.subarray(0, head)) === 0
  transaction.draft.noteRange({
    kind: 'range',
    table: index?.unique === true ? index.hidden : definition.id,
    index: plain ? 0 : index.id,
    low: copyBytes(prefixOf(start.subarray(head, lowEnd))),
    high: inside ? copyBytes(prefixOf(end.subarray(head))) : HIGHEST,
    at: [transaction.draft.readPosition],
  })
}

function noteRow(transaction: StrongTransaction, core: TableCore, found: Found): void {
  transaction.draft.note(core.node.ref(core.definition, found.storeKey.subarray(ROW_KEY_AT)))
}
