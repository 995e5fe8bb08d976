/**
 * What the tests of the journal write, in batches that are numbered from 1: batch `n` leaves its
 * number under two keys, the first and the last there are, puts a row and removes another. So what
 * is there tells how many batches it is of, and whether it is those, whole, and nothing else.
 */

/** @typedef {import('../../dist/store/store.js').StoreReader} StoreReader */
/** @typedef {{ key: Buffer, value: Buffer | undefined }} Pair */

const FIRST = Buffer.from('a')
const LAST = Buffer.from('z')
const SLOTS = 30
/** Of removing what was put half a turn before. */
const HALF = SLOTS / 2

/** @param {number} slot */
const rowKey = (slot) => Buffer.from(`row ${String(slot % SLOTS).padStart(2, '0')}`)

/**
 * Now and then a longer one.
 * @param {number} n
 */
const rowValue = (n) => Buffer.alloc(n % 10 === 0 ? 600 : (n * 37) % 61, n % 251)

/**
 * @param {number} n
 * @returns {Pair[]}
 */
export function pairsOf(n) {
  const number = Buffer.from(String(n))
  return [
    { key: FIRST, value: number },
    { key: rowKey(n), value: rowValue(n) },
    { key: rowKey(n + HALF), value: undefined },
    { key: LAST, value: number },
  ]
}

/**
 * The number of the last batch, or of the last that is not there whole and alone: `torn <n>`.
 * @param {StoreReader} reader
 */
export function stateOf(reader) {
  /** @type {string[]} */
  const found = []
  reader.scan({}, (key, value) => {
    found.push(lineOf(Buffer.from(key), Buffer.from(value)))
  })
  const n = Number(Buffer.from(reader.get(FIRST) ?? []).toString() || '0')
  const isWhole = found.join() === linesAfter(n).join()
  // The same by looking up.
  for (const { key, value } of n === 0 ? [] : pairsOf(n)) {
    const got = reader.get(key)
    if (got === undefined ? value !== undefined : !value?.equals(got)) return `torn ${n}`
  }
  return isWhole ? `${n}` : `torn ${n}`
}

/** @param {number} n */
function linesAfter(n) {
  /** @type {Map<string, string>} */
  const lines = new Map()
  // Every slot is put or removed in as many batches as there are.
  for (let i = Math.max(1, n - SLOTS); i <= n; i++) {
    for (const { key, value } of pairsOf(i)) {
      if (value === undefined) lines.delete(key.toString())
      else lines.set(key.toString(), lineOf(key, value))
    }
  }
  return [...lines.values()].sort()
}

/**
 * @param {Buffer} key
 * @param {Buffer} value
 */
function lineOf(key, value) {
  const isSame = value.every((byte) => byte === value[0])
  const content = value.length < 10 || !isSame ? value.toString() : `${value[0]}`
  return `${key.toString()}=${value.length} of ${content}`
}
