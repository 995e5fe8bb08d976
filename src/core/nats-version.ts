/** The oldest NATS server that Holdfast works with, and what is told of older ones. */

/** From here on `sync_interval: always` holds for the servers' own consensus, too. */
export const NATS_FLOOR = '2.10.23'

/** Why a server of this version will not do: the end of a sentence that begins with its name. */
export function natsVersionFault(version: string): string | undefined {
  if (reachesFloor(version)) return undefined
  return `is of version ${version}, below ${NATS_FLOOR}`
}

/** Of versions such as `2.11.0-preview.2` the three numbers count. */
function reachesFloor(version: string): boolean {
  const parts = numbersOf(version)
  for (const [i, least] of numbersOf(NATS_FLOOR).entries()) {
    const part = parts[i]
    if (part === undefined || Number.isNaN(part)) return false
    if (part !== least) return part > least
  }
  return true
}

const numbersOf = (version: string): number[] => version.split(/[-+.]/, 3).map(Number)
