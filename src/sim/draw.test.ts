import { describe, expect, it } from 'vitest'
import { drawFrom } from './draw.ts'

describe('draw', () => {
  it('gives the same stream for seed and label on every machine', () => {
    const draw = drawFrom(1, 'label')
    expect(Buffer.from(draw.bytes(8)).toString('hex')).toBe('a2be82003bdc44ea')
  })

  it('shifts no stream when another one is drawn from, left out or added', () => {
    const alone = drawFrom(5).fork('operation 2').bytes(16)
    const root = drawFrom(5)
    for (const label of ['operation 1', 'operation 3']) root.fork(label).bytes(100)
    root.float()
    expect(root.fork('operation 2').bytes(16)).toEqual(alone)
  })

  it('has no two labels with the same stream, among similar ones and near seeds', () => {
    const streams = new Set<string>()
    for (let seed = 0; seed < 100; seed++) {
      for (let label = 0; label < 100; label++) {
        streams.add(drawFrom(seed, `node-${label}`).bytes(8).join())
      }
    }
    expect(streams.size).toBe(10_000)
  })

  it('gives whole numbers in the range, both ends among them', () => {
    const draw = drawFrom(2)
    const seen = new Set<number>()
    for (let i = 0; i < 1_000; i++) seen.add(draw.int(-2, 3))
    expect([...seen].toSorted((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2, 3])
    expect(draw.int(4, 4)).toBe(4)
  })

  it('is true with the probability asked, never at 0 and always at 1', () => {
    const draw = drawFrom(3)
    let hits = 0
    for (let i = 0; i < 10_000; i++) {
      if (draw.chance(0.2)) hits++
      expect([draw.chance(0), draw.chance(1)]).toEqual([false, true])
    }
    // 10 sigma around 2,000.
    expect(Math.abs(hits - 2_000)).toBeLessThan(400)
  })

  it('is exponential with the mean asked, and finite', () => {
    const draw = drawFrom(4)
    let sum = 0
    for (let i = 0; i < 10_000; i++) {
      const value = draw.exponential(5)
      expect(value >= 0 && value < Infinity).toBe(true)
      sum += value
    }
    // 10 sigma around 5.
    expect(Math.abs(sum / 10_000 - 5)).toBeLessThan(0.5)
  })

  it('shuffles into permutations, every one of them, and leaves the list alone', () => {
    const draw = drawFrom(6)
    const list = [1, 2, 3, 4]
    const seen = new Set<string>()
    for (let i = 0; i < 1_000; i++) seen.add(draw.shuffled(list).join(''))
    expect(seen.size).toBe(24)
    for (const permutation of seen) expect([...permutation].toSorted().join('')).toBe('1234')
    expect(list).toEqual([1, 2, 3, 4])
  })

  it('tells its meter of every draw, those of forks included', () => {
    let drawn = 0
    const draw = drawFrom(7, '', { drew: () => drawn++ })
    draw.float()
    expect(drawn).toBe(2)
    draw.fork('x').fork('y').bytes(12)
    expect(drawn).toBe(5)
  })
})
