// SIGKILL at random moments: each transaction is there whole or not at all, each ack is kept, a
// retry under the same idempotency key counts once, and the feed tells all of it.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Bundled } from '../simulate/bundled.ts'
import {
  ACCOUNTS,
  countOnce,
  type CrashDatabase,
  openCrash,
  PARTS,
  START_BALANCE,
} from './crash-tables.mjs'
import { Victim } from './victim.ts'

const KILLS = Number(process.env['HOLDFAST_KILLS'] ?? 210)
/** How much is said in a life, at the most. */
const LINES_MAX = 80
const LIFE_MS_MAX = 250
/** Lives of a folder in the lane of fresh ones. */
const LIVES = 4
/** As one file: two hundred of them start. */
const worker = new Bundled()
beforeAll(() => worker.build(join(import.meta.dirname, 'crash-worker.mjs')))
afterAll(() => worker[Symbol.dispose]())

const onDisk = mkdtempSync(join(tmpdir(), 'holdfast-kills-'))
/** Where a sync costs nothing, more is under way when the kill comes. */
const inMemory = existsSync('/dev/shm') ? mkdtempSync('/dev/shm/holdfast-kills-') : onDisk
afterAll(() => {
  for (const root of [onDisk, inMemory]) rmSync(root, { recursive: true, force: true })
})

/** Workers, the next one loading while this one lives. */
class Victims {
  #next = new Victim(worker.main)

  async take(): Promise<Victim> {
    const taken = this.#next
    this.#next = new Victim(worker.main)
    await taken.said('ready')
    return taken
  }

  async end(): Promise<void> {
    await this.#next.kill()
  }
}

/** What is known of a folder over all lives of its writers. */
class Folder {
  readonly dir: string
  readonly #tried = new Set<string>()
  readonly #acked = new Set<string>()
  readonly #items = new Map<number, string>()
  readonly #balances = new Map<number, bigint>()
  #itemsToken: string | undefined
  #accountsToken: string | undefined
  #life = 0
  /** Lives that ended while the folder was opened. */
  killedOpening = 0

  constructor(root: string) {
    this.dir = mkdtempSync(join(root, 'folder-'))
  }

  get acks(): number {
    return this.#acked.size
  }

  /** One writer's life: it dies at a moment that is drawn, while it opens the folder or later. */
  async live(victim: Victim, early: boolean): Promise<void> {
    const life = ++this.#life
    victim.tell({ dir: this.dir, life })
    // A number of lines, not a time: on a busy machine as much is done before the kill.
    if (!early) await victim.saidLines(Math.random() * LINES_MAX, LIFE_MS_MAX)
    await sleep(Math.random() * (early ? OPENING_MS : 8))
    const { how, errors } = await victim.kill()
    expect(how, `it said: ${errors}`).toBe('SIGKILL')
    if (!victim.lines.includes('opened')) this.killedOpening++
    for (const line of victim.lines) {
      const [word, kind = '', id = ''] = line.split(' ')
      const name = kind === 'hit' ? `hit ${life} ${id}` : `${kind} ${id}`
      if (word === 'try') this.#tried.add(name)
      if (word === 'ack') this.#acked.add(name)
    }
  }

  async verify(): Promise<void> {
    const db = await openCrash(this.dir)
    try {
      const report = await db.check()
      expect(report.problems).toEqual([])
      await this.#verifyTransfers(db)
      await this.#verifyItems(db)
      await this.#verifySets(db)
      await this.#verifyHits(db)
      await this.#retry(db)
      await this.#followFeeds(db)
    } finally {
      await db.close()
    }
    expect(readdirSync(this.dir).filter((name) => name.endsWith('.sock'))).toEqual([])
  }

