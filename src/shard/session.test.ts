import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteReader, ByteWriter, EMPTY, equalBytes, type Bytes } from '../core/bytes.ts'
import { admit, applied, close, newSession, readSession, writeSession } from './session.ts'

const digest = (tag: number): Bytes => new Uint8Array(16).fill(tag)

function after(...numbers: number[]): ReturnType<typeof newSession> {
  const session = newSession(10, digest(7), digest(8))
  for (const number of numbers)
    applied(session, { number, digest: digest(number), verdicts: EMPTY }, 1)
  return session
}

describe('a session', () => {
  it('applies the next number only', () => {
    expect(admit(after(), 1, digest(1))).toBe('apply')
    expect(admit(after(), 2, digest(1))).toBe('gap')
    expect(admit(after(1, 2), 3, digest(3))).toBe('apply')
    expect(admit(after(1, 2), 4, digest(4))).toBe('gap')
  })

  it('knows a repeated number by its digest, and is forked by another one', () => {
    expect(admit(after(1, 2), 2, digest(2))).toBe('repeated')
    expect(admit(after(1, 2), 1, digest(1))).toBe('repeated')
    expect(admit(after(1, 2), 2, digest(9))).toBe('forked')
  })

  it('that was never opened, or was closed, applies nothing', () => {
    expect(admit(undefined, 1, digest(1))).toBe('closed')
    const session = after(1)
    close(session, 99)
    expect(session.closedAt).toBe(99)
    expect(admit(session, 2, digest(2))).toBe('closed')
    expect(admit(session, 1, digest(1))).toBe('repeated')
    expect(admit(session, 1, digest(9))).toBe('closed')
  })

  it('forgets fates that its sender has settled, and none other', () => {
    const session = after(1, 2, 3)
    applied(session, { number: 4, digest: digest(4), verdicts: EMPTY }, 3)
    expect(session.fates.map(({ number }) => number)).toEqual([3, 4])
    expect(admit(session, 1, digest(1))).toBe('repeated')
  })

  it('applies each number once, whatever is sent, and is the same when it was stored between', () => {
    const sent = fc.record({ number: fc.integer({ min: 1, max: 6 }), tag: fc.nat({ max: 2 }) })
    fc.assert(
      fc.property(fc.array(sent, { maxLength: 40 }), (list) => {
        let session = newSession(3, digest(7), digest(8))
        const bound = new Map<number, number>()
        for (const { number, tag } of list) {
          const verdict = admit(session, number, digest(tag))
          if (verdict === 'apply') {
            expect(session.open).toBe(true)
            expect(number).toBe(bound.size + 1)
            bound.set(number, tag)
            applied(session, { number, digest: digest(tag), verdicts: Uint8Array.of(tag) }, 1)
          } else if (verdict === 'forked') {
            expect(bound.get(number)).not.toBe(tag)
            close(session, 50)
          } else if (verdict === 'repeated') expect(bound.get(number)).toBe(tag)
          else if (verdict === 'gap') expect(number).toBeGreaterThan(bound.size + 1)
          else expect(session.open).toBe(false)
          const writer = new ByteWriter()
          writeSession(writer, session)
          const stored = writer.finish()
          session = readSession(new ByteReader(stored))
          writer.reset()
          writeSession(writer, session)
          expect(equalBytes(writer.finish(), stored)).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })
})
