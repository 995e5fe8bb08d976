/** The zoo (D6): the campaign finds planted bugs, and says so when it does not. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { patchFiles, plant, runZoo, ZooError, type ZooVerdict } from '../src/sim/zoo.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'holdfast-zoo-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Both are found within a few seeds. */
const QUICK = ['aborted-applied', 'ack-before-flush']
const BUDGET = 40
const TIMEOUT_MS = 120_000

const head = (property: string): string =>
  `Bug: a bug of this test\nRule: none\nProperty: ${property}\n\n`

const NEW_FILE = `diff --git a/src/sim/new-file.ts b/src/sim/new-file.ts
new file mode 100644
--- /dev/null
+++ b/src/sim/new-file.ts
@@ -0,0 +1 @@
+/** Nobody imports this. */
`
const STALE = `diff --git a/src/sim/coverage.ts b/src/sim/coverage.ts
--- a/src/sim/coverage.ts
+++ b/src/sim/coverage.ts
@@ -1 +1 @@
-/** A line that is not there. */
+/** Another one. */
`

function written(name: string, text: string): string {
  const file = join(folder, `${name}.patch`)
  writeFileSync(file, text)
  return file
}

function quickFiles(): string[] {
  return patchFiles(root).filter((file) => QUICK.includes(basename(file, '.patch')))
}

function run(patches: readonly string[], budget: number): Promise<ZooVerdict[]> {
  return runZoo({ root, patches, budget, campaign: ['--jobs', '1'], process })
}

describe('the zoo', () => {
  it(
    'finds planted bugs by the property that each is expected to break',
    async () => {
      const verdicts = await run(quickFiles(), BUDGET)
      expect(verdicts).toHaveLength(QUICK.length)
      for (const { foundAfterSeeds, property, problem } of verdicts) {
        expect(problem).toBeUndefined()
        expect(foundAfterSeeds).toBeGreaterThan(0)
        expect(property).toMatch(/./)
      }
    },
    TIMEOUT_MS,
  )

  it(
    'finds nothing where nothing is planted',
    async () => {
      const harmless = written('harmless', head('.') + NEW_FILE)
      const [verdict] = await run([harmless], 3)
      expect(verdict).toMatchObject({
        name: 'harmless',
        foundAfterSeeds: null,
        budget: 3,
        problem: 'nothing was violated in 3 seeds',
      })
    },
    TIMEOUT_MS,
  )

  it(
    'does not take an accident for the bug that was to be found',
    async () => {
      const [quick = ''] = quickFiles()
      const other = readFileSync(quick, 'utf8').replace(/^Property: .*$/m, 'Property: ^other$')
      const [verdict] = await run([written('accident', other)], BUDGET)
      expect(verdict?.foundAfterSeeds).toBeNull()
      expect(verdict?.property).toMatch(/./)
      expect(verdict?.problem).toContain('where ^other$ was expected')
    },
    TIMEOUT_MS,
  )

  it('refuses a patch that does not apply, and one that does not say what it plants', async () => {
    const stale = written('stale', head('.') + STALE)
    const [verdict] = await run([stale], 1)
    expect(verdict?.foundAfterSeeds).toBeNull()
    expect(verdict?.problem).toContain('does not apply')
    await expect(run([written('nameless', NEW_FILE)], 1)).rejects.toThrow(ZooError)
    await expect(run([join(folder, 'missing.patch')], 1)).rejects.toThrow('missing.patch')
  })

  it(
    'has patches that apply to the source as it is',
    () => {
      const files = patchFiles(root)
      expect(files.length).toBeGreaterThanOrEqual(20)
      for (const file of files) {
        const planted = plant(file, { root, process })
        expect(planted).toBeTypeOf('string')
        rmSync(planted as string, { recursive: true, force: true })
      }
    },
    TIMEOUT_MS,
  )
})
