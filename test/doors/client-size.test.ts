/** What a web page loads of the client. */
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { bundleClient } from './bundle-client.ts'

const KiB = 1024
/** What is promised is 15 KiB; the rest is room to mend bugs in. */
const GZIP_MAX_BYTES = 13.5 * KiB

test('the client is small, and nothing but itself and the core', async () => {
  const { text, metafile } = await bundleClient()
  const bytes = gzipSync(text, { level: 9 }).length
  console.log(`holdfast/client: ${text.length} bytes, ${bytes} compressed`)
  expect(bytes).toBeGreaterThan(1 * KiB)
  expect(bytes).toBeLessThanOrEqual(GZIP_MAX_BYTES)

  const [output] = Object.values(metafile.outputs)
  expect(output?.imports).toEqual([])
  const inputs = Object.keys(output?.inputs ?? {})
  expect(inputs).toContain('src/client.ts')
  expect(inputs.filter((path) => !/^src\/(client[./]|core\/)/.test(path))).toEqual([])
  expect(text).not.toMatch(/["']node:/)
  expect(text).not.toMatch(/\brequire\(|\bprocess\.|new Function|\beval\(/)
})
