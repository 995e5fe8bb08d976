/** Who waits for whom before a group is sealed. */
import { describe, expect, it } from 'vitest'
import { Crowd } from './crowd.ts'

describe('a crowd of callers', () => {
  it('of one or few is waited for by nobody', () => {
    const crowd = new Crowd()
    expect(crowd.lacks(1)).toBe(false)
    crowd.seen(1, 0)
    crowd.seen(3, 4)
    expect(crowd.lacks(0)).toBe(false)
  })

  it('is those who were answered and those who waited meanwhile', () => {
    const crowd = new Crowd()
    crowd.seen(32, 32)
    expect([crowd.lacks(32), crowd.lacks(57), crowd.lacks(58), crowd.lacks(64)]).toEqual([
      true,
      true,
      false,
      false,
    ])
  })

  it('that went away is forgotten', () => {
    const crowd = new Crowd()
    crowd.seen(32, 32)
    for (let flushes = 0; flushes < 21; flushes++) crowd.seen(1, 0)
    expect(crowd.lacks(1)).toBe(false)
  })
})
