// Lets a child process of a test import 'holdfast' and its parts from the sources, dist/ or not. With
// test/child/typescript.mjs, which compiles them.
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

/** @type {Readonly<Record<string, string>>} */
const sources = {
  holdfast: new URL('../../src/index.ts', import.meta.url).href,
  'holdfast/client': new URL('../../src/client.ts', import.meta.url).href,
  'holdfast/server': new URL('../../src/server.ts', import.meta.url).href,
  'holdfast/testing': new URL('../../src/testing.ts', import.meta.url).href,
}
if (isMainThread) register(import.meta.url)

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, nextResolve) {
  return nextResolve(sources[specifier] ?? specifier, context)
}
