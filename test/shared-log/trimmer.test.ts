// S8: a log is trimmed by what nodes said, and never while it may have lost entries.
import { expect, test } from 'vitest'
import type { Log, LogExtent } from '../../src/log/log.ts'
import { LogTrimmer } from '../../src/shard/log-trimmer.ts'
import { put, only, Stage } from './scripted-log.ts'

test('a log that ends before what was applied keeps what is left of it, and one in doubt all', () =>
  Stage.run(async (stage) => {
    const node = await stage.started('a')
    for (let n = 0; n < 20; n++) await node.proposer.propose(only(put(node, 'k', n)))
    const { loop, store, id } = node
    const last = loop.flushed
    loop.state.released = last - 2
    const trimmed: number[] = []
    let extent: LogExtent = { first: 1, last: last - 5, bytes: 2_000, maxBytes: 1_000_000 }
    const room = {
      extent: () => Promise.resolve(extent),
      trim: (below: number) => Promise.resolve(void trimmed.push(below)),
    }
    const log: Log = { ...stage.log.port('b', stage.env), room }
    let doubt = false
    const parts = { env: stage.env, log, loop, store, id, isInDoubt: () => doubt }
    const trimmer = new LogTrimmer(parts, { entries: 4 })
    trimmer.start()
    await stage.sleep(5_000)
    expect(trimmed).toEqual([])
    // Nor by one whose history may be another than that of the others (S7).
    doubt = true
    extent = { ...extent, last }
    await stage.sleep(5_000)
    expect(trimmed).toEqual([])
    expect(loop.flushed).toBe(last)
    doubt = false
    await stage.sleep(2_000)
    expect(trimmed[0]).toBe(last - 2)
    trimmer.stop()
  }))
