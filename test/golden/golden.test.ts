/** S13: what earlier builds wrote is decided and applied alike by this one. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { LEVEL } from '../../src/shard/log-state.ts'
import { recordGoldenLog, replayGoldenLog, type GoldenLog } from './golden-log.ts'

const here = new URL('./', import.meta.url)
const file = new URL(`level-${LEVEL}.json`, here)

// Only for a new level: `GOLDEN=write npx vitest run test/golden`.
if (process.env['GOLDEN'] === 'write') {
  writeFileSync(file, `${JSON.stringify(await recordGoldenLog(), undefined, 1)}\n`)
}

test('S13: there is a golden log of the present level', () => {
  expect(readdirSync(here)).toContain(`level-${LEVEL}.json`)
})

for (const name of readdirSync(here).filter((entry) => entry.endsWith('.json'))) {
  const golden = JSON.parse(readFileSync(new URL(name, here), 'utf8')) as GoldenLog

  test(`S13: ${name} leads to the state it led to when it was written`, async () => {
    const { entryChain, decisionChain, store } = golden
    expect(await replayGoldenLog(golden)).toEqual({ entryChain, decisionChain, store })
  })

  test(`S13: ${name} with one decision changed is told apart`, async () => {
    // The frame before the last batch is left out: every hash after it must differ.
    const frames = golden.frames.slice(0, -1)
    expect((await replayGoldenLog({ ...golden, frames })).store).not.toBe(golden.store)
  })
}
