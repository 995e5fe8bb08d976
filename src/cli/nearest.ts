/** What was probably meant by a name that is not known. */

/** Edits that are still a slip of the finger, for a name of this length. */
const SLIPS_PER_CHAR = 0.4

/** The known name that differs least, when it differs little; the case of letters is a small slip. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(name.length * SLIPS_PER_CHAR)) + 1
  for (const each of known) {
    const far = distance(name.toLowerCase(), each.toLowerCase())
    if (far >= least) continue
    best = each
    least = far
  }
  return best
}

/** Damerau and Levenshtein: letters added, left out, exchanged, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  const rows: number[][] = []
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0
  for (let i = 0; i <= a.length; i++) {
    const row: number[] = []
    rows.push(row)
    for (let j = 0; j <= b.length; j++) {
      if (i === 0 || j === 0) {
        row.push(i + j)
        continue
      }
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let least = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, at(i - 2, j - 2) + 1)
      }
      row.push(least)
    }
  }
  return at(a.length, b.length)
}
