/**
 * The phi accrual failure detector (Hayashibara, Défago, Yared, Katayama: The φ Accrual Failure
 * Detector, SRDS 2004). φ is how unlikely it is that a heartbeat is still to come after a silence:
 * -log10 of the probability that one comes later than now, were the intervals normally distributed as
 * those seen. At φ = 8 a suspicion is wrong once in 100,000,000 times, as far as the model holds.
 */

/** Intervals remembered. */
const KEPT = 100
/** Milliseconds that the spread is taken for at the least: a quiet network is no promise. */
const SPREAD_MS_MIN = 200
/** Beyond it the tail is below what a double tells from 0. */
const PHI_MAX = 300

export class Arrivals {
  readonly #everyMs: number
  readonly #intervals: number[] = []
  #next = 0
  #sum = 0
  #squares = 0
  #lastMs: number

  /** `everyMs`: the sender's period. The first heartbeat came at `nowMs`. */
  constructor(everyMs: number, nowMs: number) {
    this.#everyMs = everyMs
    this.#lastMs = nowMs
  }

  /** A heartbeat came. `counts`: whether the silence before it was an ordinary one. */
  arrived(nowMs: number, counts: boolean): void {
    if (counts) this.#remember(nowMs - this.#lastMs)
    this.#lastMs = nowMs
  }

  /** Who listens was away for `ms`: that is not the sender's silence. */
  excuse(ms: number): void {
    this.#lastMs += ms
  }

  silentMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#lastMs)
  }

  phi(nowMs: number): number {
    const count = Math.max(1, this.#intervals.length)
    const mean = this.#sum / count
    const spread = Math.sqrt(Math.max(0, this.#squares / count - mean * mean))
    // Messages that waited somewhere come at once: nobody sends more often than it says.
    const expected = Math.max(mean, this.#everyMs)
    return phiOf((this.silentMs(nowMs) - expected) / Math.max(spread, SPREAD_MS_MIN))
  }

  #remember(interval: number): void {
    const oldest = this.#intervals[this.#next]
    if (oldest !== undefined) {
      this.#sum -= oldest
      this.#squares -= oldest * oldest
    }
    this.#intervals[this.#next] = interval
    this.#next = (this.#next + 1) % KEPT
    this.#sum += interval
    this.#squares += interval * interval
  }
}

/** -log10 of the upper tail of the normal distribution at `y`, by its logistic approximation. */
function phiOf(y: number): number {
  const exponent = y * (1.5976 + 0.070566 * y * y)
  // log10(1 + e^x) is x / ln 10 where e^x leaves a double's range.
  const phi = exponent > 700 ? exponent / Math.LN10 : Math.log10(1 + Math.exp(exponent))
  return Math.min(PHI_MAX, phi)
}
