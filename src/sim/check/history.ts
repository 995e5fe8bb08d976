/** Histories: what clients asked for, when, and what they were told. Every checker reads these. */
import { assert } from '../../core/assert.ts'

/** `failed`: it is certain that nothing was applied. `unknown`: it may have been, or may yet be. */
export type Outcome = 'ok' | 'failed' | 'unknown'

/** A place in the log, or any other number that grows along one total order. */
export type LogPosition = number

export interface Operation<Input = unknown, Output = unknown> {
  /** The client, which does one thing after the other. */
  readonly process: string
  /**
   * Real-time order: an operation comes before another one iff its `return` is less than the other's
   * `call`. Any numbers will do; `History` counts events. What is not known to have happened has no
   * return, whatever stands here.
   */
  readonly call: number
  readonly return: number
  readonly outcome: Outcome
  readonly input: Input
  /** Of an `ok` operation its reply; of others what is known of them, if anything. */
  readonly output?: Output | undefined
  /**
   * Of a write, where the log applied it; of a read, the last place whose effects it saw. Only on
   * replies that told it.
   */
  readonly position?: LogPosition | undefined
  /** False: acked, but no disk that acked it is left (D4). It then counts as unknown. Default true. */
  readonly survived?: boolean | undefined
  /** Milliseconds, for people to read only. */
  readonly callMs?: number | undefined
  readonly returnMs?: number | undefined
}

/** What an operation counts as: an ack that no disk remembers promises nothing (D4). */
export function certainty({ outcome, survived }: Operation): Outcome {
  return outcome === 'ok' && survived === false ? 'unknown' : outcome
}

/** When an operation was over for certain; Infinity when it may still take effect. */
export function overAt(operation: Operation): number {
  return certainty(operation) === 'unknown' ? Number.POSITIVE_INFINITY : operation.return
}

/** One call under way. It is settled once; what is never settled stays `unknown`. */
export interface Call<Output> {
  ok(output: Output, details?: { readonly position?: LogPosition | undefined }): void
  /** Certainly not applied. `output`: what is known of it, such as the writes of a transaction. */
  failed(output?: Output): void
  unknown(output?: Output): void
  /** Says that none of the disks that acked it is left. */
  ackLost(): void
}

type Recorded<Input, Output> = { -readonly [K in keyof Operation]: Operation<Input, Output>[K] }

/** Records a history. Its times count events, so that no two are the same. */
export class History<Input, Output> {
  readonly #operations: Recorded<Input, Output>[] = []
  readonly #nowMs: (() => number) | undefined
  #events = 0

  /** `nowMs`: the time to show in reports; order does not depend on it. */
  constructor(nowMs?: () => number) {
    this.#nowMs = nowMs
  }

  /** In the order of their calls. */
  get operations(): readonly Operation<Input, Output>[] {
    return this.#operations
  }

  call(process: string, input: Input): Call<Output> {
    const operation: Recorded<Input, Output> = {
      process,
      input,
      call: ++this.#events,
      callMs: this.#nowMs?.(),
      return: Number.POSITIVE_INFINITY,
      outcome: 'unknown',
    }
    this.#operations.push(operation)
    let open = true
    const settle = (outcome: Outcome, output: Output | undefined): void => {
      assert(open, 'an operation has one outcome')
      open = false
      operation.outcome = outcome
      operation.output = output
      operation.return = ++this.#events
      operation.returnMs = this.#nowMs?.()
    }
    return {
      ok: (output, details) => {
        settle('ok', output)
        operation.position = details?.position
      },
      failed: (output) => settle('failed', output),
      unknown: (output) => settle('unknown', output),
      ackLost: () => {
        operation.survived = false
      },
    }
  }
}
