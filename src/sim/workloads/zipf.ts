/** Keys of which few are hot: the distribution that makes conflicts (Zipf, exponent 0.99 as in YCSB). */
import type { Draw } from '../draw.ts'

const EXPONENT = 0.99

/** A number from 0 to `count - 1`, small ones far more often. */
export function zipf(draw: Draw, count: number): number {
  let left = draw.float() * sumTo(count)
  for (let rank = 0; rank < count; rank++) {
    left -= (rank + 1) ** -EXPONENT
    if (left < 0) return rank
  }
  return count - 1
}

const sums = new Map<number, number>()

function sumTo(count: number): number {
  const known = sums.get(count)
  if (known !== undefined) return known
  let sum = 0
  for (let rank = 1; rank <= count; rank++) sum += rank ** -EXPONENT
  sums.set(count, sum)
  return sum
}
