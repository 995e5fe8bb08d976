/** Operations that are done on a node and recorded in a history at the same time. */
import type { History, LogPosition } from '../check/history.ts'
import type { Outcome } from '../outcome.ts'
import type { WorkloadClient, WorkloadDatabase, WorkloadNode } from '../workload.ts'

export interface Answer<Output> {
  readonly output: Output
  readonly position?: LogPosition | undefined
}

/** Does `work` on `node`, and records it in `history` under `input`. */
export async function recorded<Input, Output>(
  history: History<Input, Output>,
  client: WorkloadClient,
  node: WorkloadNode,
  input: Input,
  text: string,
  work: (on: { readonly db: WorkloadDatabase }) => Promise<Answer<Output>>,
): Promise<Outcome<Answer<Output>>> {
  const call = history.call(client.name, input)
  const outcome = await client.operation(text, node, work)
  if (outcome.kind === 'ok') call.ok(outcome.value.output, { position: outcome.value.position })
  else if (outcome.kind === 'failed') call.failed()
  else call.unknown()
  return outcome
}
