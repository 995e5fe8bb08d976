// A served folder under load gets SIGTERM: what was answered is there, and nothing else is.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { open, strong } from '../../src/index.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const WRITERS = 16
/** For a child that runs from sources on a machine that has other work. */
const LIMIT_MS = 180_000
/** Writes that are answered before the signal is sent. */
const ACKS = 500

let dir: string
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'holdfast-sigterm-'))))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

it(
  'has every write that was answered, and no other, after SIGTERM under load',
  async () => {
    const child = spawn(
      process.execPath,
      ['--import', './test/child/typescript.mjs', 'test/child/serve-until-term.ts', dir],
      { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const exited = once(child, 'exit')
    const [printed] = (await once(child.stdout, 'data')) as [Buffer]
    const url = printed.toString().trim()
    const acked: string[] = []
    const refusals: number[] = []
    const write = async (writer: number): Promise<void> => {
      for (let i = 0; ; i++) {
        const id = `${writer}-${i}`
        // A request that finds no server, or loses its connection, has no answer.
        const answer = await fetch(`${url}/v1/tables/items/rows`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ id }),
        }).catch(() => undefined)
        if (answer === undefined) return
        await answer.text()
        if (answer.status !== 201) {
          refusals.push(answer.status)
          return
        }
        if (acked.push(id) === ACKS) child.kill('SIGTERM')
      }
    }
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)))
    expect(await exited).toEqual([0, null])
    expect(refusals.every((status) => status === 503)).toBe(true)
    expect(acked.length).toBeGreaterThanOrEqual(ACKS)
    const db = await open({ dir, tables: { items: strong<{ id: string }>({ key: 'id' }) } })
    const rows = await db.items.query().toArray()
    await db.close()
    expect(rows.map(({ id }) => id).sort()).toEqual(acked.sort())
  },
  LIMIT_MS,
)
