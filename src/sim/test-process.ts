/** The process in which a simulated test runs: what is asked of it, and nothing from inside a run. */
/* oxlint-disable eslint/no-restricted-globals -- it is about the process, not about a node */

/** Taken before anything is patched. */
const realImmediate = setImmediate
const realNow = performance.now.bind(performance)
const real = process

export function realMs(): number {
  return realNow()
}

/** A turn of the real event loop: Node tells of the rejections of a step only after the step. */
export function realTurn(): Promise<void> {
  return new Promise((resolve) => {
    realImmediate(resolve)
  })
}

/** A setting of whoever runs the tests. */
export function setting(name: 'HOLDFAST_SEED' | 'HOLDFAST_SHRINK' | 'VITEST'): string | undefined {
  const value = real.env[name]
  return value === '' ? undefined : value
}

export function tell(line: string): void {
  real.stderr.write(`${line}\n`)
}

/** The command line that runs `file` again, as this one was run. */
export function commandFor(file: string): string {
  const here = `${real.cwd()}/`
  const path = file.startsWith(here) ? file.slice(here.length) : file
  if (setting('VITEST') !== undefined) return `npx vitest run ${path}`
  const flags = real.execArgv.filter((flag) => !flag.startsWith('--test'))
  return ['node', ...flags, path].join(' ')
}

type Listener = NodeJS.UnhandledRejectionListener

/** Makes `listener` the only one of unhandled rejections; gives the others, and what puts them back. */
export function takeRejections(listener: Listener): {
  readonly others: readonly Listener[]
  readonly release: () => void
} {
  const others = real.listeners('unhandledRejection')
  real.removeAllListeners('unhandledRejection')
  real.on('unhandledRejection', listener)
  const release = (): void => {
    real.off('unhandledRejection', listener)
    for (const other of others) real.on('unhandledRejection', other)
  }
  return { others, release }
}
