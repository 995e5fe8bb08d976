/**
 * The requests of one bus that are under way. Each ends once: by its answer, by a failure, by its
 * deadline, by its caller's signal, or with the bus.
 */
import type { Bytes } from '../core/bytes.ts'
import type { Cancel, Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import { checkMessage, checkSubject, type RequestOptions } from './bus.ts'

/** Ends a request that was sent; the first call counts. */
export interface Reply {
  readonly answer: (bytes: Bytes) => void
  readonly fail: (error: HoldfastError) => void
}

export class Requests {
  readonly #env: Env
  /** Ends them. */
  readonly #underWay = new Set<(error: HoldfastError) => void>()
  #closed = false

  constructor(env: Env) {
    this.#env = env
  }

  /** `find` gives what sends it to one who serves, or throws `NoResponder`. */
  ask(
    subject: string,
    bytes: Bytes,
    { deadlineMs, signal }: RequestOptions,
    find: () => (reply: Reply) => void,
  ): Promise<Bytes> {
    return new Promise<Bytes>((resolve, reject) => {
      if (this.#closed) throw busClosed()
      checkSubject(subject)
      checkMessage(bytes)
      if (signal?.aborted === true) {
        throw new HoldfastError('Cancelled', `a request to ${subject} was cancelled`)
      }
      const send = find()
      let cancel: Cancel = () => undefined
      const end = (settle: () => void): void => {
        if (!this.#underWay.delete(fail)) return
        cancel()
        signal?.removeEventListener('abort', abort)
        settle()
      }
      const fail = (error: HoldfastError): void => end(() => reject(error))
      const abort = (): void =>
        fail(new HoldfastError('Aborted', `a request to ${subject} was aborted`))
      this.#underWay.add(fail)
      cancel = this.#env.timers.after(deadlineMs, () => fail(late(subject, deadlineMs)))
      signal?.addEventListener('abort', abort, { once: true })
      send({ answer: (answer) => end(() => resolve(answer)), fail })
    })
  }

  close(): void {
    this.#closed = true
    for (const fail of this.#underWay) fail(busClosed('unknown'))
  }
}

export function busClosed(applied: 'no' | 'unknown' = 'no'): HoldfastError {
  return new HoldfastError('Closed', 'the bus is closed', { applied })
}

function late(subject: string, deadlineMs: number): HoldfastError {
  const message = `no answer from ${subject} within ${deadlineMs} ms`
  return new HoldfastError('DeadlineExceeded', message, { applied: 'unknown' })
}
