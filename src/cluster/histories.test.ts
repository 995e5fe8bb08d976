// S7: nodes that tell each other their chains find out who has another history, and who goes on.
import { describe, expect, it } from 'vitest'
import { Kernel } from '../sim/kernel.ts'
import { heartbeat } from './heartbeat-samples.contract.ts'
import type { Halt, Mark } from './heartbeat.ts'
import { Histories, type Divergence } from './histories.ts'

const HALTED: Halt = { code: 'StorageFull', message: 'the disk is full' }

/** A node that has `history` at every position, and another one from `from` on. */
class Peer {
  readonly name: string
  flushed = 0
  from = Number.POSITIVE_INFINITY
  history = 'x'
  /** The oldest position remembered. */
  oldest = 1
  halted: Halt | undefined
  divergence: Divergence | undefined
  incarnation = 1
  histories = new Histories(this)

  constructor(name: string, flushed: number) {
    this.name = name
    this.flushed = flushed
  }

  at(position: number): Mark | undefined {
    if (position > this.flushed || position < this.oldest) return undefined
    const text = `${position >= this.from ? this.history : ''}@${position}`
    return { position, entries: text, decisions: text }
  }

  tells(): ReturnType<typeof heartbeat> {
    return heartbeat(this.name, {
      incarnation: `${this.name}#${this.incarnation}`,
      halted: this.halted,
      at: this.at(this.flushed) as Mark,
      marks: this.histories.disputed(),
    })
  }

  judge(nowMs: number, others: readonly string[]): void {
    if (this.halted !== undefined) return
    this.divergence = this.histories.judge(nowMs, others)
    if (this.divergence !== undefined) this.halted = { code: 'HistoryDiverged', message: '' }
  }
}

class Cluster {
  readonly peers: Peer[]
  nowMs = 0

  constructor(...flushed: number[]) {
    this.peers = flushed.map((at, i) => new Peer('abcdefg'[i] as string, at))
  }

  /** Half a second: each tells the others, and all judge. */
  round(hears: (from: string, to: string) => boolean = () => true): void {
    this.nowMs += 500
    const told = this.peers.map((peer) => peer.tells())
    for (const peer of this.peers) {
      for (const beat of told) {
        if (beat.node === peer.name || !hears(beat.node, peer.name)) continue
        peer.histories.heard(beat)
      }
    }
    for (const peer of this.peers) {
      const others = this.peers.filter(({ name }) => name !== peer.name)
      peer.judge(
        this.nowMs,
        others.map(({ name }) => name),
      )
    }
  }

  rounds(count: number): void {
    for (let n = 0; n < count; n++) this.round()
  }

  get halted(): string {
    return this.peers.flatMap(({ name, halted }) => (halted === undefined ? [] : [name])).join('')
  }
}

describe('nodes of one history', () => {
  it('go on, wherever each is and whatever it has forgotten', () => {
    const cluster = new Cluster(10, 500, 7_000)
    ;(cluster.peers[2] as Peer).oldest = 3_000
    for (let n = 0; n < 50; n++) {
      cluster.round()
      for (const [i, peer] of cluster.peers.entries()) peer.flushed += 7 * i + n
      expect(cluster.peers.map(({ histories }) => histories.withholds)).not.toContain(true)
    }
    expect(cluster.halted).toBe('')
  })
})

