/**
 * Idempotency keys (S3): a hidden, sharded row {request digest, outcome} in the read set of its
 * transaction. It is written in the same commit as the effects, so a retry finds either both or
 * neither. Nothing is evaluated at apply.
 */
import { equalBytes, type Bytes } from '../../core/bytes.ts'
import { HoldfastError } from '../../core/errors.ts'
import { digest } from '../../core/hash.ts'
import { LIMITS } from '../../core/limits.ts'
import { decodeValue, encodeValue, type Value } from '../../core/value-codec.ts'
import type { Position } from '../../log/log.ts'
import { IDEMPOTENCY_DEFINITION } from '../../shard/definitions.ts'
import type { Node, RowRef } from '../../shard/node.ts'
import { decodeRow, rowPosition } from '../../shard/row-codec.ts'
import { putOp, type Draft } from './draft.ts'

/** Outcomes are kept for at least this much log time. */
export const IDEMPOTENCY_KEPT_MS = 24 * 3_600_000

export interface Outcome {
  readonly position: Position
  readonly result: Value | undefined
}

/** A call with an idempotency key. */
export class Idempotent {
  readonly #node: Node
  readonly #ref: RowRef
  readonly #request: Bytes

  /** `request`: what the call is about; the same key with another one is refused. */
  constructor(node: Node, key: unknown, request: Value) {
    const size = typeof key === 'string' ? Buffer.byteLength(key) : 0
    if (typeof key !== 'string' || size === 0 || size > LIMITS.idempotencyKeyBytes) {
      throw new HoldfastError(
        'InvalidArgument',
        `an idempotency key has 1 to ${LIMITS.idempotencyKeyBytes} bytes`,
      )
    }
    this.#node = node
    this.#ref = node.refOfKey(IDEMPOTENCY_DEFINITION, key)
    this.#request = digest(encodeValue(request))
  }

  /**
   * The outcome of an earlier call, or undefined when there was none; either way part of the read
   * set. Throws `IdempotencyMismatch`.
   */
  outcome(draft: Draft): Outcome | undefined {
    const stored = draft.read(this.#ref)
    if (stored === undefined) return undefined
    const position = rowPosition(stored)
    const row = decodeRow(this.#ref.storeKey, stored)
    if (!equalBytes(row['request'] as Bytes, this.#request)) {
      throw new HoldfastError(
        'IdempotencyMismatch',
        'this idempotency key was used for another request',
      )
    }
    const result = row['result'] as Bytes | undefined
    return { position, result: result === undefined ? undefined : (decodeValue(result) as Value) }
  }

  /** Adds the outcome to the transaction. Throws when it is too large to keep. */
  record(draft: Draft, result: Value | undefined): void {
    const encoded = result === undefined ? undefined : encodeValue(result)
    if (encoded !== undefined && encoded.length > LIMITS.idempotencyResultBytes) {
      throw new HoldfastError(
        'TransactionTooLarge',
        `a result kept for an idempotency key has ${encoded.length} bytes; the limit is ${LIMITS.idempotencyResultBytes}`,
      )
    }
    const row = {
      key: this.#ref.key,
      request: this.#request,
      timeMs: this.#node.loop.state.timeMs,
      ...(encoded === undefined ? {} : { result: new Uint8Array(encoded) }),
    }
    draft.set(putOp(IDEMPOTENCY_DEFINITION, this.#ref, row, encodeValue(row)), this.#ref.storeKey)
  }
}
