/**
 * Rows past their time to live, and idempotency keys past their keeping, are removed in the
 * background by ordinary deletes: it is the log that says when a row is gone, never a reader's clock.
 */
import { afterPrefix, copyBytes, type Bytes } from '../core/bytes.ts'
import type { Cancel } from '../core/env.ts'
import { isHoldfastError } from '../core/errors.ts'
import { IDEMPOTENCY_DEFINITION, IDEMPOTENCY_TABLE, keyOfRow } from '../shard/definitions.ts'
import { ROW_KEY_AT, ROW_SPACE, tablePrefix } from '../shard/layout.ts'
import type { Node } from '../shard/node.ts'
import { decodeRow, type Row } from '../shard/row-codec.ts'
import { deleteOp, Draft } from './strong/draft.ts'
import { IDEMPOTENCY_KEPT_MS } from './strong/idempotency.ts'
import { planWalk, readSlice } from './strong/query.ts'
import type { TableCore } from './strong/table-core.ts'
import type { Transactor } from './strong/transactor.ts'
import type { Problems } from './problems.ts'
import { TTL_INDEX } from './schema.ts'

const ROUND_MS = 1_000
/** Rounds between two looks at idempotency keys. */
const KEYS_EVERY = 600
const SLICE = 256

export class Expiry {
  readonly #node: Node
  readonly #transactor: Transactor
  readonly #cores: () => Iterable<TableCore>
  readonly #problems: Problems
  #cancel: Cancel = () => undefined
  #rounds = 0
  #stopped = false

  constructor(
    node: Node,
    transactor: Transactor,
    problems: Problems,
    cores: () => Iterable<TableCore>,
  ) {
    this.#node = node
    this.#transactor = transactor
    this.#problems = problems
    this.#cores = cores
  }

  start(): void {
    if (this.#stopped) return
    this.#cancel = this.#node.env.timers.after(ROUND_MS, () => void this.#round(), 'background')
  }

  async #round(): Promise<void> {
    await this.run(this.#rounds++ % KEYS_EVERY === 0)
    // A node that halted has no upkeep any more.
    if (this.#node.loop.halted === undefined) this.start()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /**
   * One round now. Returns what failed, told to `problems` as well: one table's does not keep others
   * from theirs, nor the next round from trying again.
   */
  async run(keysToo: boolean): Promise<unknown[]> {
    const failures: unknown[] = []
    for (const core of this.#cores()) {
      await this.#attempt(core.name, failures, () => this.#expire(core))
    }
    if (keysToo) await this.#attempt(undefined, failures, () => this.#forgetKeys())
    return failures
  }

  async #attempt(
    table: string | undefined,
    failures: unknown[],
    run: () => Promise<void>,
  ): Promise<void> {
    if (this.#stopped) return
    try {
      await run()
      this.#problems.settled('expiry', table)
    } catch (cause) {
      // Dropped meanwhile: there is nothing left to expire.
      if (isHoldfastError(cause, 'UnknownTable')) return
      failures.push(cause)
      this.#problems.failed('expiry', table, cause)
    }
  }

  async #expire(core: TableCore): Promise<void> {
    const { ttl, indexes } = core.definition
    if (indexes.find(({ name }) => name === TTL_INDEX)?.state !== 'ready') return
    const now = new Date(this.#node.env.clock.wallMs())
    for (;;) {
      const walk = planWalk(core, { index: TTL_INDEX, lte: now, limit: SLICE })
      const found = readSlice(core, this.#node.store, walk, undefined, SLICE)
      const done = await Promise.all(
        found.map(({ row }) =>
          this.#transactor.transact({}, (tx) => {
            const key = keyOfRow(core.definition, row)
            const current = tx.get(core, key)
            // Whoever touched it meanwhile keeps it.
            return isExpired(current, ttl, now) && tx.delete(core, key)
          }),
        ),
      )
      const gone = done.filter(({ value }) => value).length
      if (found.length < SLICE || gone === 0 || this.#stopped) return
    }
  }

  async #forgetKeys(): Promise<void> {
    const { store, loop, proposer } = this.#node
    const before = loop.state.timeMs - IDEMPOTENCY_KEPT_MS
    const head = tablePrefix(ROW_SPACE, IDEMPOTENCY_TABLE)
    for (let gte: Bytes = head; !this.#stopped;) {
      const old: Bytes[] = []
      let last: Bytes | undefined
      const seen = store.scan({ gte, lt: afterPrefix(head), limit: SLICE }, (key, value) => {
        last = copyBytes(key)
        if ((decodeRow(last, value)['timeMs'] as number) < before) old.push(last)
      })
      for (const storeKey of old) {
        const draft = new Draft(this.#node)
        const ref = this.#node.ref(IDEMPOTENCY_DEFINITION, storeKey.subarray(ROW_KEY_AT))
        draft.note(ref)
        draft.set(deleteOp(ref), storeKey)
        await proposer.propose(draft.transaction())
      }
      if (seen < SLICE || last === undefined) break
      gte = Buffer.concat([last, Uint8Array.of(0)])
    }
  }
}

function isExpired(row: Row | undefined, field: string, now: Date): boolean {
  const at = row?.[field]
  return at instanceof Date && at.getTime() <= now.getTime()
}
