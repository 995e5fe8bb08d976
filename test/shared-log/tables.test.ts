/** Tables on several nodes (S4, S5, S6): what one of them was told, the others cannot contradict. */
import { describe, expect, test } from 'vitest'
import { isHoldfastError } from '../../src/core/errors.ts'
import { checkSerializable } from '../../src/sim/check/serializability.ts'
import { History } from '../../src/sim/check/history.ts'
import type { Step } from '../../src/sim/check/transactions.ts'
import { openDatabase, type Database } from '../../src/table/database.ts'
import { strong, unique, unvalidated } from '../../src/table/schema.ts'
import { Stage, stateOf } from './scripted-log.ts'
import type { Node } from '../../src/shard/node.ts'

interface Row {
  k: string
  n: number
  email?: string
}
interface List {
  k: string
  list: number[]
}
const tables = {
  rows: strong({ row: unvalidated<Row>(), key: 'k', indexes: { byEmail: unique('email') } }),
  lists: strong({ row: unvalidated<List>(), key: 'k' }),
}
type Db = Database<typeof tables>

async function opened(stage: Stage, name: string): Promise<{ db: Db; node: Node }> {
  const node = await stage.started(name)
  const release = (): Promise<void> => Promise.resolve()
  const parts = { node, dir: undefined, onProgress: undefined, onProblem: undefined, release }
  return { node, db: await openDatabase(parts, tables) }
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'none'
  } catch (cause) {
    return isHoldfastError(cause) ? cause.code : String(cause)
  }
}

/** Runs `call` on a node that is behind, and lets it catch up once the call has begun. */
async function behind<T>(stage: Stage, client: string, call: () => Promise<T>): Promise<T> {
  const answer = call()
  answer.catch(() => undefined)
  await stage.sleep(20)
  stage.log.catchUp(client)
  return answer
}

/** Two nodes; `b` knows the row as it was before `change`, which `a` was acked. */
async function stale(
  stage: Stage,
  change: (db: Db) => Promise<unknown>,
): Promise<{ a: Db; b: Db }> {
  const { db: a } = await opened(stage, 'a')
  const { db: b, node } = await opened(stage, 'b')
  const { position } = await a.rows.put({ k: 'x', n: 1, email: 'x@example.org' })
  await node.reached(position)
  stage.log.lag('b')
  await change(a)
  return { a, b }
}

describe('S6: on a node that is behind', () => {
  test('every read sees what was acked elsewhere', () =>
    Stage.run(async (stage) => {
      const { b } = await stale(stage, (a) => a.rows.put({ k: 'x', n: 2 }))
      expect(await b.rows.get('x', { level: 'local' })).toMatchObject({ n: 1 })
      const reads = await behind(stage, 'b', () =>
        Promise.all([
          b.rows.get('x'),
          b.rows.getMany(['x']).then(([row]) => row),
          b.rows.query({ gte: 'x' }).first(),
          b.rows
            .query()
            .toArray()
            .then(([row]) => row),
          b.transact((tx) => tx.rows.get('x')),
        ]),
      )
      expect(reads.map((row) => row?.n)).toEqual([2, 2, 2, 2, 2])
    }))

  test('a token is waited for, also by a session read', () =>
    Stage.run(async (stage) => {
      let token = ''
      const { b } = await stale(stage, async (a) => {
        ;({ token } = await a.rows.put({ k: 'x', n: 2 }))
      })
      const read = await behind(stage, 'b', () =>
        b.rows.get('x', { after: token, level: 'session' }),
      )
      expect(read?.n).toBe(2)
      stage.log.lag('b')
      const ahead = token.replace(/\d+$/, (position) => String(Number(position) + 100))
      const never = b.rows.get('x', { after: ahead, level: 'session', deadlineMs: 300 })
      expect(await codeOf(never)).toBe('DeadlineExceeded')
    }))

  test('a read that may be stale is as stale as it says, and no more', () =>
    Stage.run(async (stage) => {
      const { b } = await stale(stage, () => Promise.resolve())
      stage.log.catchUp('b')
      await b.rows.get('x')
      stage.log.lag('b')
      await stage.sleep(1_000)
      expect(await b.rows.get('x', { level: { maxStalenessMs: 5_000 } })).toMatchObject({ n: 1 })
      const tooOld = b.rows.get('x', { level: { maxStalenessMs: 500 }, deadlineMs: 300 })
      expect(await codeOf(tooOld)).toBe('DeadlineExceeded')
    }))
})

