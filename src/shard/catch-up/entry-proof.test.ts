import { describe, expect, it } from 'vitest'
import type { Bytes } from '../../core/bytes.ts'
import { digest } from '../../core/hash.ts'
import { encodeBatch, encodeControl } from '../../log/entry-codec.ts'
import { encodeGenesis } from '../genesis.ts'
import { EntryProof } from './entry-proof.ts'

const IDENTITY = new Uint8Array(16).fill(7)
const START = new Uint8Array(16).fill(1)

const barrier = (tag: number): Bytes =>
  encodeControl(IDENTITY, { kind: 'barrier', nonce: new Uint8Array(16).fill(tag) })

function carrying(position: number, entryChain: Bytes, identity = IDENTITY): Bytes {
  const { frame } = encodeBatch(identity, {
    session: 1,
    number: 1,
    settledBelow: 1,
    carried: { position, entryChain, decisionChain: START },
    nonce: START,
    timeMs: 0,
    commands: [],
    transactions: [],
  })
  return frame
}

const folded = (...frames: Bytes[]): Bytes =>
  frames.reduce((chain, frame) => digest(chain, frame), START)

const corrupt: unknown = expect.objectContaining({ code: 'EntryCorrupt' })

describe('entries that a peer kept', () => {
  const [a, b, c] = [barrier(1), barrier(2), barrier(3)] as [Bytes, Bytes, Bytes]

  it('wait until a later one carries the chain that they lead to', () => {
    const proof = new EntryProof(IDENTITY, 10, START)
    expect([proof.add(a), proof.add(b), proof.add(c)]).toEqual([[], [], []])
    const proved = proof.add(carrying(12, folded(a, b)))
    expect(proved.map(({ position }) => position)).toEqual([11, 12])
    expect(proved[1]?.frame).toEqual(b)
    expect(proof.position).toBe(14)
  })

  it('are proved by what the peer had at the last of them', () => {
    const proof = new EntryProof(IDENTITY, 10, START)
    proof.add(a)
    proof.add(b)
    expect(proof.prove(12, folded(a, b)).map(({ position }) => position)).toEqual([11, 12])
    expect(proof.prove(12, folded(a, b))).toEqual([])
  })

  it('are refused when one is another than the log had, a stranger’s too', () => {
    for (const other of [barrier(9), new Uint8Array([1, 2, 3])]) {
      const proof = new EntryProof(IDENTITY, 10, START)
      proof.add(other)
      proof.add(b)
      expect(() => proof.add(carrying(12, folded(a, b)))).toThrow(corrupt)
    }
    const proof = new EntryProof(IDENTITY, 10, START)
    proof.add(a)
    expect(() => proof.prove(11, folded(b))).toThrow(corrupt)
  })

  it('are proved by those of the log that their history went on under, too', () => {
    const NEXT = new Uint8Array(16).fill(8)
    const at = folded(a, b)
    const parent = { identity: IDENTITY, position: 12, entryChain: at, decisionChain: START }
    const genesis = encodeGenesis(NEXT, { shards: 4, timeMs: 0, alone: false, parent })
    const positions = (...before: Bytes[]): number[] => {
      const proof = new EntryProof(IDENTITY, 10, START)
      for (const frame of [...before, genesis, c]) proof.add(frame)
      const chain = folded(...before, genesis)
      return proof.add(carrying(13, chain, NEXT)).map(({ position }) => position)
    }
    expect(positions(a, b)).toEqual([11, 12, 13])
    // A genesis from another place is none, and what names its identity proves nothing.
    expect(positions(a, c)).toEqual([])
  })

  it('are refused when one is damaged', () => {
    const damaged = Buffer.from(a)
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 1) ^ 1, damaged.length - 1)
    expect(() => new EntryProof(IDENTITY, 10, START).add(damaged)).toThrow(corrupt)
  })
})
