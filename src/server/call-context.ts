/** What an operation knows of its caller. */
export interface CallContext {
  readonly signal: AbortSignal
}
