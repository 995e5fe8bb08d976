/**
 * Calls that lost to other writers are made again: at once at first, then with exponential backoff
 * and full jitter, within the deadline (S5). The same terms as the embedded database's.
 */
import { HoldfastError } from '../core/holdfast-error.ts'
import type { Terms, Transport } from './transport.ts'

const AT_ONCE = 3
const BACKOFF_MS = 1
const BACKOFF_MAX_MS = 100

/** What an attempt says when others came first. */
export const LOST: unique symbol = Symbol('lost')

export async function untilWon<T>(
  transport: Transport,
  what: string,
  terms: Terms,
  attempt: () => Promise<T | typeof LOST>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    transport.assertGoing(terms.signal)
    const outcome = await attempt()
    if (outcome !== LOST) return outcome
    const leftMs = transport.leftMs(terms)
    if (leftMs <= 0) {
      throw new HoldfastError('Conflict', `${what} lost to other writers ${tries} times`, {
        details: { tries },
      })
    }
    if (tries <= AT_ONCE) continue
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(tries - AT_ONCE, 10))
    await transport.pause(Math.min(leftMs, transport.env.random.float() * ceiling), terms.signal)
  }
}
