/** Ends a run at once, under the name of the property that does not hold. */
export class RunFailed extends Error {
  override readonly name = 'RunFailed'
  readonly property: string

  constructor(property: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.property = property
  }
}

/** Lines of a stack that are worth reading: those of the user's own files. */
const FRAMES_MAX = 6
const FOREIGN = /[/]node_modules[/]|[( ]node:|[( ]file:[/]{3}.*[/]node_modules[/]/
const ROOMS = new URL('..', import.meta.url).pathname
const TEST_FILE = /[.](test|contract)[.][cm]?[jt]s[:?]/

/** An error as text: what it says, and where in the user's files it came from. */
export function told(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const { stack = '' } = cause
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line))
  const own = frames.filter((line) => !FOREIGN.test(line) && !isOurs(line))
  const shown = own.length === 0 ? frames : own
  const said = String(cause)
  return [said, ...shown.slice(0, FRAMES_MAX)].join('\n')
}

function isOurs(frame: string): boolean {
  return frame.includes(ROOMS) && !TEST_FILE.test(frame)
}
