/**
 * How many calls may be made again: a part of all calls, and a few beyond it. When a server is down
 * everything fails, and retries without a bound would multiply its load as it comes back. A token
 * bucket, as gRPC's retry throttling (gRFC A6) and Finagle's RetryBudget.
 */
export class RetryBudget {
  readonly #reserve: number
  readonly #share: number
  #left: number

  constructor(reserve: number, share: number) {
    this.#reserve = reserve
    this.#share = share
    this.#left = reserve
  }

  /** A call was made: it pays its share in. */
  called(): void {
    this.#left = Math.min(this.#reserve, this.#left + this.#share)
  }

  /** Whether one may be made again; it is then spent. */
  spend(): boolean {
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}
