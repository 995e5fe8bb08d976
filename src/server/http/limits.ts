/** What one request, and all of them together, may take of a server. */
export interface HttpLimits {
  /** Bytes of a body at the most. Default 1 MiB. */
  readonly bodyBytes: number
  /** Bytes of a bulk call's or an import batch's body at the most. Default 16 MiB. */
  readonly bulkBodyBytes: number
  /** Rows of a bulk call or an import batch at the most. Default 10,000. */
  readonly bulkRows: number
  /** Rows of one page at the most. Default 1,000. */
  readonly pageRows: number
  /** Milliseconds a call may take at the most, whatever deadline it asks for. Default 60,000. */
  readonly deadlineMs: number
  /** Feeds open at once. Default 10,000. */
  readonly feeds: number
  /** Requests that are not answered yet, of all connections. Default 4,096. */
  readonly requests: number
}

/** What one connection, and all of them together, may take of a server of this machine. */
export interface ConnectionLimits {
  /** Open connections; more are closed at once. Default 10,000. */
  readonly connections: number
  /** Requests of one connection that are not answered yet (pipelining). Default 32. */
  readonly pipelined: number
  /** Bytes of the head of a request at the most. Default 16 KiB. */
  readonly headerBytes: number
  /** Milliseconds that the head of a request, or a TLS handshake, may take. Default 10,000. */
  readonly headersMs: number
  /** Milliseconds that a whole request may take to arrive, its body too. Default 60,000. */
  readonly requestMs: number
  /** Milliseconds that a connection without a request is kept. Default 65,000. */
  readonly keepAliveMs: number
  /** Milliseconds without progress after which a reader of an answer is cut off. Default 30,000. */
  readonly stalledMs: number
  /**
   * Bytes of answers that were made and not taken yet, of all connections; beyond it those with the
   * most are cut off. Default 256 MiB.
   */
  readonly unreadBytes: number
}

export const HTTP_LIMITS: HttpLimits = {
  bodyBytes: 1024 * 1024,
  bulkBodyBytes: 16 * 1024 * 1024,
  bulkRows: 10_000,
  pageRows: 1_000,
  deadlineMs: 60_000,
  feeds: 10_000,
  requests: 4_096,
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  connections: 10_000,
  pipelined: 32,
  headerBytes: 16 * 1024,
  headersMs: 10_000,
  requestMs: 60_000,
  keepAliveMs: 65_000,
  stalledMs: 30_000,
  unreadBytes: 256 * 1024 * 1024,
}
