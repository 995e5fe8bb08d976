// What a client has seen is never forgotten for a token that stands for less, or for something else.
import { describe, expect, it } from 'vitest'
import { logOf, newerToken, positionOf } from './session-token.ts'

const [A, B] = ['a'.repeat(32), 'b'.repeat(32)]
const half = (letter: string): string => letter.repeat(16)
const first = (position: number): string => `hf1.${A}.${position}`
const second = (position: number): string => `hf2.${A}.2.${half('c')}.${position}`

describe('the newer of two tokens', () => {
  it('is the one further on in the same log', () => {
    expect(newerToken(first(5), first(7))).toBe(first(7))
    expect(newerToken(first(7), first(5))).toBe(first(7))
    expect(newerToken(second(5), `${second(7)}.3`)).toBe(second(7))
    expect(newerToken(undefined, first(1))).toBe(first(1))
    expect(newerToken(first(1), 'nothing')).toBe(first(1))
  })

  it('is that of the log which goes on with the one known, once it is further on', () => {
    expect(newerToken(first(5), second(7))).toBe(second(7))
    // What was seen there was lost: the server is to say so.
    expect(newerToken(first(9), second(7))).toBe(first(9))
    expect(newerToken(second(7), first(9))).toBe(second(7))
  })

  it('is never that of another history', () => {
    expect(newerToken(first(5), `hf1.${B}.7`)).toBe(first(5))
    expect(newerToken(first(5), `hf2.${B}.2.${half('c')}.7`)).toBe(first(5))
    expect(newerToken(second(5), `hf2.${A}.2.${half('d')}.7`)).toBe(second(5))
  })

  it('says where it is', () => {
    expect([positionOf(second(7)), logOf(second(7))]).toEqual([7, `hf2.${A}.2.${half('c')}`])
    expect([positionOf('x'), logOf(undefined)]).toEqual([undefined, undefined])
  })
})
