/**
 * Changes of definitions, online (S10). Declared tables are compared with what the log says. A new
 * index is pending at first, so that every write keeps it up; then it is filled for the rows there
 * were, by ordinary transactions, slice by slice; then an entry makes it ready, or takes it back and
 * names the rows that do not fit. Rows of an older version are rewritten the same way.
 *
 *   declared ──▶ define (pending) ──▶ rewrite rows ──▶ fill indexes ──▶ define (ready)
 *                                                   └─ rows do not fit ─▶ define (without), SchemaConflict
 *
 * A process that dies in between leaves the definition pending; the next one to open goes on.
 */
import { afterPrefix, ByteReader, copyBytes, equalBytes, type Bytes } from '../core/bytes.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { decodeKey, encodeKey, type Key } from '../core/key-codec.ts'
import {
  HIDDEN_TABLES,
  indexValue,
  keyOfRow,
  type IndexDefinition,
  type TableDefinition,
} from '../shard/definitions.ts'
import { ROW_KEY_AT, ROW_SPACE, tablePrefix } from '../shard/layout.ts'
import { tableNamed } from '../shard/log-state.ts'
import type { Node } from '../shard/node.ts'
import { decodeRow, rowVersionOf } from '../shard/row-codec.ts'
import { storedTotal } from '../shard/shard-stats.ts'
import { Draft, putOp, reindexOp, setUnique } from './strong/draft.ts'
import { LOST, untilWon } from './strong/retry.ts'
import { TableCore } from './strong/table-core.ts'
import { replacement } from './strong/updates.ts'
import { TTL_INDEX, type AnyDefinition, type DeclaredIndex } from './schema.ts'

/** Rows handled in one go, and offending rows listed at the most. */
const SLICE = 200
const OFFENDERS_MAX = 20

export interface SchemaProgress {
  readonly table: string
  readonly phase: 'rows' | 'indexes' | 'done'
  readonly done: number
  readonly total: number
}

/**
 * Makes the log's definition of `name` what was declared. Returns whether work on its rows is left.
 * Throws `InvalidSchema` for a change that cannot be made, `NewerFormat` for rows of a later version.
 */
export async function declareTable(
  node: Node,
  name: string,
  declared: AnyDefinition,
): Promise<boolean> {
  for (;;) {
    const current = tableNamed(node.loop.state, name)
    const wanted =
      current === undefined ? created(node, name, declared) : changed(node, current, declared)
    if (wanted === current) return hasWork(wanted)
    if (current !== undefined && declared.version > current.rowVersion) {
      await rehearse(node, current, declared)
    }
    const expect = current?.version ?? 0
    const { position, result } = await node.proposer.command({
      type: 'define',
      expect,
      definition: wanted,
    })
    await node.reached(position)
    if (result.ok) return hasWork(wanted)
    if (result.reason === 'limit')
      throw new HoldfastError('InvalidSchema', 'this database has as many tables as it may')
    // Somebody else changed it first: compare again.
  }
}

/**
 * Tries the rows' new version on every row there is, before anything is changed: a `migrate` that
 * throws, or makes rows that the schema refuses, leaves the table as it was.
 */
async function rehearse(
  node: Node,
  current: TableDefinition,
  declared: AnyDefinition,
): Promise<void> {
  const { migrate } = declared
  const core = new TableCore(node, current.name, declared)
  const offenders = await eachSlice(
    core,
    (slice) =>
      Promise.resolve(
        slice.flatMap(({ storeKey, stored }): Offender[] => {
          const version = rowVersionOf(stored)
          if (version >= declared.version) return []
          try {
            const before = decodeRow(storeKey, stored)
            const row = core.validate(migrate?.(before, version) ?? before)
            core.encode(row)
            if (!equalBytes(encodeKey(keyOfRow(current, row)), storeKey.subarray(ROW_KEY_AT))) {
              throw new HoldfastError('InvalidArgument', '`migrate` changed the key')
            }
            return []
          } catch (cause) {
            return [offender(storeKey, cause)]
          }
        }),
      ),
    () => undefined,
  )
  if (offenders.length > 0)
    throw conflict(
      core,
      `version ${declared.version} does not fit the rows; nothing was changed`,
      offenders,
    )
}

