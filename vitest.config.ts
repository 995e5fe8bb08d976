import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { ClosingLineReporter } from './scripts/closing-line-reporter.ts'

const source = (path: string) => fileURLToPath(new URL(`src/${path}`, import.meta.url))

export default defineConfig({
  // The tests of examples/ run against the sources, dist/ or not.
  resolve: {
    alias: [
      { find: /^holdfast\/testing$/, replacement: source('testing.ts') },
      { find: /^holdfast\/client$/, replacement: source('client.ts') },
      { find: /^holdfast\/server$/, replacement: source('server.ts') },
      { find: /^holdfast$/, replacement: source('index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts', 'src/**/*.test.ts', 'examples/**/*.test.ts'],
    pool: 'forks',
    // One more than the two cores that it is to run on: many tests wait, for elections and processes.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default', new ClosingLineReporter()],
  },
})
