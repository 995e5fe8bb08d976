// Import is exactly once by position: whatever dies in between, each good row is there once and each
// bad line is in the rejects file once.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { open } from '../../src/index.ts'
import {
  bytesOf,
  whenSo,
  buildHoldfast,
  holdfast,
  holdOpen,
  jsonLines,
  whileHeld,
  Workplace,
} from './run-holdfast.ts'
import { standing } from './standing.ts'

beforeAll(buildHoldfast)

const rows = 12_000
/** Lines that are bad: a cell too many, or no key. */
const isBad = (i: number) => i % 97 === 5
const badCount = Array.from({ length: rows }, (_, i) => i).filter(isBad).length

/** Keys repeat, so that a row imported twice, or out of order, would show. */
function writeCsv(path: string): void {
  const lines = ['id,n,text']
  for (let i = 0; i < rows; i++) {
    if (!isBad(i)) lines.push(`k${i},${i},${'x'.repeat(i % 120)}`)
    else lines.push(i % 2 === 0 ? `k${i},${i},a,b` : `,${i},no key`)
  }
  writeFileSync(path, `${lines.join('\n')}\n`)
}

async function checkImported(place: Workplace): Promise<void> {
  await using db = await open({ dir: place.data, mustExist: true })
  const found: unknown[] = []
  for await (const row of db.table('items').query()) found.push(row['n'])
  const expected = Array.from({ length: rows }, (_, i) => i).filter((i) => !isBad(i))
  expect(found.sort((a, b) => Number(a) - Number(b))).toEqual(expected)
  expect(await db.table('_imports').count()).toBe(1)
  const rejects = jsonLines(readFileSync(place.path('items.csv.rejects.ndjson'), 'utf8'))
  const positions = rejects.map(({ position }) => Number(position)).sort((a, b) => a - b)
  expect(positions).toEqual(Array.from({ length: rows }, (_, i) => i).filter(isBad))
  for (const { line, position, reason, raw } of rejects) {
    expect(line).toBe(Number(position) + 2)
    expect(reason).toMatch(/cells|Key/)
    expect(raw).toContain(String(position))
  }
}

const command = (place: Workplace, ...more: string[]) => [
  ...['import', 'items', place.path('items.csv'), '--create', '--key', 'id'],
  ...['--index', 'byN=n', '--dir', place.data, '--json', ...more],
]

/** A random bit further than now: rejects are written all along. */
function further(place: Workplace): () => boolean {
  const path = place.path('items.csv.rejects.ndjson')
  const goal = bytesOf(path) + 1 + Math.random() * 3_000
  return () => bytesOf(path) >= goal
}

describe.each([
  ['held by another process', true],
  ['held by none', false],
])('into a folder %s', (_name, isHeld) => {
  it('says what it did, does it once, and again when asked', async () => {
    using place = new Workplace()
    writeCsv(place.path('items.csv'))
    await whileHeld(place.data, isHeld, async () => {
      const first = await holdfast(command(place))
      expect(first.code).toBe(0)
      expect(JSON.parse(first.stdout)).toMatchObject({
        ...{ table: 'items', imported: rows - badCount, rejected: badCount, skipped: 0 },
        rejectsFile: place.path('items.csv.rejects.ndjson'),
      })
      const second = await standing(command(place))
      expect(JSON.parse(second.stdout)).toMatchObject({ alreadyDone: true, skipped: rows })
      expect(second.stderr).toContain('--again')
    })
    await checkImported(place)
    const again = await standing(command(place, '--again'))
    expect(JSON.parse(again.stdout)).toMatchObject({ alreadyDone: false, skipped: 0 })
    await checkImported(place)
  })

  it('goes on after SIGKILL', async () => {
    using place = new Workplace()
    writeCsv(place.path('items.csv'))
    await whileHeld(place.data, isHeld, async () => {
      let killed = 0
      for (let round = 0; round < 4; round++) {
        const when = further(place)
        const ended = await holdfast(command(place), { kill: { when, signal: 'SIGKILL' } })
        if (ended.signal === 'SIGKILL') killed++
        else break
      }
      expect(killed).toBeGreaterThan(0)
      expect((await holdfast(command(place))).code).toBe(0)
    })
    await checkImported(place)
  })
})

