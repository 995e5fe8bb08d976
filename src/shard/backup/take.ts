/**
 * Takes a backup of one state of a store, which a snapshot holds while others write on. What it
 * reads is checked; what it writes is there once its manifest is.
 */
import { hex } from '../../core/bytes.ts'
import type { Env } from '../../core/env.ts'
import { HoldfastError } from '../../core/errors.ts'
import type { Position } from '../../log/log.ts'
import type { StoreReader } from '../../store/store.ts'
import { copyEntries, entriesKept } from './copy-entries.ts'
import { copyRows, type CopyOptions } from './copy-rows.ts'
import {
  BACKUP_FORMAT,
  encodeManifest,
  manifestName,
  newBackupId,
  type BackupKind,
  type Manifest,
  type Mark,
} from './manifest.ts'
import { PartWriter, type PartSink } from './part-codec.ts'
import { Pace, type StageOptions } from './progress.ts'
import { readState, tableDigests } from './table-digests.ts'

export interface TakeOptions extends StageOptions {
  readonly env: Env
  /** One state of a store. */
  readonly reader: StoreReader
  readonly sink: PartSink
  /** The clock before the state was: what was written later may not be in it. */
  readonly madeMs: number
  /** As in the manifest. Default 0. */
  readonly sequence?: number | undefined
  /** Where an increment would begin; undefined for a base. */
  readonly after?: Mark | undefined
  /** Makes a base as well. Default: only where an increment cannot be made. */
  readonly full?: boolean | undefined
}

/**
 * - `first`: there was none to go on from
 * - `asked`: it was asked for
 * - `trimmed`: entries since the one before it are no longer kept
 * - `other-history`: the one before it is of another history, as after a restore
 * - `damaged`: a manifest that is there cannot be read
 */
export type BaseReason = 'first' | 'asked' | 'trimmed' | 'other-history' | 'damaged'

export interface Taken {
  /** One, or an increment and then a base. */
  readonly manifests: readonly Manifest[]
  /** Why a base was made; undefined when none was. */
  readonly base?: BaseReason | undefined
}

/** Throws `StoreCorrupt` or `EntryCorrupt` when what is stored is not what was written. */
export async function takeBackup(options: TakeOptions): Promise<Taken> {
  const { reader, env, after, full } = options
  const state = readState(reader)
  if (state.shards === 0) {
    throw new HoldfastError('StoreCorrupt', 'there is no database yet: its log was not founded')
  }
  const pace = new Pace(env, options)
  pace.goOn()
  const backup = new Backup(options, { reader, state, pace })
  if (after === undefined) {
    return { manifests: [await backup.base()], base: full === true ? 'asked' : 'first' }
  }
  if (after.position > state.position) {
    if (after.entryChain !== undefined) {
      return { manifests: [await backup.base('startsAnew')], base: 'other-history' }
    }
    throw new HoldfastError(
      'InvalidArgument',
      `there is no position ${after.position} yet: this database is at ${state.position}`,
    )
  }
  const increment = await backup.increment(after)
  if (typeof increment === 'string') {
    const history = increment === 'other-history' ? 'startsAnew' : 'goesOn'
    return { manifests: [await backup.base(history)], base: increment }
  }
  if (full !== true) return { manifests: [increment] }
  return { manifests: [increment, await backup.base()], base: 'asked' }
}

class Backup {
  readonly #options: TakeOptions
  readonly #copy: Omit<CopyOptions, 'writer'>

  constructor(options: TakeOptions, copy: Omit<CopyOptions, 'writer'>) {
    this.#options = options
    this.#copy = copy
  }

  async base(history: 'goesOn' | 'startsAnew' = 'goesOn'): Promise<Manifest> {
    const { id, writer } = this.#begin('base')
    await copyRows({ ...this.#copy, writer })
    const parts = await writer.finish()
    return this.#seal({
      id,
      kind: 'base',
      parts,
      ...(history === 'startsAnew' && { startsAnew: true }),
    })
  }

  /** Or why there can be none. */
  async increment(after: Mark): Promise<Manifest | BaseReason> {
    const { id, writer } = this.#begin('increment')
    const copy = { ...this.#copy, writer }
    if (!entriesKept(copy, after.position)) return 'trimmed'
    const chain = await copyEntries(copy, after.position, after.entryChain)
    const parts = await writer.finish()
    // The parts that were written are no backup's: the next one removes them.
    if (chain !== undefined && chain !== hex(copy.state.entryChain)) return 'other-history'
    const { position, entryChain } = after
    return this.#seal({ id, kind: 'increment', from: { position, entryChain }, parts })
  }

  #begin(kind: BackupKind): { id: string; writer: PartWriter } {
    const { env, sink } = this.#options
    const id = newBackupId(env.random, kind, this.#copy.state.position)
    return { id, writer: new PartWriter(sink, id) }
  }

  async #seal(
    made: Pick<Manifest, 'id' | 'kind' | 'from' | 'startsAnew' | 'parts'>,
  ): Promise<Manifest> {
    const { reader, state } = this.#copy
    const { madeMs, sequence = 0, sink } = this.#options
    const manifest: Manifest = {
      format: BACKUP_FORMAT,
      ...made,
      identity: hex(state.identity),
      madeMs,
      sequence,
      to: markOf(state),
      shards: state.shards,
      tables: tableDigests(reader, state),
    }
    await sink.put(manifestName(made.id), encodeManifest(manifest))
    return manifest
  }
}

interface Chained {
  readonly position: Position
  readonly entryChain: Uint8Array
  readonly decisionChain: Uint8Array
  readonly timeMs: number
}

/** Where a history stands. */
export function markOf(state: Chained): Manifest['to'] {
  const { position, timeMs } = state
  const [entryChain, decisionChain] = [hex(state.entryChain), hex(state.decisionChain)]
  return { position, entryChain, decisionChain, timeMs }
}
