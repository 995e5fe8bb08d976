/** `holdfast/client` as one file for browsers. */
import { fileURLToPath } from 'node:url'
import { build, type Metafile } from 'esbuild'

/** As a module; or as a script that leaves its exports in the global `holdfast`. */
export async function bundleClient(
  format: 'esm' | 'iife' = 'esm',
): Promise<{ readonly text: string; readonly metafile: Metafile }> {
  const entry = fileURLToPath(new URL('../../src/client.ts', import.meta.url))
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format,
    globalName: 'holdfast',
    platform: 'browser',
    target: 'es2022',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  return { text: outputFiles[0]?.text ?? '', metafile }
}
