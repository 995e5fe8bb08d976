// The shortest run of `holdfast verify`: real servers and nodes, every kind of fault, judged.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { natsServerMissing } from '../child/nats-servers.ts'

const missing = natsServerMissing('holdfast verify: workloads against real processes')
const root = mkdtempSync(join(tmpdir(), 'holdfast-verify-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const WORKLOADS = ['registers', 'bank', 'list-append', 'idempotency']

async function verify(
  args: readonly string[],
): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, ['bin/holdfast', 'verify', ...args], { stdio: 'pipe' })
  let [out, err] = ['', '']
  child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()))
  child.stderr.on('data', (bytes: Buffer) => (err += bytes.toString()))
  const [code] = (await once(child, 'close')) as [number]
  return { code, out, err }
}

describe.skipIf(missing !== undefined)('holdfast verify', { timeout: 120_000 }, () => {
  it('injects faults, finds no violation, and keeps a history that is judged alike', async () => {
    const folder = join(root, 'run')
    const round = ['--minutes', '0.1', '--round', '7', '--clients', '2', '--json']
    const which = ['--workload', WORKLOADS.join(), '--out', folder]
    const { code, out, err } = await verify([...round, ...which])
    const report = JSON.parse(out) as {
      readonly minutes: number
      readonly operations: number
      readonly unknown: number
      readonly checks: number
      readonly faults: Readonly<Record<string, number>>
      readonly violations: readonly unknown[]
    }
    expect({ violations: report.violations, code, err }).toMatchObject({ violations: [], code: 0 })
    expect(typeof report.minutes).toBe('number')
    expect(typeof report.unknown).toBe('number')
    expect(report.operations).toBeGreaterThan(0)
    const faults = Object.values(report.faults).reduce((sum, count) => sum + count, 0)
    expect(faults).toBeGreaterThan(0)
    expect(err.match(/!!/g)).toHaveLength(faults)

    const files = readdirSync(folder)
    expect(files).toEqual(['round-0001.jsonl'])
    const lines = readFileSync(join(folder, 'round-0001.jsonl'), 'utf8').trim().split('\n')
    const kinds = lines.map((line) => (JSON.parse(line) as { readonly kind: string }).kind)
    expect(kinds.filter((kind) => kind === 'fault')).toHaveLength(faults)
    expect(new Set(kinds)).toEqual(new Set(['header', 'operation', 'case', 'fault', 'end']))
    const again = await verify(['--check', folder, '--json'])
    expect(again.code).toBe(0)
    expect(JSON.parse(again.out)).toMatchObject({ violations: [] })
  })

  it('is not begun with what it does not know', async () => {
    const wrong = ['--workload x', '--nemesis x', '--minutes x', '--none-such', `--out ${root}`]
    const answers = await Promise.all(wrong.map((args) => verify(args.split(' '))))
    expect(answers.map(({ code }) => code)).toEqual(wrong.map(() => 2))
    expect(answers.map(({ err }) => err).join()).toContain('no such nemesis')
  })
})
