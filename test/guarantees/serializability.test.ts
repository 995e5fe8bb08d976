/** Strict serializability (S4): many clients, random transactions, and a checker of what they saw. */
import { expect, test } from 'vitest'
import { strong, unvalidated } from '../../src/index.ts'
import { History } from '../../src/sim/check/history.ts'
import { checkLinearizable, explainedByPositions } from '../../src/sim/check/linearizability.ts'
import { register } from '../../src/sim/check/models.ts'
import { checkSerializable } from '../../src/sim/check/serializability.ts'
import type { Step } from '../../src/sim/check/transactions.ts'
import type { RegisterInput } from '../../src/sim/check/zones.ts'
import { later, onBothStores, sleep } from './harness.ts'

interface List {
  k: string
  list: number[]
  group: string
}
interface Register {
  k: string
  v: number
}
const lists = strong({ row: unvalidated<List>(), key: 'k', indexes: { byGroup: 'group' } })
const registers = strong({ row: unvalidated<Register>(), key: 'k' })

/** Small and seeded: a run can be told by its seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const KEYS = ['a', 'b', 'c', 'd', 'e']
const fresh = (k: string): List => ({ k, list: [], group: k < 'c' ? 'low' : 'high' })
const CLIENTS = 12
const EACH = 60

onBothStores('strict serializability', (openAt) => {
  test.each([1, 2, 3])('of random transactions, seed %i', async (seed) => {
    const db = await openAt({ lists, registers })
    const history = new History<undefined, Step[]>()
    let value = 0
    const pauses = [
      () => Promise.resolve(),
      () => Promise.resolve(),
      later,
      () => sleep(0),
      () => sleep(1),
    ]

    async function record(
      process: string,
      run: (steps: Step[]) => Promise<unknown>,
    ): Promise<void> {
      const call = history.call(process, undefined)
      // Each attempt tells its own steps: the last one's count.
      const steps: Step[] = []
      try {
        await run(steps)
        call.ok(steps)
      } catch (cause) {
        const { code, applied } = cause as { code?: string; applied?: string }
        if (code === undefined && (cause as Error).message !== 'thrown by its function') throw cause
        if (applied === 'unknown') call.unknown(steps)
        else call.failed(steps)
      }
    }

    async function client(id: number): Promise<void> {
      const random = randomOf(seed * 1000 + id)
      const key = (): string => KEYS[random(KEYS.length)] as string
      const pause = (): Promise<void> => (pauses[random(pauses.length)] as () => Promise<void>)()
      for (let i = 0; i < EACH; i++) {
        const kind = random(12)
        if (kind <= 5) {
          const plan = Array.from({ length: 1 + random(4) }, () => [random(8), key()] as const)
          const throws = random(12) === 0
          await record(`c${id}`, (steps) =>
            db.transact(async (tx) => {
              steps.length = 0
              for (const [what, k] of plan) {
                await pause()
                if (what <= 1) steps.push(readOf(k, await tx.lists.get(k)))
                else if (what <= 3) {
                  const row = (await tx.lists.get(k)) ?? fresh(k)
                  steps.push(readOf(k, row))
                  const added = ++value
                  await tx.lists.put({ ...row, list: [...row.list, added] })
                  steps.push({ kind: 'append', key: k, value: added })
                } else if (what === 4) {
                  const added = ++value
                  tx.lists.append(k, { list: [added] }, { create: fresh(k) })
                  steps.push({ kind: 'append', key: k, value: added })
                } else if (what === 5) {
                  const rows = await tx.lists.query({ gte: 'b', lt: 'e' }).toArray()
                  for (const k of ['b', 'c', 'd'])
                    steps.push(
                      readOf(
                        k,
                        rows.find((r) => r.k === k),
                      ),
                    )
                } else if (what === 6) {
                  const query = { index: 'byGroup', eq: 'high', reverse: true } as const
                  const rows = await tx.lists.query(query).toArray()
                  for (const k of ['c', 'd', 'e'])
                    steps.push(
                      readOf(
                        k,
                        rows.find((r) => r.k === k),
                      ),
                    )
                } else {
                  const before = (await tx.registers.get(k))?.v ?? null
                  const set = ++value
                  await tx.registers.put({ k, v: set })
                  steps.push({ kind: 'get', key: k, value: before })
                  steps.push({ kind: 'set', key: k, before, value: set })
                }
              }
              if (throws) throw new Error('thrown by its function')
            }),
          )
        } else if (kind === 6) {
          const k = key()
          await record(`c${id}`, async (steps) => steps.push(readOf(k, await db.lists.get(k))))
        } else if (kind === 7) {
          await record(`c${id}`, async (steps) => {
            const rows = await db.lists.getMany(KEYS)
            for (const [i, row] of rows.entries()) steps.push(readOf(KEYS[i] as string, row))
          })
        } else if (kind === 8) {
          const k = key()
          const added = ++value
          await record(`c${id}`, async (steps) => {
            steps.push({ kind: 'append', key: k, value: added })
            const { row } = await db.lists.append(k, { list: [added] }, { create: fresh(k) })
            steps.push(readOf(k, row))
          })
        } else if (kind === 9) {
          const k = key()
          await record(`c${id}`, async (steps) => {
            await db.lists.update(k, (row) => {
              steps.length = 0
              const added = ++value
              steps.push(readOf(k, row), { kind: 'append', key: k, value: added })
              return { ...row, list: [...row.list, added] }
            })
          })
        } else if (kind === 10) {
          await record(`c${id}`, async (steps) => {
            const rows = await db.lists.query({ index: 'byGroup', eq: 'low' }).toArray()
            for (const k of ['a', 'b'])
              steps.push(
                readOf(
                  k,
                  rows.find((r) => r.k === k),
                ),
              )
          })
        } else {
          const wanted = [key(), key(), key()]
          await record(`c${id}`, (steps) =>
            db.transact(async (tx) => {
              steps.length = 0
              for (const k of wanted) {
                steps.push(readOf(k, await tx.lists.get(k)))
                await pause()
                steps.push({
                  kind: 'get',
                  key: k,
                  value: (await tx.registers.get(k))?.v ?? null,
                })
              }
            }),
          )
        }
        if (random(4) === 0) await pause()
      }
    }

    await Promise.all(Array.from({ length: CLIENTS }, (_, id) => client(id)))
    await record('last', async (steps) => {
      const rows = await db.lists.getMany(KEYS)
      for (const [i, row] of rows.entries()) steps.push(readOf(KEYS[i] as string, row))
    })
    const { operations } = history
    expect(checkSerializable(operations).violations).toEqual([])
    const ok = operations.filter(({ outcome }) => outcome === 'ok').length
    expect(ok).toBeGreaterThan(operations.length * 0.8)
    expect((await db.check()).problems).toEqual([])
  })

  test('of one key is linearizability, in the order of positions', async () => {
    const db = await openAt({ registers })
    const history = new History<RegisterInput, unknown>()
    const client = async (id: number): Promise<void> => {
      for (let i = 0; i < 150; i++) {
        if ((id + i) % 3 === 0) {
          const v = id * 1000 + i + 1
          const call = history.call(`c${id}`, { kind: 'write', key: 'x', value: v })
          const { position } = await db.registers.put({ k: 'x', v })
          call.ok(undefined, { position })
        } else {
          const call = history.call(`c${id}`, { kind: 'read', key: 'x' })
          call.ok((await db.registers.get('x'))?.v)
          if (i % 5 === 0) await later()
        }
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, id) => client(id)))
    const { operations } = history
    const passed = { result: 'ok', violations: [] }
    expect(checkLinearizable(operations, register)).toMatchObject(passed)
    const placeOf = new Map(operations.map(({ input, position }) => [valueOf(input), position]))
    const placed = operations.map((one) =>
      one.input.kind === 'read' ? { ...one, position: placeOf.get(one.output) ?? 0 } : one,
    )
    expect(explainedByPositions(register, placed, [])).toBe(true)
  })
})

/** Undefined: it is a read, and of what was never written. */
const valueOf = (input: RegisterInput): unknown =>
  input.kind === 'write' ? input.value : undefined

function readOf(key: string, row: List | undefined): Step {
  return { kind: 'read', key, list: row?.list ?? [] }
}
