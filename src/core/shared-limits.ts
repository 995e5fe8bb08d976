/** The limits that a client needs too: all that web pages load of them. */

/** Milliseconds a call waits by default. */
export const DEADLINE_MS = 15_000

/** Nesting of a value. */
export const VALUE_DEPTH = 64
