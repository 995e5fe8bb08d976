/**
 * Transactions over any rows of any strong tables: optimistic, all or nothing, strictly
 * serializable. Reads see flushed state and the transaction's own writes; what was read goes into
 * the commit as its condition (S4).
 */
import { binaryString, type Bytes } from '../../core/bytes.ts'
import { CallPromise } from '../../core/call-promise.ts'
import { HoldfastError } from '../../core/errors.ts'
import { encodeKey, type Key } from '../../core/key-codec.ts'
import { decodeValue, encodeValue, type Value } from '../../core/value-codec.ts'
import type { Op } from '../../log/entry.ts'
import { coveredFields, type TableDefinition } from '../../shard/definitions.ts'
import { modify, touchedFields, type Modification } from '../../shard/modification.ts'
import type { RowRef } from '../../shard/node.ts'
import { BODY_HEADER_BYTES, type Row } from '../../shard/row-codec.ts'
import { deleteOp, hasUnique, modifyOp, putOp, rowBefore, setUnique, type Draft } from './draft.ts'
import { alreadyExists, notFound } from './refusals.ts'
import type { Prepared, TableCore } from './table-core.ts'
import { replacement } from './updates.ts'

export class StrongTransaction {
  readonly draft: Draft
  #closed = false
  /** Calls that were refused, or run for more than a step: see `assertFinished`. */
  readonly #calls = new Set<CallPromise<unknown>>()

  constructor(draft: Draft) {
    this.draft = draft
  }

  /** After its function returned, a transaction's handles do nothing any more. */
  close(): void {
    this.#closed = true
  }

  assertOpen(): void {
    if (this.#closed) {
      throw new HoldfastError(
        'TransactionClosed',
        'this transaction is over; its handles cannot be used',
      )
    }
  }

  /** A call of the transaction's function that is done in one step. */
  call<T>(run: () => T): Promise<T> {
    try {
      return Promise.resolve(run())
    } catch (cause) {
      const call = new CallPromise<T>((_, reject) => reject(cause))
      call.refusal = { cause }
      this.#track(call)
      return call
    }
  }

  /** A call that takes more than a step. */
  running<T>(result: Promise<T>): Promise<T> {
    const call = new CallPromise<T>((resolve, reject) => void result.then(resolve, reject))
    this.#track(call)
    return call
  }

  /** Nothing that comes behind the function's return is the transaction's any more. */
  #track(call: CallPromise<unknown>): void {
    if (this.#closed) return
    this.#calls.add(call)
    call.whenSettled(
      () => this.#calls.delete(call),
      (cause) => (call.refusal = { cause }),
    )
  }

  /**
   * What was called counts, awaited or not. So throws what was thrown to nobody, and
   * `TransactionClosed` when a call is still running, for the function that has returned.
   */
  assertFinished(): void {
    for (const call of this.#calls) {
      if (call.refusal !== undefined) {
        if (call.taken) continue
        throw call.refusal.cause
      }
      throw new HoldfastError(
        'TransactionClosed',
        'a query was still running when the function of its transaction returned; await it',
      )
    }
  }

  /** The row as the transaction sees it. */
  get(core: TableCore, key: Key): Row | undefined {
    this.assertOpen()
    const definition = core.definition
    return this.read(core, definition, this.draft.node.refOfKey(definition, key))
  }

  read(core: TableCore, definition: TableDefinition, ref: RowRef): Row | undefined {
    this.draft.noteDefinition(definition)
    const own = this.draft.ops.get(binaryString(ref.storeKey))
    if (own?.kind === 'put') return decodeValue(own.body, BODY_HEADER_BYTES) as Row
    if (own?.kind === 'delete') return undefined
    const stored = this.draft.read(ref)
    const row = stored === undefined ? undefined : core.decode(definition, ref.storeKey, stored)
    if (own === undefined) return row
    // Its own stateful ops become a plain write, now that their outcome is looked at.
    return this.#resolve(core, definition, ref, row, own)
  }

  put(core: TableCore, input: unknown, expect: 'absent' | 'any'): Row {
    this.assertOpen()
    return this.putPrepared(core, core.prepare(input), expect)
  }

  putPrepared(core: TableCore, prepared: Prepared, expect: 'absent' | 'any'): Row {
    core.assertDurable()
    const { definition, row, key, ref, value } = prepared
    const looks = expect === 'absent' || hasUnique(definition)
    const before = looks ? this.read(core, definition, ref) : undefined
    if (expect === 'absent' && before !== undefined) throw alreadyExists(core.name, key)
    this.#write(definition, ref, row, value)
    return row
  }