function hasWork(definition: TableDefinition): boolean {
  return (
    definition.oldestRowVersion < definition.rowVersion ||
    definition.indexes.some(({ state }) => state === 'pending')
  )
}

/** Does the work that a definition leaves. Throws `SchemaConflict` when rows do not fit. */
export async function finishTable(
  core: TableCore,
  report: (progress: SchemaProgress) => void,
): Promise<void> {
  const start = core.definition
  const total = storedTotal(core.node.store, start.id, core.node.shards).rows
  if (start.oldestRowVersion < start.rowVersion) {
    const offenders = await eachSlice(
      core,
      (slice) => rewriteSlice(core, slice),
      (done) => report({ table: core.name, phase: 'rows', done, total }),
    )
    if (offenders.length > 0)
      throw conflict(core, 'rows cannot be brought to the new version', offenders)
    await redefine(core, (definition) => ({ ...definition, oldestRowVersion: start.rowVersion }))
  }
  const pending = core.definition.indexes.filter(({ state }) => state === 'pending')
  if (pending.length > 0) {
    const offenders = await eachSlice(
      core,
      (slice) => fillSlice(core, pending, slice),
      (done) => report({ table: core.name, phase: 'indexes', done, total }),
    )
    const ids = new Set(pending.map(({ id }) => id))
    if (offenders.length > 0) {
      await redefine(core, (definition) => ({
        ...definition,
        indexes: definition.indexes.filter(({ id }) => !ids.has(id)),
      }))
      throw conflict(
        core,
        `index ${pending.map((index) => index.name).join(', ')} does not fit the rows`,
        offenders,
      )
    }
    await redefine(core, (definition) => ({
      ...definition,
      indexes: definition.indexes.map((index) =>
        ids.has(index.id) ? { ...index, state: 'ready' } : index,
      ),
    }))
  }
  report({ table: core.name, phase: 'done', done: total, total })
}

/** Changes the definition as it is now, whoever else does. */
export async function redefine(
  core: TableCore,
  change: (definition: TableDefinition) => TableDefinition,
): Promise<void> {
  const { node } = core
  for (;;) {
    const current = core.definition
    const definition = { ...change(current), version: current.version + 1 }
    const { position, result } = await node.proposer.command({
      type: 'define',
      expect: current.version,
      definition,
    })
    await node.reached(position)
    if (result.ok) return
  }
}

function created(node: Node, name: string, declared: AnyDefinition): TableDefinition {
  const base: TableDefinition = {
    id: freshId(node, 0),
    name,
    version: 1,
    kind: 'strong',
    key: declared.key,
    partition: declared.partition,
    indexes: [],
    nextIndex: 1,
    ttl: declared.ttl,
    rowVersion: declared.version,
    oldestRowVersion: declared.version,
    validated: isValidated(declared),
  }
  return wantedIndexes(declared).reduce(
    (definition, index) => withIndex(node, definition, index, 'ready'),
    base,
  )
}

