// Vitest as a newcomer has it: nothing is set but where `holdfast` is and what to run.
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url))

export default defineConfig({
  root: fileURLToPath(new URL('../..', import.meta.url)),
  resolve: {
    alias: [
      { find: /^holdfast\/testing$/, replacement: source('testing.ts') },
      { find: /^holdfast$/, replacement: source('index.ts') },
    ],
  },
  test: { include: ['examples/**/*.test.ts', 'test/sim-apps/*.fails.ts'] },
})
