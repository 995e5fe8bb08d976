// Lets a child process of a test run the TypeScript sources as they are, dist/ or not:
//   node --import <this file> src/some/child.ts
import { readFile } from 'node:fs/promises'
import { register } from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'

// Node runs hooks in a thread of their own, and loads this file there again.
const ts = isMainThread ? undefined : (await import('typescript')).default
if (isMainThread) register(import.meta.url)

/** @type {import('node:module').LoadHook} */
export async function load(url, context, nextLoad) {
  if (ts === undefined || !url.endsWith('.ts')) return nextLoad(url, context)
  const fileName = fileURLToPath(url)
  const { outputText } = ts.transpileModule(await readFile(fileName, 'utf8'), {
    fileName,
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
  })
  return { format: 'module', source: outputText, shortCircuit: true }
}
