/**
 * Session guarantees (Terry and others, 1994), from the versions that replies carry: what a session
 * saw and wrote is a floor under all that it does later. Linear, besides sorting.
 */
import { certainty, type Operation } from './history.ts'
import { Findings, short, type Verdict } from './verdict.ts'

/** A position, or one for each log or replica; what is absent counts as nothing. */
export type Version = number | Readonly<Record<string, number>>

export interface SessionInput {
  /** A `write` is one that wrote: what changed nothing is a `read`. */
  readonly kind: 'read' | 'write'
  readonly key?: string
}

/**
 * Its process is its session. Its version, of a read the state it saw and of a write its own place, is
 * its output's, or else its position; without one it is not looked at.
 */
export type SessionOperation = Operation<SessionInput, { readonly version?: Version } | undefined>

export interface SessionOptions {
  /** `key`: versions of different keys cannot be compared. Default `log`: they can. */
  readonly scope?: 'log' | 'key'
}

type Components = ReadonlyMap<string, number>

/** What a session's finished reads saw, and where its writes are, with one of them to show. */
interface Floor {
  components: Components
  by: SessionOperation | undefined
}

/** Properties: `session:` and `read-your-writes`, `monotonic-reads`, `monotonic-writes`, `writes-follow-reads`. */
export function checkSessions(
  history: readonly SessionOperation[],
  { scope = 'log' }: SessionOptions = {},
): Verdict {
  const findings = new Findings()
  const sessions = new Map<string, SessionOperation[]>()
  for (const operation of history) {
    if (certainty(operation) !== 'ok' || versionOf(operation) === undefined) continue
    const { process, input } = operation
    const name = scope === 'key' ? JSON.stringify([process, input.key]) : process
    const list = sessions.get(name)
    if (list === undefined) sessions.set(name, [operation])
    else list.push(operation)
  }
  for (const operations of sessions.values()) checkSession(findings, operations)
  return findings.verdict()
}

function checkSession(findings: Findings, operations: readonly SessionOperation[]): void {
  const reads: Floor = { components: new Map(), by: undefined }
  const writes: Floor = { components: new Map(), by: undefined }
  const returned = operations.toSorted((a, b) => a.return - b.return)
  let at = 0
  for (const operation of operations.toSorted((a, b) => a.call - b.call)) {
    // What a session does at once has no order.
    for (let done = returned[at]; done !== undefined; done = returned[++at]) {
      if (done.return >= operation.call) break
      raise(done.input.kind === 'read' ? reads : writes, done)
    }
    findings.checked()
    if (operation.input.kind === 'read') {
      expectAbove(findings, 'read-your-writes', writes, operation, false)
      expectAbove(findings, 'monotonic-reads', reads, operation, false)
    } else {
      expectAbove(findings, 'monotonic-writes', writes, operation, true)
      expectAbove(findings, 'writes-follow-reads', reads, operation, true)
    }
  }
}

function expectAbove(
  findings: Findings,
  property: string,
  floor: Floor,
  operation: SessionOperation,
  strictly: boolean,
): void {
  if (floor.by === undefined) return
  const components = componentsOf(operation)
  let isAbove = !strictly
  for (const [name, least] of floor.components) {
    const here = components.get(name) ?? 0
    if (here < least) return report(findings, property, floor.by, operation)
    if (here > least) isAbove = true
  }
  for (const name of components.keys()) if (!floor.components.has(name)) isAbove = true
  if (!isAbove) report(findings, property, floor.by, operation)
}

function report(
  findings: Findings,
  property: string,
  earlier: SessionOperation,
  later: SessionOperation,
): void {
  const message =
    `session ${later.process}: a ${later.input.kind} at ${short(versionOf(later))} ` +
    `after a ${earlier.input.kind} at ${short(versionOf(earlier))}`
  findings.found(`session:${property}`, message, [earlier, later], later)
}

function raise(floor: Floor, operation: SessionOperation): void {
  const components = new Map(floor.components)
  for (const [name, value] of componentsOf(operation)) {
    if (value < (components.get(name) ?? 0)) continue
    components.set(name, value)
    floor.by = operation
  }
  floor.components = components
}

function versionOf({ output, position }: SessionOperation): Version | undefined {
  return output?.version ?? position
}

function componentsOf(operation: SessionOperation): Components {
  const version = versionOf(operation) ?? {}
  return new Map(typeof version === 'number' ? [['', version]] : Object.entries(version))
}
