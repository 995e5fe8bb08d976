/** What a command can ask of a folder, whoever has it open: the methods of server/operations.ts. */
import type { Holder } from '../open.ts'
import type { CallTypes, StreamTypes } from '../server/operations.ts'

export interface Session {
  /** The process that has the folder open, when it is not this one. */
  readonly holder: Holder | undefined
  call<M extends keyof CallTypes>(
    method: M,
    params: CallTypes[M]['params'],
  ): Promise<CallTypes[M]['result']>
  stream<M extends keyof StreamTypes>(
    method: M,
    params: StreamTypes[M]['params'],
  ): AsyncIterable<StreamTypes[M]['item']>
  close(): Promise<void>
  /** Of a session that connects at its first call: makes the folder when it is missing. */
  mayCreate?(): void
}
