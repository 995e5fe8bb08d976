/**
 * Tokens as clients compare them: a log and a position, with a feed's ordinal behind it. A log that
 * goes on with another one is `hf2.<identity of the first>.<epoch>.<its own>`; the first is `hf1.`
 * and its identity.
 */

const FORM =
  /^(?<log>hf1\.(?<first>[0-9a-f]{32})|hf2\.(?<origin>[0-9a-f]{32})\.(?<epoch>\d{1,9})\.[0-9a-f]{16})\.(?<position>\d{1,15})(?:\.\d{1,6})?$/

interface Parts {
  readonly log: string
  /** The identity of the first log of the history. */
  readonly origin: string
  readonly epoch: number
  readonly position: number
}

/**
 * The one that stands for more. Another history's is not taken over: reads go on asking for what was
 * seen, and the server says `TokenMismatch`, rather than to let what was written here vanish.
 */
export function newerToken(known: string | undefined, seen: string): string | undefined {
  const next = partsOf(seen)
  if (next === undefined) return known
  const before = partsOf(known ?? '')
  if (before !== undefined && !follows(before, next)) return known
  // A position stands for all of its ops: a read does not wait for a part of an entry.
  return `${next.log}.${next.position}`
}

function follows(before: Parts, next: Parts): boolean {
  const goesOn = before.origin === next.origin && next.epoch > before.epoch
  return (before.log === next.log || goesOn) && next.position > before.position
}

/** The position in a token; undefined for another text. */
export function positionOf(token: string | null | undefined): number | undefined {
  return partsOf(token ?? '')?.position
}

/** The log that a token is of; undefined for another text. */
export function logOf(token: string | null | undefined): string | undefined {
  return partsOf(token ?? '')?.log
}

function partsOf(token: string): Parts | undefined {
  const groups = FORM.exec(token)?.groups
  if (groups === undefined) return undefined
  const { log = '', first, origin = '', epoch, position } = groups
  return { log, origin: first ?? origin, epoch: Number(epoch ?? 1), position: Number(position) }
}
