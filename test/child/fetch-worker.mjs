// A worker thread that runs the TypeScript beside it as it is.
import { register } from 'node:module'

register('./typescript.mjs', import.meta.url)
await import('./fetch-worker.ts')
