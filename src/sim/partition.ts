/** The shapes in which a network breaks (D3). A machine always reaches itself. */

export type Partition =
  /** `one` and all others do not reach each other. */
  | { readonly kind: 'halves'; readonly one: readonly string[] }
  | { readonly kind: 'isolate'; readonly machine: string }
  /** What `from` send does not reach `to`; the way back is open. */
  | { readonly kind: 'one-way'; readonly from: readonly string[]; readonly to: readonly string[] }
  /** `left` and `right` do not reach each other; whoever is in neither reaches both. */
  | { readonly kind: 'bridge'; readonly left: readonly string[]; readonly right: readonly string[] }
  /** Each sees a majority, and no two the same one: its neighbours in this ring, of 5 or more. */
  | { readonly kind: 'ring'; readonly machines: readonly string[] }
  /** Each message from or to `machines` (default: all) is lost with probability `loss`. */
  | { readonly kind: 'flaky'; readonly loss: number; readonly machines?: readonly string[] }
  /** Nobody reaches anybody. */
  | { readonly kind: 'mesh' }

/** The probability with which `shape` takes a message from one machine to another: 1 is a cut. */
export function lossUnder(shape: Partition, from: string, to: string): number {
  if (from === to) return 0
  switch (shape.kind) {
    case 'halves':
      return Number(shape.one.includes(from) !== shape.one.includes(to))
    case 'isolate':
      return Number(from === shape.machine || to === shape.machine)
    case 'one-way':
      return Number(shape.from.includes(from) && shape.to.includes(to))
    case 'bridge':
      return Number(isAcross(shape.left, shape.right, from, to))
    case 'ring':
      return Number(isFarInRing(shape.machines, from, to))
    case 'flaky': {
      const { machines, loss } = shape
      return machines === undefined || machines.includes(from) || machines.includes(to) ? loss : 0
    }
    case 'mesh':
      return 1
  }
}

function isAcross(
  left: readonly string[],
  right: readonly string[],
  from: string,
  to: string,
): boolean {
  return (left.includes(from) && right.includes(to)) || (right.includes(from) && left.includes(to))
}

function isFarInRing(ring: readonly string[], from: string, to: string): boolean {
  const [a, b] = [ring.indexOf(from), ring.indexOf(to)]
  if (a < 0 || b < 0) return false
  const apart = Math.abs(a - b)
  // With its neighbours so far on both sides each sees a majority.
  const near = Math.ceil((ring.length - 1) / 4)
  return Math.min(apart, ring.length - apart) > near
}
