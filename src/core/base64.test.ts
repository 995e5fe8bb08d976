import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bytesOf, formatBase64, parseBase64, textOf } from './base64.ts'

test('bytes come back from base64, with Buffer and without', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const text = formatBase64(bytes)
      expect(textOf(bytes)).toBe(text)
      expect(parseBase64(text)).toEqual(bytes)
      expect(bytesOf(text)).toEqual(bytes)
    }),
  )
})

test('many bytes are no more than the stack takes', () => {
  const bytes = Uint8Array.from({ length: 300_001 }, (_, i) => i)
  expect(textOf(bytes)).toBe(formatBase64(bytes))
  expect(bytesOf(textOf(bytes))).toEqual(bytes)
})

test.each(['A', 'AA', 'AA=', 'A===', 'AAEC ', ' AAEC', 'AA-_', 'AAEC\n'])(
  '%j is no base64',
  (text) => {
    expect(parseBase64(text)).toBeUndefined()
  },
)