function changed(node: Node, current: TableDefinition, declared: AnyDefinition): TableDefinition {
  const { name } = current
  if (current.key.join() !== declared.key.join() || current.partition !== declared.partition) {
    throw new HoldfastError(
      'InvalidSchema',
      `table ${name} has the key ${current.key.join(', ')} (partition ${current.partition}); a key cannot change: make a new table and copy the rows`,
    )
  }
  if (declared.version < current.rowVersion) {
    throw new HoldfastError(
      'NewerFormat',
      `rows of ${name} have version ${current.rowVersion}; this code declares ${declared.version}`,
      { details: { table: name, version: current.rowVersion, declares: declared.version } },
    )
  }
  let wanted = current
  for (const index of wantedIndexes(declared)) {
    const known = wanted.indexes.find((other) => other.name === index.name)
    if (known !== undefined && isSameIndex(known, index)) continue
    const others = wanted.indexes.filter((other) => other !== known)
    wanted = withIndex(node, { ...wanted, indexes: others }, index, 'pending')
  }
  if (declared.version > current.rowVersion) {
    if (declared.migrate === undefined) {
      throw new HoldfastError(
        'InvalidSchema',
        `${name}: version ${declared.version} needs a \`migrate\` from ${current.rowVersion}`,
      )
    }
    wanted = { ...wanted, rowVersion: declared.version }
  }
  const validated = isValidated(declared)
  if (validated !== current.validated) wanted = { ...wanted, validated }
  if (declared.ttl !== current.ttl) wanted = { ...wanted, ttl: declared.ttl }
  if (declared.ttl === '' && current.ttl !== '') {
    // Its index goes with the time to live.
    wanted = { ...wanted, indexes: wanted.indexes.filter((index) => index.name !== TTL_INDEX) }
  }
  return wanted === current ? current : { ...wanted, version: current.version + 1 }
}

function isValidated(declared: AnyDefinition): boolean {
  return declared.schema !== undefined && !('unvalidated' in declared.schema)
}

function wantedIndexes(declared: AnyDefinition): readonly DeclaredIndex[] {
  if (declared.ttl === '') return declared.indexes
  return [...declared.indexes, { name: TTL_INDEX, fields: [declared.ttl], unique: false }]
}

function isSameIndex(known: IndexDefinition, index: DeclaredIndex): boolean {
  return known.unique === index.unique && known.fields.join() === index.fields.join()
}

function withIndex(
  node: Node,
  definition: TableDefinition,
  { name, fields, unique }: DeclaredIndex,
  state: IndexDefinition['state'],
): TableDefinition {
  const id = definition.nextIndex
  const hidden = unique ? freshId(node, HIDDEN_TABLES + 1) : 0
  const index: IndexDefinition = { id, name, fields, unique, hidden, state }
  return { ...definition, nextIndex: id + 1, indexes: [...definition.indexes, index] }
}

/** A random id at or above `from`, below the end of its half, that no table has. */
function freshId(node: Node, from: number): number {
  const used = new Set<number>()
  for (const definition of node.loop.state.definitions.values()) {
    used.add(definition.id)
    for (const { hidden } of definition.indexes) used.add(hidden)
  }
  for (;;) {
    const id = from + 1 + (new ByteReader(node.env.random.bytes(4)).u32() % (HIDDEN_TABLES - 2))
    if (!used.has(id)) return id
  }
}

interface StoredRow {
  readonly storeKey: Bytes
  readonly stored: Bytes
}

interface Offender {
  readonly key: Key
  readonly reason: string
}

/** Walks the rows there are, a slice at a time, each as it then is; returns the rows that do not fit. */
async function eachSlice(
  core: TableCore,
  run: (slice: readonly StoredRow[]) => Promise<Offender[]>,
  report: (done: number) => void,
): Promise<Offender[]> {
  const offenders: Offender[] = []
  const head = tablePrefix(ROW_SPACE, core.definition.id)
  const lt = afterPrefix(head)
  let gte: Bytes = head
  for (let done = 0; ;) {
    const slice: StoredRow[] = []
    core.node.store.scan({ gte, lt, limit: SLICE }, (key, value) => {
      slice.push({ storeKey: copyBytes(key), stored: copyBytes(value) })
    })
    offenders.push(...(await run(slice)))
    done += slice.length
    report(done)
    const last = slice.at(-1)
    if (slice.length < SLICE || last === undefined || offenders.length >= OFFENDERS_MAX)
      return offenders
    gte = Buffer.concat([last.storeKey, Uint8Array.of(0)])
  }
}

