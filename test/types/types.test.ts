/** Compiles `tables.ts`: what must be an error is one, and what must not is none. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

test('keys, indexes, rows and queries are checked by the compiler', { timeout: 60_000 }, () => {
  const here = dirname(fileURLToPath(import.meta.url))
  const root = join(here, '..', '..')
  const file = join(root, 'tsconfig.json')
  const config: unknown = ts.readConfigFile(file, (path) => ts.sys.readFile(path)).config
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const fixture = join(here, 'tables.ts')
  const program = ts.createProgram([fixture], options)
  const source = program.getSourceFile(fixture)
  expect(source).toBeDefined()
  const told = [
    ...program.getSemanticDiagnostics(source),
    ...program.getSyntacticDiagnostics(source),
  ].map(({ start, messageText }) => {
    const line = source?.getLineAndCharacterOfPosition(start ?? 0).line ?? 0
    return `${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
  expect(told).toEqual([])
})