  update(core: TableCore, key: Key, change: (row: Row) => unknown): Row {
    this.assertOpen()
    core.assertDurable()
    const definition = core.definition
    const ref = this.draft.node.refOfKey(definition, key)
    const before = this.read(core, definition, ref)
    if (before === undefined) throw notFound(core.name, key)
    const changed = change(structuredCopy(core, before))
    if (changed === undefined) return before
    const row = replacement(core, definition, ref, changed)
    this.#write(definition, ref, row, core.encode(row))
    return row
  }

  delete(core: TableCore, key: Key): boolean {
    this.assertOpen()
    core.assertDurable()
    const definition = core.definition
    const ref = this.draft.node.refOfKey(definition, key)
    const before = this.read(core, definition, ref)
    if (before === undefined) return false
    if (hasUnique(definition)) {
      setUnique(this.draft, definition, ref.key, rowBefore(this.draft, ref), undefined)
    }
    this.draft.set(deleteOp(ref), ref.storeKey)
    return true
  }

  modify(core: TableCore, key: Key, modification: Modification): void {
    this.assertOpen()
    core.assertDurable()
    checkElements(core, modification)
    const definition = core.definition
    const ref = this.draft.node.refOfKey(definition, key)
    checkModification(core, definition, key, modification)
    const own = this.draft.ops.get(binaryString(ref.storeKey))
    if (own === undefined && !needsItsRow(definition, modification)) {
      this.draft.set(modifyOp(ref, encodeValue(modification as Value)), ref.storeKey)
      return
    }
    // Behind a write of its own, or where apply cannot do it: evaluated here.
    const before = this.read(core, definition, ref)
    const outcome = modify(before, modification)
    if (!outcome.ok) return
    const row = core.validate(outcome.row)
    this.#write(definition, ref, row, core.encode(row))
  }

  /** Rows of `table` that the transaction itself wrote: undefined where it deleted. */
  ownRows(
    core: TableCore,
  ): Map<string, { readonly storeKey: Bytes; readonly row: Row | undefined }> {
    const definition = core.definition
    const rows = new Map<string, { storeKey: Bytes; row: Row | undefined }>()
    for (const [name, op] of [...this.draft.ops]) {
      if (op.table !== definition.id) continue
      const ref = this.draft.node.ref(definition, op.key)
      rows.set(name, { storeKey: ref.storeKey, row: this.read(core, definition, ref) })
    }
    return rows
  }

  #write(definition: TableDefinition, ref: RowRef, row: Row, value: Bytes): void {
    // Made first: a row that no index can hold leaves the draft as it was.
    const made = putOp(definition, ref, row, value)
    if (hasUnique(definition)) {
      setUnique(this.draft, definition, ref.key, rowBefore(this.draft, ref), row)
    }
    this.draft.set(made, ref.storeKey)
  }

  #resolve(
    core: TableCore,
    definition: TableDefinition,
    ref: RowRef,
    row: Row | undefined,
    own: Op,
  ): Row | undefined {
    const outcome = modify(row, decodeValue(own.body) as Modification)
    if (!outcome.ok) {
      this.draft.ops.delete(binaryString(ref.storeKey))
      return row
    }
    this.#write(definition, ref, outcome.row, core.encode(outcome.row))
    return outcome.row
  }
}

/**
 * Whether a modification is evaluated by the caller, who then reads the row: a new row needs its
 * index entries, and a row of an older version this code's `migrate`, which apply does not have.
 */
export function needsItsRow(definition: TableDefinition, modification: Modification): boolean {
  if (definition.oldestRowVersion < definition.rowVersion) return true
  return modification.create !== undefined && definition.indexes.length > 0
}

/** Throws `IndexedField` for fields that only `update` may change, and for what cannot be stored. */
export function checkElements(core: TableCore, { append = {} }: Modification): void {
  for (const [field, elements] of Object.entries(append as Record<string, unknown>)) {
    if (Array.isArray(elements)) continue
    throw new HoldfastError('InvalidArgument', `${core.name}: append to ${field} takes an array`)
  }
}

export function checkModification(
  core: TableCore,
  definition: TableDefinition,
  key: Key,
  modification: Modification,
): void {
  const covered = coveredFields(definition)
  const field = touchedFields(modification).find((name) => covered.has(name))
  if (field !== undefined) {
    throw new HoldfastError(
      'IndexedField',
      `${core.name}: field ${field} is part of the key, of an index or the time to live`,
      {
        details: { table: core.name, field },
      },
    )
  }
  if (modification.create === undefined) return
  const prepared = core.prepare(modification.create)
  if (Buffer.compare(prepared.ref.key, encodeKey(key)) !== 0) {
    throw new HoldfastError('InvalidArgument', `${core.name}: the row to create has another key`)
  }
}

function structuredCopy(core: TableCore, row: Row): Row {
  return decodeValue(core.encode(row)) as Row
}
