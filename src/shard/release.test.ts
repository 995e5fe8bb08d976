import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Release } from '../log/entry.ts'
import { decodeState, emptyState, encodeState, type LogState } from './log-state.ts'
import { encodeControl } from '../log/entry-codec.ts'
import { release } from './release.ts'
import { decide } from './state-machine.ts'
import { Window } from './window.ts'

const word = (node: number, flushed: number, below: number, copies = 2): Release => ({
  kind: 'release',
  node: new Uint8Array(16).fill(node),
  flushed,
  below,
  copies,
})

function after(...words: Release[]): LogState {
  const state = emptyState()
  for (const [i, one] of words.entries()) release(state, 1_000 + i, one)
  return state
}

describe('a log lets go', () => {
  it('nothing on one node’s word, and what two have flushed', () => {
    expect(after(word(1, 100, 90)).released).toBe(0)
    expect(after(word(1, 100, 90), word(1, 200, 190)).released).toBe(0)
    expect(after(word(1, 100, 90), word(2, 50, 40)).released).toBe(40)
    expect(after(word(1, 100, 90), word(2, 50, 95)).released).toBe(51)
    expect(after(word(1, 100, 90), word(2, 50, 95), word(3, 80, 95)).released).toBe(81)
  })

  it('as many nodes’ words as the one who asks wants', () => {
    expect(after(word(1, 100, 90, 1)).released).toBe(90)
    expect(after(word(1, 100, 90), word(2, 100, 90, 3)).released).toBe(0)
    expect(after(word(1, 100, 90), word(2, 100, 90, 3), word(3, 100, 90, 3)).released).toBe(90)
  })

  it('nothing that was not in the log when it was said', () => {
    const state = emptyState()
    release(state, 10, word(1, 99, 99))
    release(state, 11, word(2, 99, 99))
    expect(state.released).toBe(10)
  })

  it('nothing on the word of a node that started since, or beside one whose place it may have', () => {
    const id = (byte: number): Uint8Array => new Uint8Array(16).fill(byte)
    const state = emptyState()
    const next = (entry: Parameters<typeof encodeControl>[1]): void => {
      decide(state, new Window(0), state.position + 1, encodeControl(id(9), entry))
    }
    const opens = (node: number): void => {
      const value = { nonce: id(state.position), node: id(node), incarnation: id(1), timeMs: 1 }
      next({ kind: 'open', value })
    }
    const barriers = (): void => {
      for (let n = 0; n < 20; n++) next({ kind: 'barrier', nonce: id(n) })
    }
    next({ kind: 'genesis', value: { shards: 4, timeMs: 1, alone: false } })
    for (const node of [1, 2, 3]) opens(node)
    barriers()
    next(word(1, 20, 20))
    // Its disk was lost, and another takes its place: there is one copy, of two words.
    opens(4)
    next(word(4, 20, 20))
    expect(state.released).toBe(0)
    // Its folder is an older copy: the others' words still hold.
    next(word(2, 20, 20))
    expect(state.released).toBe(20)
    barriers()
    next(word(2, 40, 40))
    opens(2)
    next(word(1, 40, 40))
    expect(state.released).toBe(21)
    next(word(3, 30, 40))
    expect(state.released).toBe(31)
  })

  it('never more than two nodes have flushed, and never less than before', () => {
    const words = fc.record({
      node: fc.integer({ min: 1, max: 4 }),
      flushed: fc.nat(50),
      below: fc.nat(60),
    })
    fc.assert(
      fc.property(fc.array(words, { maxLength: 30 }), (list) => {
        const flushed = new Map<number, number>()
        let state = emptyState()
        for (const [i, one] of list.entries()) {
          const before = state.released
          flushed.set(one.node, Math.max(one.flushed, flushed.get(one.node) ?? 0))
          release(state, 100 + i, word(one.node, one.flushed, one.below))
          const second = [...flushed.values()].toSorted((a, b) => b - a)[1] ?? -1
          expect(state.released).toBeGreaterThanOrEqual(before)
          expect(state.released).toBeLessThanOrEqual(Math.max(0, second + 1))
          // A node that restarts between goes on as one that did not.
          const stored = encodeState(state)
          state = decodeState(stored, undefined)
          expect(encodeState(state)).toEqual(stored)
        }
      }),
    )
  })
})
