// The rows that point measures work on: about 100 bytes encoded, keyed by a string.

/**
 * @typedef {object} Item
 * @property {string} id
 * @property {string} owner
 * @property {number} balance
 * @property {number} updated
 * @property {string} note
 */

const NOTES = Array.from({ length: 64 }, (_, i) =>
  `note ${String(i).padStart(2, '0')} `.padEnd(28, 'lorem ipsum '),
)

/** @param {number} n */
export const idOf = (n) => `k${String(n).padStart(8, '0')}`

/** @param {number} n @param {number} version @returns {Item} */
export function itemOf(n, version) {
  return {
    id: idOf(n),
    owner: `owner-${n % 1000}`,
    balance: 1000,
    updated: 1_700_000_000 + version,
    note: /** @type {string} */ (NOTES[(n + version) & 63]),
  }
}

/** Whole numbers below `limit`, repeatable (xorshift32). @param {number} seed */
export function randomNumbers(seed) {
  let state = seed | 1
  return (/** @type {number} */ limit) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}