it('goes on after the process that holds the folder was killed, and says so', async () => {
  using place = new Workplace()
  writeCsv(place.path('items.csv'))
  const holder = await holdOpen(place.data)
  const importing = holdfast(command(place))
  whenSo(further(place), () => void holder.kill('SIGKILL'))
  const ended = await importing
  if (ended.code !== 0) {
    expect(ended.code).toBe(3)
    const { error } = JSON.parse(ended.stderr) as { error: { code: string; applied: string } }
    expect(['OutcomeUnknown', 'Closed']).toContain(error.code)
  }
  expect((await holdfast(command(place))).code).toBe(0)
  await checkImported(place)
})

it('stops in order at Ctrl-C and says how to go on', async () => {
  using place = new Workplace()
  writeCsv(place.path('items.csv'))
  const args = command(place).filter((arg) => arg !== '--json')
  const ended = await holdfast(args, { kill: { when: further(place), signal: 'SIGINT' } })
  if (ended.code !== 0) {
    expect(ended).toMatchObject({ code: 130, signal: null })
    expect(ended.stderr).toMatch(/^interrupted/m)
  }
  expect((await holdfast(command(place))).code).toBe(0)
  await checkImported(place)
})

it('takes rows as large as they may be, refuses larger ones, and rows that are there', async () => {
  using place = new Workplace()
  const big = (id: number, bytes: number) => JSON.stringify({ id, text: 'y'.repeat(bytes) })
  const lines = [1, 2, 3].map((id) => big(id, 200_000))
  lines.push(big(4, 300_000), '{"id":5}', '{"id":5}', '{"id":{}}', '[1]', '{broken')
  writeFileSync(place.path('big.ndjson'), lines.join('\n'))
  const rejects = place.path('bad.ndjson')
  const { stdout, code } = await standing([
    ...['import', 'big', place.path('big.ndjson'), '--create', '--key', 'id', '--mode', 'insert'],
    ...['--rejects', rejects, '--dir', place.data, '--json'],
  ])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ imported: 4, rejected: 5 })
  const reasons = jsonLines(readFileSync(rejects, 'utf8')).map(({ line, reason }) => [
    line,
    /^\w+/.exec(String(reason))?.[0],
  ])
  expect(reasons.sort(([a], [b]) => Number(a) - Number(b))).toEqual([
    [4, 'RowTooLarge'],
    [6, 'AlreadyExists'],
    [7, 'InvalidKey'],
    [8, 'a'],
    [9, 'not'],
  ])
})

it('numbers rows, stops at a limit, and lets the last row of a key win', async () => {
  using place = new Workplace()
  const lines = Array.from({ length: 5_000 }, (_, i) => `{"k":${i % 10},"i":${i}}`)
  writeFileSync(place.path('rows.ndjson'), lines.join('\n'))
  const run = (...args: string[]) =>
    standing(['import', args[0] ?? '', place.path('rows.ndjson'), ...args.slice(1)], {
      env: { HOLDFAST_DIR: place.data },
    })
  expect((await run('numbered', '--create', '--row-number', 'row', '--limit', '700')).code).toBe(0)
  expect((await run('last', '--create', '--key', 'k')).code).toBe(0)
  const missing = await run('missing')
  expect(missing.code).toBe(1)
  expect(missing.stderr).toContain('--create --key FIELD')
  expect((await run('last', '--create')).code).toBe(2)
  await using db = await open({ dir: place.data })
  expect(await db.table('numbered').count()).toBe(700)
  expect(await db.table('numbered').get(700)).toEqual({ row: 700, k: 9, i: 699 })
  const last = await db.table('last').query().toArray()
  expect(last.map(({ i }) => i)).toEqual([
    4990, 4991, 4992, 4993, 4994, 4995, 4996, 4997, 4998, 4999,
  ])
  expect(existsSync(place.path('rows.ndjson.rejects.ndjson'))).toBe(false)
})