describe('S4: a refusal on a node that is behind', () => {
  test('of an insert, a delete or an update does not rest on a row that is gone', () =>
    Stage.run(async (stage) => {
      const { b } = await stale(stage, (a) => a.rows.delete('x'))
      const inserted = await behind(stage, 'b', () =>
        codeOf(b.rows.insert({ k: 'x', n: 7, email: 'x@example.org' })),
      )
      expect(inserted).toBe('none')
      expect(await b.rows.get('x')).toMatchObject({ n: 7 })
    }))

  test('does not rest on the absence of a row that is there', () =>
    Stage.run(async (stage) => {
      const { b } = await stale(stage, (a) => a.rows.put({ k: 'y', n: 5 }))
      const outcomes = await behind(stage, 'b', () =>
        Promise.all([
          codeOf(b.rows.insert({ k: 'y', n: 6 })),
          b.rows.update('y', (row) => ({ ...row, n: row.n + 1 })).then(({ row }) => row.n),
        ]),
      )
      expect(outcomes).toEqual(['AlreadyExists', 6])
      stage.log.lag('b')
      expect(await behind(stage, 'b', () => b.rows.delete('y'))).toMatchObject({ existed: true })
    }))

  test('of a unique value does not rest on a row that gave it up', () =>
    Stage.run(async (stage) => {
      const { b } = await stale(stage, (a) => a.rows.put({ k: 'x', n: 2 }))
      const code = await behind(stage, 'b', () =>
        codeOf(b.rows.insert({ k: 'z', n: 1, email: 'x@example.org' })),
      )
      expect(code).toBe('none')
    }))

  test('by what a transaction throws, or answers, is of a state that was, at its time', () =>
    Stage.run(async (stage) => {
      const { b } = await stale(stage, (a) => a.rows.put({ k: 'x', n: 2 }))
      const answer = await behind(stage, 'b', () =>
        b.transact(async (tx) => {
          const row = await tx.rows.get('x')
          if (row?.n === 1) throw new Error('of the past')
          return row?.n
        }),
      )
      expect(answer).toBe(2)
    }))

  test('holds when nothing changed: it is refused, once it was confirmed', () =>
    Stage.run(async (stage) => {
      const { b } = await stale(stage, () => Promise.resolve())
      stage.log.catchUp('b')
      expect(await codeOf(b.rows.insert({ k: 'x', n: 3 }))).toBe('AlreadyExists')
      expect(await codeOf(b.rows.update('none', (row) => row))).toBe('NotFound')
      const taken = b.rows.put({ k: 'q', n: 1, email: 'x@example.org' })
      expect(await codeOf(taken)).toBe('UniqueViolation')
      const thrown = b.transact(() => {
        throw new Error('its own')
      })
      expect(await codeOf(thrown)).toBe('Error: its own')
      expect(await b.rows.delete('none')).toMatchObject({ existed: false })
    }))
})

describe('S10: a write that finds its table dropped when its place comes', () => {
  test('is refused by name, and the others of its entry are told theirs', () =>
    Stage.run(async (stage) => {
      const { db } = await opened(stage, 'a')
      const dropped = db.drop('lists')
      const outcomes = Promise.all([
        codeOf(db.rows.put({ k: 'before', n: 1 })),
        codeOf(db.lists.put({ k: 'l', list: [] })),
        codeOf(db.rows.put({ k: 'behind', n: 1 })),
      ])
      expect(await outcomes).toEqual(['none', 'UnknownTable', 'none'])
      await dropped
    }))
})

const KEYS = ['a', 'b', 'c']