  async #verifyTransfers(db: CrashDatabase): Promise<void> {
    const accounts = await db.accounts.query().toArray()
    const transfers = await db.transfers.query().toArray()
    const expected = accounts.map(() => START_BALANCE)
    for (const { from, to, amount } of transfers) {
      expected[from] = (expected[from] ?? 0n) - amount
      expected[to] = (expected[to] ?? 0n) + amount
    }
    expect(accounts.map(({ balance }) => balance)).toEqual(expected)
    expect([0, ACCOUNTS]).toContain(accounts.length)
    const ids = new Set(transfers.map(({ id }) => `transfer ${id}`))
    this.#expectHeld('transfer', ids)
    expect(await db.transfers.count({ index: 'byFrom', gte: 0 })).toBe(transfers.length)
  }

  async #verifyItems(db: CrashDatabase): Promise<void> {
    const items = await db.items.query().toArray()
    const names = new Set<string>()
    for (const { id, code } of items) {
      if (id === 0) continue
      names.add(`item ${Math.abs(id)}`)
      if (id < 0) names.add(`swapped ${-id}`)
      if (code.startsWith('d')) names.add(`moved ${id}`)
      expect(names.has(`swapped ${id}`), `item ${id} is there twice`).toBe(false)
    }
    for (const kind of ['item', 'swapped', 'moved']) this.#expectHeld(kind, names)
    const byCode = await db.items.query({ index: 'byCode', prefix: '' }).toArray()
    expect(new Set(byCode.map(({ id }) => id))).toEqual(new Set(items.map(({ id }) => id)))
    expect(byCode.length).toBe(items.length)
    expect(await db.items.count({ index: 'byGroup', prefix: '' })).toBe(items.length)
  }

  async #verifySets(db: CrashDatabase): Promise<void> {
    const found = new Map<number, number>()
    for await (const { set } of db.parts.query()) found.set(set, (found.get(set) ?? 0) + 1)
    for (const [set, parts] of found) expect(parts, `parts of set ${set}`).toBe(PARTS)
    this.#expectHeld('set', new Set([...found.keys()].map((set) => `set ${set}`)))
    expect(await db.parts.count({ index: 'byTag', prefix: '' })).toBe(found.size * PARTS)
  }

  async #verifyHits(db: CrashDatabase): Promise<void> {
    for (const { id, n, seen } of await db.counters.query({ prefix: 'hits.' }).toArray()) {
      const life = id.slice('hits.'.length)
      const last = n + seen.length
      // One after another: what is there is a prefix of what was done.
      expect(seen).toEqual(Array.from({ length: Math.floor(last / 4) }, (_, i) => 4 * (i + 1)))
      expect(this.#acked.has(`hit ${life} ${last + 1}`), `hit ${last + 1} is lost`).toBe(false)
      if (last > 0) expect(this.#tried.has(`hit ${life} ${last}`)).toBe(true)
    }
  }

  /** Whatever was tried under an idempotency key is tried again: it then counts once. */
  async #retry(db: CrashDatabase): Promise<void> {
    const keys = [...this.#tried].filter((name) => name.startsWith('once '))
    const acked = keys.filter((name) => this.#acked.has(name)).length
    const before = (await db.counters.get('once'))?.n ?? 0
    expect(before).toBeGreaterThanOrEqual(acked)
    const last = keys.slice(-40)
    const fresh = [...new Set([...keys.filter((name) => !this.#acked.has(name)), ...last])]
    await Promise.all(fresh.map((name) => countOnce(db, name.slice('once '.length))))
    for (const name of fresh) this.#acked.add(name)
    expect((await db.counters.get('once'))?.n ?? 0).toBe(keys.length)
  }

  /** From where it was left, a feed brings an old copy to what the table has now. */
  async #followFeeds(db: CrashDatabase): Promise<void> {
    const mark = String(this.#life)
    await db.items.put({ id: 0, group: 'mark', code: 'mark', note: mark })
    const items = db.items.watch(
      this.#itemsToken === undefined ? { from: 'start' } : { after: this.#itemsToken },
    )
    for await (const { kind, key, row, token } of items) {
      expect(kind === 'insert').toBe(row !== undefined && !this.#items.has(key))
      if (row === undefined) this.#items.delete(key)
      else this.#items.set(key, `${row.code} ${row.note ?? ''}`)
      this.#itemsToken = token
      if (key === 0 && row?.note === mark) break
    }
    const now = (await db.items.query().toArray()).map(
      ({ id, code, note }) => [id, `${code} ${note ?? ''}`] as const,
    )
    expect([...this.#items].toSorted(([a], [b]) => a - b)).toEqual(now)

    const balances = (await db.accounts.query().toArray()).map(
      ({ id, balance }) => [id, balance] as const,
    )
    if (balances.length === 0) return
    await db.accounts.update(0, (row) => row)
    const until = db.token
    const accounts = db.accounts.watch(
      this.#accountsToken === undefined ? { from: 'start' } : { after: this.#accountsToken },
    )
    for await (const { key, row, token, position } of accounts) {
      this.#balances.set(key, row?.balance ?? -1n)
      this.#accountsToken = token
      if (position >= Number(until.split('.')[2])) break
    }
    expect([...this.#balances].toSorted(([a], [b]) => a - b)).toEqual(balances)
  }

  /** All that was acked is there, and nothing that was never tried. */
  #expectHeld(kind: string, found: ReadonlySet<string>): void {
    const lost = [...this.#acked].filter((name) => name.startsWith(`${kind} `) && !found.has(name))
    expect(lost, `acked ${kind}`).toEqual([])
    const invented = [...found].filter((n) => n.startsWith(`${kind} `) && !this.#tried.has(n))
    expect(invented, `${kind} that nobody wrote`).toEqual([])
  }
}

/** About as long as opening takes on an idle machine: half of those kills find it under way. */
const OPENING_MS = 30

test(
  'whoever is killed, whenever, leaves each transaction whole',
  { timeout: 400_000 },
  async () => {
    let [kills, opening, acks, folders] = [0, 0, 0, 0]
    /** One lane of killed writers; each folder is used for some lives. */
    const lane = async (lives: number, root: string): Promise<void> => {
      const victims = new Victims()
      while (kills < KILLS) {
        const folder = new Folder(root)
        folders++
        for (let life = 1; life <= lives && kills < KILLS; life++) {
          kills++
          // The first life of a folder often ends while it is made.
          await folder.live(await victims.take(), life === 1 || kills % 3 === 0)
          // A folder half made might end the process that opens it: the next victim goes first.
          if (life % 2 === 0) await folder.verify()
        }
        opening += folder.killedOpening
        acks += folder.acks
      }
      await victims.end()
    }
    await Promise.all([lane(Number.POSITIVE_INFINITY, inMemory), lane(LIVES, onDisk)])
    console.log(
      `${kills} kills, ${opening} of them while opening, ${folders} folders, ${acks} acks`,
    )
    expect(opening).toBeGreaterThan(KILLS / 20)
    expect(acks).toBeGreaterThan(KILLS)
  },
)
