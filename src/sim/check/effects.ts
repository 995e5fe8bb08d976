/** Exactly-once effects: what was asked for, against what came of it in the end. */
import { certainty, overAt, type Operation } from './history.ts'
import { Findings, type Verdict } from './verdict.ts'

/** A request, under an id that no other request has; retries of it are the same operation. */
export interface EffectInput {
  readonly id: string
  /** Order is kept within a key. Without one, the effect has no order. */
  readonly key?: string
}

export type EffectRequest<Input extends EffectInput = EffectInput> = Operation<Input>

export interface EffectOptions {
  /**
   * Which requests of a key must take effect in their order: those that followed each other in real
   * time (the default), only those of one process, or none.
   */
  readonly order?: 'realtime' | 'process' | 'none'
}

/**
 * `effects`: the ids that took effect, in the order in which they did, each as often as it did.
 *
 * Properties: `exactly-once:lost` (acked, its disk alive, and no effect), `exactly-once:duplicated`,
 * `exactly-once:phantom` (nobody asked), `exactly-once:failed-applied` (it was said not to be
 * applied), `exactly-once:reordered`. A request of unknown outcome has at most one effect.
 */
export function checkEffects(
  requests: readonly EffectRequest[],
  effects: Iterable<string>,
  { order = 'realtime' }: EffectOptions = {},
): Verdict {
  const findings = new Findings()
  const asked = new Map<string, EffectRequest>()
  for (const request of requests) {
    const { id } = request.input
    const other = asked.get(id)
    if (other !== undefined)
      findings.found('history:id-used-twice', `two requests are called ${id}`, [other, request])
    asked.set(id, request)
  }
  const times = new Map<string, number>()
  const inOrder: EffectRequest[] = []
  for (const id of effects) {
    const count = (times.get(id) ?? 0) + 1
    times.set(id, count)
    const request = asked.get(id)
    if (request === undefined) {
      findings.found('exactly-once:phantom', `${id} took effect, and nobody asked for it`)
    } else if (count === 1) inOrder.push(request)
    // However often it comes again: it is one id that is wrong.
    else if (count === 2)
      findings.found('exactly-once:duplicated', `${id} took effect again`, [request])
  }
  for (const request of asked.values()) {
    findings.checked()
    const { id } = request.input
    const wasApplied = times.has(id)
    if (certainty(request) === 'ok' && !wasApplied)
      findings.found('exactly-once:lost', `${id} was acked, and had no effect`, [request])
    if (certainty(request) === 'failed' && wasApplied)
      findings.found('exactly-once:failed-applied', `${id} failed, and took effect`, [request])
  }
  if (order !== 'none') checkOrder(findings, inOrder, order === 'process')
  return findings.verdict()
}

/** An effect may not come behind that of one which was called after it had returned. */
function checkOrder(
  findings: Findings,
  inOrder: readonly EffectRequest[],
  byProcess: boolean,
): void {
  const latest = new Map<string, EffectRequest>()
  for (const request of inOrder) {
    const { key } = request.input
    if (key === undefined) continue
    const name = byProcess ? JSON.stringify([key, request.process]) : key
    const before = latest.get(name)
    if (before !== undefined && overAt(request) < before.call) {
      const message = `${request.input.id} of key ${key} took effect after ${before.input.id}`
      findings.found('exactly-once:reordered', message, [request, before], request)
    }
    if (before === undefined || request.call > before.call) latest.set(name, request)
  }
}
