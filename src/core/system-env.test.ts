import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { envContract } from './env.contract.ts'
import { systemEnv } from './system-env.ts'

envContract('system env', () => ({ env: systemEnv }))

describe('system env', () => {
  it('calls no sooner than asked although the loop was blocked before', async () => {
    for (let i = 0; i < 20; i++) {
      const blockedUntil = performance.now() + 5.5
      while (performance.now() < blockedUntil);
      const start = performance.now()
      await new Promise<void>((resolve) => {
        systemEnv.timers.after(3, resolve)
      })
      expect(performance.now() - start).toBeGreaterThanOrEqual(3)
    }
  })

  it('keeps the process alive for a pending timer, unless it is for background work', () => {
    const run = (kind: string): { code: number | null; output: string } => {
      const { status, stdout } = spawnSync(
        process.execPath,
        ['--input-type=module', '-e', childScript(kind)],
        { encoding: 'utf8' },
      )
      return { code: status, output: stdout }
    }
    expect(run('undefined')).toEqual({ code: 0, output: 'fired' })
    expect(run("'background'")).toEqual({ code: 0, output: '' })
  })
})

/** The adapter's own text, types stripped: a child has no TypeScript. */
function childScript(kind: string): string {
  const after = systemEnv.timers.after.toString()
  return `
    const TIMEOUT_MAX_MS = 2 ** 31 - 1
    const timers = { ${after} }
    timers.after(200, () => process.stdout.write('fired'), ${kind})`
}
