// The same seed gives the same trace in this process, in another, and with the newest Node that npm
// has: each version is compared with itself, since engines may differ in the order of a few things.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCampaign } from '../../src/sim/campaign.ts'
import type { CampaignReport } from '../../src/sim/campaign-report.ts'
import { WORKLOADS } from '../../src/sim/workloads/all.ts'
import { Bundled } from './bundled.ts'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
/** Kept between runs: a Node is some 100 MB. */
const cache = join(root, 'node_modules', '.cache', 'holdfast-newest-node')
const SEEDS = [1, 2, 3, 4]
const workloads = WORKLOADS.slice(0, SEEDS.length)
const names = workloads.map(({ name }) => name).join(',')
const args = ['--seeds', `${SEEDS.length}`, '--workload', names, '--json', '--jobs', '1']

const simulator = new Bundled()
beforeAll(() => simulator.build())
afterAll(() => simulator[Symbol.dispose]())

async function hashWith(node?: string): Promise<string> {
  const { code, stdout, stderr } = await simulator.run(args, node === undefined ? {} : { node })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return (JSON.parse(stdout) as CampaignReport).hash
}

/** The newest Node, fetched into the cache unless it is there; or why it cannot be had. */
function newestNode(): { readonly node: string } | { readonly problem: string } {
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
  const npm = (...args: string[]) =>
    spawnSync('npm', args, {
      encoding: 'utf8',
      timeout: 90_000,
      shell: process.platform === 'win32',
    })
  const asked = npm('view', name, 'dist-tags.latest')
  if (asked.status !== 0) return { problem: `npm has no ${name}: ${lastLine(asked.stderr)}` }
  const prefix = join(cache, asked.stdout.trim())
  const binary = process.platform === 'win32' ? 'node.exe' : 'node'
  const node = join(prefix, 'node_modules', name, 'bin', binary)
  if (!existsSync(node)) {
    mkdirSync(prefix, { recursive: true })
    const version = `${name}@${asked.stdout.trim()}`
    const got = npm(
      'install',
      '--prefix',
      prefix,
      '--no-save',
      '--no-audit',
      '--ignore-scripts',
      version,
    )
    if (got.status !== 0) return { problem: `${version} cannot be had: ${lastLine(got.stderr)}` }
  }
  const ran = spawnSync(node, ['--version'], { encoding: 'utf8' })
  return ran.status === 0 ? { node } : { problem: `${node} does not run: ${String(ran.error)}` }
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''

describe('the same seeds', { timeout: 300_000 }, () => {
  it('give the same traces in this process, again in it, and in others', async () => {
    const here = async (): Promise<string> => {
      const campaign = { workloads, seeds: SEEDS, faults: 'survivable' } as const
      return (await runCampaign(campaign)).hash
    }
    const first = await here()
    expect(await here()).toBe(first)
    expect(await hashWith()).toBe(first)
  })

  it('give the same traces in two processes of the newest Node', async (context) => {
    const newest = newestNode()
    if ('problem' in newest) {
      process.stderr.write(`\nSKIPPED: no newer Node was tested: ${newest.problem}\n\n`)
      return context.skip(newest.problem)
    }
    const [first, second] = [await hashWith(newest.node), await hashWith(newest.node)]
    expect(second).toBe(first)
  })
})
