/**
 * Feeds over HTTP that go on at another node (S12). `holdfast verify` had one give a change twice: a
 * token stood within an entry that the other node had not come to, and the feed joined that node's
 * hub at the entry's beginning.
 */
import { expect, test } from 'vitest'
import { Feeds } from '../../src/server/http/feeds.ts'
import { HTTP_LIMITS } from '../../src/server/http/limits.ts'
import type { AnyDatabase } from '../../src/server/any-rows.ts'
import { openDatabase, type Database } from '../../src/table/database.ts'
import type { AnyTable, Change } from '../../src/table/handles.ts'
import { strong, unvalidated } from '../../src/table/schema.ts'
import { Stage } from './scripted-log.ts'

interface Row {
  k: string
}
const tables = { rows: strong({ row: unvalidated<Row>(), key: 'k' }) }

async function opened(stage: Stage, name: string): Promise<Database<typeof tables>> {
  const node = await stage.started(name)
  const release = (): Promise<void> => Promise.resolve()
  const parts = { node, dir: undefined, onProgress: undefined, onProblem: undefined, release }
  return openDatabase(parts, tables)
}

test.each([0, 1, 2])(
  'at a node that is behind, nothing comes twice after change %i of an entry',
  (taken) =>
    Stage.run(async (stage) => {
      const [a, b] = [await opened(stage, 'a'), await opened(stage, 'b')]
      const { position } = await a.rows.put({ k: 'first' })
      await b.rows.get('first')
      stage.log.lag('b')
      await a.transact(async (tx) => {
        for (const k of ['x', 'y', 'z']) await tx.rows.put({ k })
      })
      const seen: Change<Row, string>[] = []
      for await (const change of a.rows.watch({ from: 'start' })) {
        if (change.position > position && seen.push(change) === 3) break
      }
      const after = seen[taken]?.token as string

      const { env } = stage
      const stopping = new AbortController()
      const parts = { db: b as unknown as AnyDatabase, env, limits: HTTP_LIMITS }
      const feeds = new Feeds({ ...parts, stopping: stopping.signal })
      const table = b.rows as unknown as AnyTable
      const feed = await feeds.start(table, { after }, new AbortController().signal)
      let text = ''
      const write = (bytes: Uint8Array): boolean => {
        text += Buffer.from(bytes).toString()
        return true
      }
      feed.attach({ write, end: () => undefined })
      feed.resume()
      await stage.sleep(20)
      stage.log.catchUp('b')
      await a.rows.put({ k: 'last' })
      while (!text.includes('last')) await stage.sleep(1)
      const keys = [...text.matchAll(/"key":"(\w+)"/g)].map(([, key]) => key)
      expect(keys).toEqual([...['x', 'y', 'z'].slice(taken + 1), 'last'])
      feed.close()
    }),
)
