/** What one request, and all of them together, may take of a server. */
export interface HttpLimits {
  /** Bytes of a body at the most. Default 1 MiB. */
  readonly bodyBytes: number
  /** Bytes of a bulk call's or an import batch's body at the most. Default 16 MiB. */
  readonly bulkBodyBytes: number
  /** Rows of one page at the most. Default 1,000. */
  readonly pageRows: number
  /** Milliseconds a call may take at the most, whatever deadline it asks for. Default 60,000. */
  readonly deadlineMs: number
  /** Feeds open at once. Default 10,000. */
  readonly feeds: number
}

export const HTTP_LIMITS: HttpLimits = {
  bodyBytes: 1024 * 1024,
  bulkBodyBytes: 16 * 1024 * 1024,
  pageRows: 1_000,
  deadlineMs: 60_000,
  feeds: 10_000,
}