describe('S4: strict serializability over several nodes', () => {
  test.each([1, 2, 3, 4])('of random transactions over a log that answers badly, seed %i', (seed) =>
    Stage.run(async (stage) => {
      const nodes: { name: string; db: Db; node: Node }[] = []
      for (const name of ['a', 'b', 'c']) nodes.push({ name, ...(await opened(stage, name)) })
      const draw = stage.kernel.random('clients')
      const history = new History<undefined, Step[]>()
      let value = 0
      stage.log.script = (arrival) => {
        const chance = draw.float()
        if (chance < 0.05) arrival.reject('LogUnavailable')
        else if (chance < 0.15) {
          arrival.place()
          arrival.reject('OutcomeUnknown')
        } else stage.log.take(arrival)
      }
      const client = async (id: number): Promise<void> => {
        for (let i = 0; i < 40; i++) {
          const { db } = draw.pick(nodes)
          const keys = Array.from({ length: draw.int(1, 3) }, () => draw.pick(KEYS))
          const writes = draw.float() < 0.6
          const call = history.call(`c${id}`, undefined)
          const steps: Step[] = []
          try {
            await db.transact(async (tx) => {
              steps.length = 0
              for (const key of keys) {
                const list = (await tx.lists.get(key))?.list ?? []
                steps.push({ kind: 'read', key, list })
                if (draw.float() < 0.3) await stage.sleep(draw.exponential(2))
                if (!writes) continue
                steps.push({ kind: 'append', key, value: ++value })
                await tx.lists.put({ k: key, list: [...list, value] })
              }
            })
            call.ok(steps)
          } catch (cause) {
            if (!isHoldfastError(cause)) throw cause
            if (cause.applied === 'unknown') call.unknown(steps)
            else call.failed(steps)
          }
          await stage.sleep(draw.exponential(3))
        }
      }
      const nemesis = async (): Promise<void> => {
        for (let i = 0; i < 30; i++) {
          const { name } = draw.pick(nodes)
          stage.log.lag(name)
          await stage.sleep(draw.exponential(30))
          stage.log.catchUp(name)
          await stage.sleep(draw.exponential(10))
        }
      }
      await Promise.all([nemesis(), ...Array.from({ length: 8 }, (_, id) => client(id))])
      const last = history.call('last', undefined)
      const rows = (await nodes[0]?.db.lists.getMany(KEYS)) ?? []
      last.ok(
        rows.map((row, i) => ({ kind: 'read', key: KEYS[i] as string, list: row?.list ?? [] })),
      )
      const { operations } = history
      expect(checkSerializable(operations).violations).toEqual([])
      const ok = operations.filter(({ outcome }) => outcome === 'ok').length
      expect(ok).toBeGreaterThan(operations.length * 0.9)
      await Promise.all(nodes.map(({ node }) => node.reached(stage.log.frames.length)))
      const [one, ...others] = nodes.map(({ node }) => stateOf(node))
      for (const other of others) expect(other).toEqual(one)
    }, seed),
  )
})

describe('S6: a token stands for what was seen', () => {
  /** From here on the node's store shows what it wrote, and does not report it, as LMDB may for a while. */
  function silenced(node: Node, from: number): void {
    const { store, loop } = node
    const write = store.write.bind(store)
    store.write = async (batch) => {
      const isSilent = loop.state.position >= from
      await write(batch)
      if (isSilent) await new Promise(() => undefined)
    }
  }

  const positionOf = (token: string): number => Number(token.split('.')[2])

  test('a database has one of its own, also before its store reports it', () =>
    Stage.run(async (stage) => {
      const { db: a } = await opened(stage, 'a')
      const { db: b, node } = await opened(stage, 'b')
      const { position: before } = await a.rows.put({ k: 'x', n: 1 })
      await node.reached(before)
      silenced(node, before + 1)
      const { position } = await a.rows.delete('x')
      await stage.sleep(20)
      expect(await b.rows.get('x', { level: 'local' })).toBeUndefined()
      expect(positionOf(b.token)).toBe(position)
    }))

  test('that of a delete that found nothing, also before the store reports why', () =>
    Stage.run(async (stage) => {
      const { db: a } = await opened(stage, 'a')
      const { db: b, node } = await opened(stage, 'b')
      stage.log.lag('b')
      await a.rows.put({ k: 'x', n: 1 })
      const deleting = b.rows.delete('x')
      await stage.sleep(20)
      const { position } = await a.rows.delete('x')
      silenced(node, position)
      stage.log.catchUp('b')
      const { existed, token } = await deleting
      expect([existed, positionOf(token)]).toEqual([false, position])
    }))
})
