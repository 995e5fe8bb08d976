// Latencies, in buckets 3 % wide: small, and quick enough to count every call.

const SUB_BITS = 5
const SUB = 1 << SUB_BITS
const BUCKETS = 27 * SUB
/** Counted in tenths of a microsecond. */
const UNITS_PER_MS = 10_000

export class Histogram {
  /** @type {number[] | Float64Array} */
  counts = new Float64Array(BUCKETS)

  /** @param {number} ms */
  add(ms) {
    const units = Math.min((ms * UNITS_PER_MS) | 0, 0x3fffffff)
    const at = bucketOf(units)
    this.counts[at] = /** @type {number} */ (this.counts[at]) + 1
  }

  /** @param {readonly number[]} counts as `toJSON` gave them */
  merge(counts) {
    for (const [i, count] of counts.entries()) {
      this.counts[i] = (this.counts[i] ?? 0) + count
    }
  }

  /** The latency in ms that a `share` of the calls did not exceed. @param {number} share */
  percentile(share) {
    let total = 0
    for (const count of this.counts) total += count
    let left = Math.max(1, Math.ceil(total * share))
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.counts[i] ?? 0
      if (left <= 0) return topOf(i) / UNITS_PER_MS
    }
    return 0
  }

  toJSON() {
    return [...this.counts]
  }
}

/** @param {number} units */
function bucketOf(units) {
  if (units < SUB) return Math.max(0, units)
  const exponent = 31 - Math.clz32(units) - SUB_BITS
  return exponent * SUB + (units >>> exponent)
}

/** The middle of what a bucket counts. @param {number} at */
function topOf(at) {
  if (at < SUB) return at + 0.5
  const exponent = Math.floor(at / SUB) - 1
  return ((at % SUB) + SUB + 0.5) * 2 ** exponent
}
