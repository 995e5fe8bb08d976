// Lets a child process of a test import 'holdfast' from the sources, dist/ or not. With
// test/child/typescript.mjs, which compiles them.
import { register } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const source = new URL('../../src/index.ts', import.meta.url).href
if (isMainThread) register(import.meta.url)

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, nextResolve) {
  return nextResolve(specifier === 'holdfast' ? source : specifier, context)
}