describe('a node of another history', () => {
  it.each([
    ['at the same position', [100, 100, 100]],
    ['behind the others', [100, 140, 180]],
    ['before the others', [180, 140, 100]],
  ])('halts, and says where and who: %s', (_, flushed) => {
    const cluster = new Cluster(...flushed)
    const odd = cluster.peers[0] as Peer
    odd.from = 90
    cluster.rounds(15)
    expect(cluster.halted).toBe('a')
    expect(odd.divergence?.agree).toEqual([])
    expect(odd.divergence?.differ).toContain('b')
    expect(odd.divergence?.position).toBeGreaterThanOrEqual(90)
    // The others go on to ack, whatever it goes on to tell.
    cluster.rounds(5)
    const [, b, c] = cluster.peers as [Peer, Peer, Peer]
    expect([b.histories.withholds, c.histories.withholds]).toEqual([false, false])
    // It starts again from the same folder.
    odd.histories = new Histories(odd)
    odd.incarnation++
    odd.halted = undefined
    cluster.rounds(15)
    expect(cluster.halted).toBe('a')
  })

  it('withholds its acks from the first heartbeat on, and so do those who do not know yet', () => {
    const cluster = new Cluster(100, 100, 100)
    const [a, b, c] = cluster.peers as [Peer, Peer, Peer]
    a.from = 90
    // The third is not heard at first.
    a.histories.heard(b.tells())
    b.histories.heard(a.tells())
    a.judge(0, ['b', 'c'])
    b.judge(0, ['a', 'c'])
    expect([a.histories.withholds, b.histories.withholds]).toEqual([true, true])
    expect(cluster.halted).toBe('')
    cluster.rounds(2)
    expect([b.histories.withholds, c.histories.withholds]).toEqual([false, false])
    expect([a.histories.withholds, cluster.halted]).toEqual([true, ''])
    cluster.rounds(10)
    expect(cluster.halted).toBe('a')
  })

  it('halts with all the others when there is no majority', () => {
    const two = new Cluster(100, 120)
    ;(two.peers[0] as Peer).from = 90
    two.rounds(15)
    expect(two.halted).toBe('ab')
    const three = new Cluster(100, 100, 100)
    for (const [i, peer] of three.peers.entries())
      Object.assign(peer, { from: 90, history: `${i}` })
    three.rounds(15)
    expect(three.halted).toBe('abc')
    const four = new Cluster(100, 100, 100, 100)
    for (const peer of four.peers.slice(2)) peer.from = 90
    four.rounds(15)
    expect(four.halted).toBe('abcd')
  })

  it('is outvoted by those who speak, when the others say nothing in time', () => {
    const cluster = new Cluster(100, 100, 100, 5, 5, 5, 5)
    const odd = cluster.peers[0] as Peer
    odd.from = 90
    cluster.rounds(5)
    expect(cluster.halted).toBe('')
    expect((cluster.peers[1] as Peer).histories.withholds).toBe(true)
    cluster.rounds(10)
    expect(cluster.halted).toBe('a')
    expect((cluster.peers[1] as Peer).histories.withholds).toBe(false)
  })

  it('does not halt who is still catching up with the majority', () => {
    const cluster = new Cluster(100, 100_000, 100_000, 100)
    const [a, b, c, d] = cluster.peers as [Peer, Peer, Peer, Peer]
    a.from = 90
    a.halted = HALTED
    // They do not remember where it stopped.
    b.oldest = c.oldest = 95_000
    cluster.rounds(30)
    expect([d.halted, d.histories.withholds]).toEqual([undefined, true])
    d.flushed = d.oldest = 100_000
    cluster.rounds(2)
    expect([cluster.halted, d.histories.withholds]).toEqual(['a', false])
  })

  it('does not halt who stood still before it heard the others', () => {
    const cluster = new Cluster(100, 100, 100)
    const [a, b] = cluster.peers as [Peer, Peer]
    a.from = 90
    cluster.round((from, to) => `${from}${to}` === 'ab')
    b.judge((cluster.nowMs += 60_000), ['a', 'c'])
    expect(b.halted).toBeUndefined()
    cluster.rounds(1)
    expect(b.histories.withholds).toBe(false)
    cluster.rounds(12)
    expect(cluster.halted).toBe('a')
  })

  it.each(Array.from({ length: 20 }, (_, i) => i + 1))(
    'never lets the majority halt while all are heard now and then, seed %i',
    (seed) => {
      const draw = new Kernel(seed).random('votes')
      const count = draw.int(3, 7)
      const cluster = new Cluster(...Array.from({ length: count }, () => draw.int(100, 900)))
      const odd = draw.int(1, Math.ceil(count / 2) - 1)
      for (const peer of cluster.peers.slice(0, odd)) peer.from = draw.int(50, 100)
      for (let n = 0; n < 60; n++) {
        cluster.round(() => draw.float() < 0.6)
        for (const peer of cluster.peers) {
          if (peer.halted === undefined) peer.flushed += draw.int(0, 3)
        }
      }
      cluster.rounds(20)
      expect(cluster.halted).toBe('abcdefg'.slice(0, odd))
      for (const peer of cluster.peers.slice(odd)) expect(peer.histories.withholds).toBe(false)
    },
  )
})

describe('a node that halted', () => {
  it('keeps who hears it from acking until that one reaches the same place', () => {
    const cluster = new Cluster(100, 40)
    const [a, b] = cluster.peers as [Peer, Peer]
    a.halted = HALTED
    cluster.round()
    expect(b.histories.withholds).toBe(true)
    b.flushed = 99
    cluster.round()
    expect(b.histories.withholds).toBe(true)
    b.flushed = 100
    cluster.round()
    expect(b.histories.withholds).toBe(false)
    expect(b.halted).toBeUndefined()
  })

  it('stops who reaches that place with another history, when nobody else knows', () => {
    const cluster = new Cluster(100, 40)
    const [a, b] = cluster.peers as [Peer, Peer]
    a.halted = HALTED
    b.from = 60
    cluster.round()
    b.flushed = 100
    cluster.rounds(12)
    expect(b.halted).toMatchObject({ code: 'HistoryDiverged' })
    expect(b.divergence).toMatchObject({ position: 100, differ: ['a'] })
  })

  it('and starts again, or closes in order, is waited for no more', () => {
    const cluster = new Cluster(100, 40)
    const [a, b] = cluster.peers as [Peer, Peer]
    a.halted = HALTED
    cluster.round()
    expect(b.histories.withholds).toBe(true)
    a.halted = undefined
    a.incarnation++
    cluster.round()
    expect(b.histories.withholds).toBe(false)
    b.histories.heard(heartbeat('a', { leaves: true }))
    expect(b.histories.withholds).toBe(false)
  })
})
