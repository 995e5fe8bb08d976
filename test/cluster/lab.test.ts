// `npm run cluster` and `holdfast lab`, as their users run them.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { callLab } from '../../src/verify/lab-client.ts'
import type { LabCall, LabView } from '../../src/verify/lab.ts'
import { natsServerMissing } from '../child/nats-servers.ts'
import { holdfast } from '../cli/run-holdfast.ts'

const missing = natsServerMissing('npm run cluster')
const place = mkdtempSync(join(tmpdir(), 'holdfast-lab-'))
/** As `npm run cluster` names it. */
const dir = join(place, 'cluster')
const root = join(import.meta.dirname, '../..')
const noDeathSignal = spawnSync('setpriv', ['--version']).status !== 0
if (noDeathSignal) {
  process.stderr.write('\nSKIPPED: that a cluster ends with its killed parent: no setpriv here\n\n')
}
const never = new AbortController().signal

afterAll(() => rmSync(place, { recursive: true, force: true, maxRetries: 3 }))

/** A run of scripts/cluster.mjs in `dir`, once its load runs. */
class Run implements AsyncDisposable {
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
  /** Lines of counters so far in which puts were acked. */
  #busy = 0

  private constructor() {
    const script = join(root, 'scripts/cluster.mjs')
    this.child = spawn(process.execPath, [script, '--dir', dir, '--no-sample'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.ended = once(this.child, 'exit')
    createInterface({ input: this.child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (/puts [1-9]/.test(line)) this.#busy++
    })
  }

  static async start(): Promise<Run> {
    const run = new Run()
    await run.works()
    return run
  }

  /** Resolves once its load is acked from now on. */
  async works(): Promise<void> {
    // The line that comes next may count what was before.
    const enough = this.#busy + 2
    while (this.#busy < enough) {
      if (this.child.exitCode !== null) throw new Error(`the cluster ended: ${this.child.exitCode}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGTERM')
    if (this.child.exitCode === null && this.child.signalCode === null) await this.ended
  }
}

const ask = (call: LabCall): Promise<LabView> => callLab(dir, call, never)

const pids = ({ nodes, servers }: LabView): number[] =>
  [...nodes, ...servers].flatMap(({ pid }) => pid ?? [])

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe.skipIf(missing !== undefined)('the lab', { timeout: 120_000 }, () => {
  it('does to a cluster what it is told, and says so; the load goes on, and Ctrl-C ends all', async () => {
    await using run = await Run.start()
    const before = await ask({ action: 'show' })
    expect(before.nodes.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'node-1 running',
      'node-2 running',
      'node-3 running',
    ])
    const node = before.nodes[1]?.pid ?? 0
    const killed = await holdfast(['lab', 'kill', 'node-2', '--dir', dir])
    expect(killed).toMatchObject({ code: 0, stderr: '' })
    expect(killed.stdout).toMatch(/^killed node-2\n.*what it acked stays.*lab restart node-2/s)
    expect(isThere(node)).toBe(false)
    await run.works()
    // Nothing is named: it finds the cluster that runs here.
    const status = await holdfast(['status', '--json'], { cwd: place })
    expect(JSON.parse(status.stdout)).toMatchObject({
      kind: 'cluster',
      log: { servers: [{ isCurrent: true }, { isCurrent: true }, { isCurrent: true }] },
    })
    const parted = await holdfast([
      ...[
        'lab',
        'partition',
        'nats-3',
        '--one-way',
        'in',
        '--from',
        'nats-1',
        '--json',
        '--dir',
        dir,
      ],
    ])
    expect(JSON.parse(parted.stdout)).toMatchObject({
      action: 'partition',
      faults: [{ kind: 'partition', name: 'nats-3', direction: 'in', others: ['nats-1'] }],
      nodes: [{ state: 'running' }, { name: 'node-2', state: 'dead' }, { state: 'running' }],
    })
    expect(await ask({ action: 'heal' })).toMatchObject({ faults: [] })
    expect(await ask({ action: 'pause', name: 'node-3' })).toMatchObject({
      nodes: [{}, {}, { state: 'paused' }],
    })
    const back = await ask({ action: 'restart', name: 'node-2' })
    expect(back).toMatchObject({ nodes: [{}, { state: 'running' }, { state: 'paused' }] })
    await run.works()
    const unknown = ask({ action: 'kill', name: 'node-9' })
    await expect(unknown).rejects.toMatchObject({ code: 'InvalidArgument', applied: 'no' })
    run.child.kill('SIGINT')
    await run.ended
    expect(pids(back)).toHaveLength(6)
    expect(pids(back).filter(isThere)).toEqual([])
  })

  it('says where none runs', async () => {
    const { code, stderr } = await holdfast(['lab', 'heal', '--dir', join(dir, 'elsewhere')])
    expect(code).toBe(3)
    expect(stderr).toContain('error Unreachable: no cluster runs in ')
    expect(stderr).toContain('try: npm run cluster')
  })
})

describe.skipIf(noDeathSignal)('a process of a cluster', () => {
  it('ends with the one that started it, when that is killed', async () => {
    const module = pathToFileURL(join(root, 'dist/verify/managed-process.js')).href
    const text = `
      import { ManagedProcess } from '${module}'
      const process = new ManagedProcess('one', '', () => ({ command: 'sleep', args: ['600'] }))
      await process.start()
      console.log(process.pid)
    `
    const parent = spawn(process.execPath, ['--input-type=module', '-e', text], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(line.toString())
    expect(isThere(pid)).toBe(true)
    parent.kill('SIGKILL')
    while (isThere(pid)) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(isThere(pid)).toBe(false)
  })
})
