/**
 * Labelled random draws (D1). A stream is a pure function of the seed and of the labels that lead to
 * it, so that taking one operation or fault out of a plan shifts the draws of no other.
 *
 * Streams are xoshiro128** (Blackman and Vigna, 2018), seeded from a 128-bit hash of the label
 * (MurmurHash3's finaliser over four lanes).
 */
import type { Random } from '../core/env.ts'

export interface Draw extends Random {
  fork(label: string): Draw
  /** A whole number from `from` to `to`, both included. */
  int(from: number, to: number): number
  /** True with probability `p`. */
  chance(p: number): boolean
  pick<T>(list: readonly T[]): T
  /** Exponentially distributed, in the unit of `mean`. */
  exponential(mean: number): number
  shuffled<T>(list: readonly T[]): T[]
}

/** Counts draws, those of forks included. */
export interface DrawMeter {
  /** Called before each draw of 32 bits. */
  drew(): void
}

export function drawFrom(seed: number | string, label = '', meter?: DrawMeter): Draw {
  return new Stream(`${seed}/${label}`, meter)
}

class Stream implements Draw {
  readonly #path: string
  readonly #state: Uint32Array
  readonly #meter: DrawMeter | undefined

  constructor(path: string, meter: DrawMeter | undefined) {
    this.#path = path
    this.#state = stateOf(path)
    this.#meter = meter
  }

  fork(label: string): Draw {
    return new Stream(`${this.#path}/${label}`, this.#meter)
  }

  #next(): number {
    this.#meter?.drew()
    const s = this.#state as unknown as [number, number, number, number]
    const result = Math.imul(rotl(Math.imul(s[1], 5), 7), 9) >>> 0
    const t = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = rotl(s[3], 11)
    return result
  }

  float(): number {
    return ((this.#next() >>> 5) * 67_108_864 + (this.#next() >>> 6)) / 9_007_199_254_740_992
  }

  bytes(count: number): Uint8Array {
    const out = new Uint8Array(count)
    for (let i = 0; i < count; i += 4) {
      const word = this.#next()
      for (let j = 0; j < 4 && i + j < count; j++) out[i + j] = word >>> (8 * j)
    }
    return out
  }

  int(from: number, to: number): number {
    return from + Math.floor(this.float() * (to - from + 1))
  }

  chance(p: number): boolean {
    return this.float() < p
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)] as T
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.float())
  }

  shuffled<T>(list: readonly T[]): T[] {
    const out = [...list]
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(0, i)
      const kept = out[i] as T
      out[i] = out[j] as T
      out[j] = kept
    }
    return out
  }
}

function rotl(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by))
}

function stateOf(text: string): Uint32Array {
  const lanes = Uint32Array.of(0x9e3779b9, 0x243f6a88, 0xb7e15162, 0x6a09e667)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    for (let lane = 0; lane < 4; lane++) {
      lanes[lane] = Math.imul((lanes[lane] as number) ^ code, MULTIPLIERS[lane] as number)
      lanes[lane] = rotl(lanes[lane] as number, 13 + lane)
    }
  }
  let carry = text.length
  for (let lane = 0; lane < 4; lane++) carry = lanes[lane] = mix((lanes[lane] as number) ^ carry)
  // All zeros is the one state that xoshiro never leaves.
  if (lanes.every((word) => word === 0)) lanes[0] = 1
  return lanes
}

const MULTIPLIERS = [0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f, 0x165667b1]

function mix(word: number): number {
  let x = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}
