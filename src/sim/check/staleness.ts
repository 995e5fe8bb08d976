/** Bounded staleness (S6): a read sees at least what was acked when its bound began. */
import { certainty, type Operation } from './history.ts'
import { Findings, short, type Verdict } from './verdict.ts'

export interface StalenessInput {
  readonly kind: 'read' | 'write'
  readonly key: string
  /** Of a read: how old what it saw may be, in milliseconds. Without it the read is not looked at. */
  readonly maxStalenessMs?: number | undefined
}

/** With times in milliseconds, and with positions: of a read that of the write whose value it saw. */
export type StalenessOperation = Operation<StalenessInput>

/** Property: `staleness`. Reads without a position are not looked at: what they saw is not known. */
export function checkStaleness(history: readonly StalenessOperation[]): Verdict {
  const findings = new Findings()
  const writes = history.filter(
    (operation) => operation.input.kind === 'write' && certainty(operation) === 'ok',
  )
  for (const read of history) {
    const { input, callMs, position } = read
    if (input.kind !== 'read' || certainty(read) !== 'ok') continue
    if (input.maxStalenessMs === undefined || callMs === undefined || position === undefined)
      continue
    findings.checked()
    const sinceMs = callMs - input.maxStalenessMs
    const missed = writes.find(
      (write) =>
        write.input.key === input.key &&
        (write.returnMs ?? Number.POSITIVE_INFINITY) < sinceMs &&
        (write.position ?? 0) > position,
    )
    if (missed === undefined) continue
    const message =
      `a read of ${input.key}, at most ${input.maxStalenessMs} ms old, saw ${short(position)}; ` +
      `${short(missed.position)} was acked before that`
    findings.found('staleness', message, [missed, read], read)
  }
  return findings.verdict()
}
