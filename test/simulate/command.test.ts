// `holdfast simulate` by its options, as scripts and people call it.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CampaignReport } from '../../src/sim/campaign-report.ts'
import { readPlan } from '../../src/sim/plan-file.ts'
import { WORKLOADS } from '../../src/sim/workloads/all.ts'
import { Bundled } from './bundled.ts'

const simulator = new Bundled()
const run = simulator.run.bind(simulator)
beforeAll(() => simulator.build())
afterAll(() => simulator[Symbol.dispose]())

const timeout = 120_000

async function report(...args: string[]): Promise<CampaignReport> {
  const { code, stdout, stderr } = await run([...args, '--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout) as CampaignReport
}

describe('holdfast simulate', { timeout }, () => {
  it('reports a campaign as JSON, with the fields that scripts read', async () => {
    const all = await report('--seeds', '4', '--workload', 'registers', '--jobs', '1')
    expect(all).toMatchObject({ seeds: 4, violations: [], missed: [] })
    const figures = ['simulatedSeconds', 'cpuSeconds', 'events', 'acked', 'failed'] as const
    for (const name of figures) expect(all[name], `${name}`).toBeGreaterThan(0)
    expect(all.unknown).toBeGreaterThanOrEqual(0)
    expect(Object.keys(all.faults).length).toBeGreaterThanOrEqual(3)
    expect(all.coverage).toHaveProperty('a node crashed with unsettled writes')
    // D5: seeds that count, and why others do not, are told.
    const uncounted = Object.values(all.uncounted).reduce((sum, count) => sum + count, 0)
    expect(all.counted + uncounted).toBe(4)
    expect(all.calmAcked).toBeLessThanOrEqual(all.calm)
  })

  it('comes to the same with any number of processes, whatever ran before a seed', async () => {
    const args = ['--seeds', '6', '--workload', 'registers,bank']
    const { cpuSeconds: _a, medianCpuMs: _b, ...alone } = await report(...args, '--jobs', '1')
    const { cpuSeconds: _c, medianCpuMs: _d, ...shared } = await report(...args, '--jobs', '3')
    expect(shared).toEqual(alone)
    const ten = await report('--seed', '10', '--workload', 'registers,bank')
    const both = await report('--seed', '9', '--seeds', '2', '--workload', 'registers,bank')
    const nine = await report('--seed', '9', '--workload', 'registers,bank')
    const sum = BigInt.asUintN(64, BigInt(`0x${ten.hash}`) + BigInt(`0x${nine.hash}`))
    expect(BigInt(`0x${both.hash}`)).toBe(sum)
  })

  it('runs seeds twice, and finds no difference', async () => {
    const all = await report('--twice', '--seeds', '4', '--workload', 'bank,registers')
    expect(all).toMatchObject({ seeds: 4, violations: [] })
  })

  it('tells people what was run', async () => {
    const { code, stdout } = await run(['--seeds', '2', '--workload', 'registers'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^2 seeds, \d of them count\n/)
    expect(stdout).toMatch(/\n[\d,]+ events \([\d,]+ a CPU second\); [\d,]+ s without any/)
    expect(stdout).toMatch(/\nclean\n$/)
  })

  it('has help, and lists', async () => {
    const help = await run(['--help'])
    expect(help).toMatchObject({ code: 0, stderr: '' })
    for (const option of ['--seeds', '--replay', '--shrink', '--twice', '--zoo', '--jobs']) {
      expect(help.stdout).toContain(option)
    }
    const list = await run(['--list'])
    for (const { name, what } of WORKLOADS)
      expect(list.stdout).toContain(`${name.padEnd(14)} ${what}`)
    expect(list.stdout).toContain('power-loss, ')
  })

  const wrong: [args: string[], says: string][] = [
    [['--seeds', 'x'], '--seeds takes a whole number above 0'],
    [['--seed', '-1'], "Option '--seed"],
    [['--jobs', '0'], '--jobs takes a whole number above 0'],
    [['--minutes', '0'], '--minutes takes a number above 0'],
    [['--workload', 'nothing'], 'no such workload: nothing; there are registers'],
    [['--faults', 'pause,rain'], 'no such fault: rain; there are power-loss'],
    [['--setup', 'both'], '--setup takes embedded or shared'],
    [['--replay', 'no-such-file.json'], 'no-such-file.json is no plan'],
    [['--nonsense'], "Unknown option '--nonsense'"],
    [['file'], "Unexpected argument 'file'"],
  ]
  it('says what is wrong with its command line', async () => {
    const ended = await Promise.all(wrong.map(([args]) => run(args)))
    for (const [i, [args, says]] of wrong.entries()) {
      expect(ended[i], `${args.join(' ')}`).toMatchObject({ code: 2, stdout: '' })
      expect(ended[i]?.stderr).toContain(says)
    }
  })

  it('ends after the seeds that run, with a report, when it is interrupted', async () => {
    const { code, stdout } = await run(['--minutes', '5', '--setup', 'embedded', '--json'], {
      interruptAfterMs: 2_500,
    })
    expect(code).toBe(130)
    const { seeds, violations } = JSON.parse(stdout) as CampaignReport
    expect(seeds).toBeGreaterThan(0)
    expect(violations).toEqual([])
  })
})

describe('a plan file', { timeout }, () => {
  const plan = (name: string, more: object): string => {
    const [kept] = [readPlan(join(import.meta.dirname, 'calm.json'))]
    const file = join(simulator.folder, name)
    writeFileSync(file, JSON.stringify({ ...kept, ...more }))
    return file
  }

  it('is run again, to the same trace', async () => {
    const file = plan('again.json', {})
    const first = await run(['--replay', file])
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toMatch(/^clean, trace [0-9a-f]{16}\n$/)
    const { stdout } = await run(['--replay', file, '--json'])
    const { hash } = JSON.parse(stdout) as { hash: string }
    expect(first.stdout).toContain(hash)
    const other = await run(['--replay', plan('other.json', { seed: 12 })])
    expect(other.stdout).not.toContain(hash)
  })

  it('of another version is refused', async () => {
    const { code, stderr } = await run(['--replay', plan('old.json', { version: 0 })])
    expect(code).toBe(2)
    expect(stderr).toContain('is a plan of version 0; this reads 1')
  })

  it('that cannot be run is refused, and says why', async () => {
    const faults = [{ atMs: 1, kind: 'log-lag' }]
    const strange = await run(['--replay', plan('strange.json', { setup: 'embedded', faults })])
    expect(strange).toMatchObject({ code: 2 })
    expect(strange.stderr).toContain('cannot happen in the setup embedded')
    const empty = await run(['--replay', plan('empty.json', { nodes: 0 })])
    expect(empty).toMatchObject({ code: 2 })
    expect(empty.stderr).toContain('nodes is no number above 0')
  })
})

describe('what a campaign finds', { timeout }, () => {
  // Disks that lie lose what was acked: no fault that Holdfast promises to survive.
  const args = ['--faults', 'lying-fsync,power-loss', '--setup', 'embedded', '--until-violation']
  const workload = ['--workload', 'registers', '--seeds', '40']

  it('is reported with its plan, the line that replays it, and the same with any processes', async () => {
    const alone = await run([...args, ...workload, '--json', '--jobs', '1'])
    const shared = await run([...args, ...workload, '--json', '--jobs', '2'])
    expect([alone.code, shared.code]).toEqual([1, 1])
    const found = JSON.parse(alone.stdout) as CampaignReport
    expect(found.violations).toHaveLength(1)
    const [violation] = found.violations
    expect(violation).toMatchObject({ property: 'linearizability', plan: { version: 1 } })
    expect(violation?.replay).toBe(
      `holdfast simulate --workload registers --seed ${violation?.seed} --setup embedded --faults lying-fsync,power-loss`,
    )
    const again = JSON.parse(shared.stdout) as CampaignReport
    expect(again).toMatchObject({ seeds: found.seeds, hash: found.hash })
    expect(again.violations).toEqual(found.violations)
    const replayed = await run((violation?.replay ?? '').split(' ').slice(2))
    expect(replayed.code).toBe(1)
    expect(replayed.stdout).toContain('VIOLATED linearizability')
    expect(replayed.stdout).toMatch(/!! .*lying-fsync/)
  })

  it('is shrunk to a plan file that fails in the same way', async () => {
    const out = join(simulator.folder, 'found')
    const ended = await run([...args, ...workload, '--shrink', '--out', out])
    expect(ended.code).toBe(1)
    const file = /replay: holdfast simulate --replay (\S+)/.exec(ended.stderr)?.[1] ?? ''
    const shrunk = JSON.parse(readFileSync(file, 'utf8')) as { faults: unknown[] }
    expect(shrunk.faults.length).toBeLessThanOrEqual(2)
    const replayed = await run(['--replay', file])
    expect(replayed.code).toBe(1)
    expect(replayed.stdout).toContain('VIOLATED linearizability')
  })

  it('is kept by a soak, which fails', async () => {
    const out = join(simulator.folder, 'soaked')
    const ended = await run([
      ...args.slice(0, -1),
      ...['--workload', 'registers', '--seed', '1', '--minutes', '0.08', '--out', out, '--json'],
    ])
    expect(ended.code).toBe(1)
    const { violations } = JSON.parse(ended.stdout) as CampaignReport
    for (const { seed, property } of violations.slice(0, 2)) {
      const replayed = await run(['--replay', join(out, `registers-${seed}.json`), '--json'])
      expect(replayed.code).toBe(1)
      const again = JSON.parse(replayed.stdout) as { violations: { property: string }[] }
      expect(again.violations[0]?.property).toBe(property)
    }
  })

  // The plan of an embedded seed had a fault of the log, and the simulator stopped with a bug.
  it('gives a seed a setup that its faults can happen in, and refuses one that has none', async () => {
    const { code, stdout } = await run([
      '--seed',
      '2',
      '--workload',
      'bank',
      '--faults',
      'log-reset',
      '--json',
    ])
    expect(JSON.parse(stdout)).toMatchObject({ seeds: 1 })
    expect(stdout).not.toContain('an invariant of Holdfast')
    expect(code).toBeLessThan(2)
    const alien = await run(['--setup', 'embedded', '--faults', 'pause,log-reset'])
    expect(alien).toMatchObject({ code: 2, stdout: '' })
    expect(alien.stderr).toContain('--setup embedded has no log-reset')
    expect(await run(['--patch', 'some.patch'])).toMatchObject({ code: 2, stdout: '' })
  })
})
