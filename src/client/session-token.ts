/** Tokens as clients compare them: `hf1.<identity>.<position>`, with a feed's ordinal behind it. */

const FORM = /^(hf1\.[0-9a-f]{32}\.)(\d{1,15})(?:\.\d{1,6})?$/

/**
 * The one that stands for more. Another history's is not taken over: reads go on asking for what was
 * seen, and the server says `TokenMismatch`, rather than to let what was written here vanish.
 */
export function newerToken(known: string | undefined, seen: string): string | undefined {
  const next = FORM.exec(seen)
  if (next === null) return known
  const before = FORM.exec(known ?? '')
  if (before !== null && (before[1] !== next[1] || positionIn(before) >= positionIn(next))) {
    return known
  }
  // A position stands for all of its ops: a read does not wait for a part of an entry.
  return `${next[1]}${next[2]}`
}

/** The position in a token; undefined for another text. */
export function positionOf(token: string | null | undefined): number | undefined {
  const parts = FORM.exec(token ?? '')
  return parts === null ? undefined : positionIn(parts)
}

function positionIn(parts: RegExpExecArray): number {
  return Number(parts[2])
}