async function rewriteSlice(core: TableCore, slice: readonly StoredRow[]): Promise<Offender[]> {
  const { rowVersion } = core.definition
  const old = slice.filter(({ stored }) => rowVersionOf(stored) < rowVersion)
  const results = await Promise.all(
    old.map(({ storeKey }) => offenderOf(storeKey, () => rewriteRow(core, storeKey))),
  )
  return results.filter((offender) => offender !== undefined)
}

/** The row as this version's code makes it, if it still is of an older version. */
function rewriteRow(core: TableCore, storeKey: Bytes): Promise<void> {
  return untilWon(core.node, `bringing ${core.name} to a new version`, {}, async () => {
    const definition = core.definition
    const ref = core.node.ref(definition, storeKey.subarray(ROW_KEY_AT))
    const draft = new Draft(core.node)
    const stored = draft.read(ref)
    if (stored === undefined || rowVersionOf(stored) >= definition.rowVersion) return undefined
    const before = decodeRow(storeKey, stored)
    const version = rowVersionOf(stored)
    const row = replacement(core, definition, ref, core.code.migrate?.(before, version) ?? before)
    setUnique(draft, definition, ref.key, before, row)
    draft.set(putOp(definition, ref, row, core.encode(row)), ref.storeKey)
    const fate = await core.node.proposer.propose(draft.transaction())
    return fate.verdict === 'committed' ? undefined : LOST
  })
}

async function fillSlice(
  core: TableCore,
  pending: readonly IndexDefinition[],
  slice: readonly StoredRow[],
): Promise<Offender[]> {
  const results = await Promise.all(
    slice.map(({ storeKey }) => offenderOf(storeKey, () => fillRow(core, pending, storeKey))),
  )
  return results.filter((offender) => offender !== undefined)
}

/** Enters one row into the pending indexes, as the row is at the op's own place in the log. */
function fillRow(
  core: TableCore,
  pending: readonly IndexDefinition[],
  storeKey: Bytes,
): Promise<void> {
  return untilWon(core.node, `building indexes of ${core.name}`, {}, async () => {
    const definition = core.definition
    const ref = core.node.ref(definition, storeKey.subarray(ROW_KEY_AT))
    const draft = new Draft(core.node)
    const stored = draft.read(ref)
    if (stored === undefined) return undefined
    const row = decodeRow(storeKey, stored)
    for (const index of pending) indexValue(definition, index, row)
    const unique = pending.filter((index) => index.unique)
    setUnique(draft, { ...definition, indexes: unique }, ref.key, undefined, row)
    if (unique.length < pending.length) draft.set(reindexOp(definition, ref, row), ref.storeKey)
    if (draft.empty) return undefined
    const fate = await core.node.proposer.propose(draft.transaction())
    return fate.verdict === 'committed' ? undefined : LOST
  })
}

async function offenderOf(
  storeKey: Bytes,
  run: () => Promise<void>,
): Promise<Offender | undefined> {
  try {
    await run()
    return undefined
  } catch (cause) {
    if (isHoldfastError(cause) && !isOfTheRow(cause)) throw cause
    return offender(storeKey, cause)
  }
}

/** Whether a refusal says something of the row: not of the database, the load or other writers. */
function isOfTheRow(refusal: HoldfastError): boolean {
  if (refusal.code === 'Conflict') return false
  return refusal.kind === 'rejected' || refusal.kind === 'conflict'
}

function offender(storeKey: Bytes, cause: unknown): Offender {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return { key: decodeKey(storeKey, ROW_KEY_AT), reason }
}

function conflict(core: TableCore, what: string, offenders: readonly Offender[]): HoldfastError {
  const listed = offenders.slice(0, OFFENDERS_MAX)
  const reasons = listed.slice(0, 3).map(({ reason }) => reason)
  return new HoldfastError('SchemaConflict', `${core.name}: ${what}: ${reasons.join('; ')}`, {
    details: { table: core.name, rows: listed },
  })
}
