/** What every Bus owes its callers (bus.ts, obligations 1 to 10), as tests. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Bytes } from '../core/bytes.ts'
import { delay, turn, type Env } from '../core/env.ts'
import { HoldfastError } from '../core/errors.ts'
import {
  checkPattern,
  checkSubject,
  matchesSubject,
  MESSAGE_BYTES_MAX,
  type Bus,
  type OnBusError,
} from './bus.ts'

export interface BusUnderTest {
  readonly env: Env
  /** The bus of a new node. */
  connect(onError?: OnBusError): Promise<Bus>
  /** Messages that wait for one subscription at the most, if a test may fill it. */
  readonly queueLimit?: number
  /** Keeps what comes to a bus from it, so that its queues fill; gives what lets it come. */
  readonly hold?: (bus: Bus) => () => void
  /** Lets go of what lies behind the buses. */
  close?(): Promise<void>
}

/** Lets time pass until what `test` gives settles; a real bus needs nothing. */
type Run = (test: () => Promise<void>) => Promise<void>

interface Use {
  readonly run: Run
  /** Two nodes, and their hub; all closed after the test. */
  readonly pair: (onError?: OnBusError) => Promise<{ a: Bus; b: Bus; test: BusUnderTest }>
}

const bytesOf = (text: string): Bytes => new Uint8Array(Buffer.from(text))
const textOf = (bytes: Bytes): string => Buffer.from(bytes).toString()
const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i))

export function busContract(
  name: string,
  open: () => Promise<BusUnderTest>,
  run: Run = (test) => test(),
): void {
  const opened: (() => Promise<void>)[] = []
  const pair: Use['pair'] = async (onError) => {
    const test = await open()
    const [a, b] = [await test.connect(onError), await test.connect(onError)]
    opened.push(
      () => a.close(),
      () => b.close(),
      async () => test.close?.(),
    )
    return { a, b, test }
  }
  afterEach(async () => {
    for (const close of opened.splice(0)) await close()
  })
  describe(`${name}: subjects`, () => subjects({ pair, run }))
  describe(`${name}: messages`, () => messages({ pair, run }))
  describe(`${name}: handlers`, () => handlers({ pair, run }))
  describe(`${name}: requests`, () => requests({ pair, run }))
  describe(`${name}: deadlines and signals`, () => deadlines({ pair, run }))
  describe(`${name}: closing`, () => closing({ pair, run }))
}

/** Waits until `done`, a second at the most. */
async function until(env: Env, done: () => boolean): Promise<void> {
  const end = env.clock.monotonicMs() + 1_000
  while (!done() && env.clock.monotonicMs() < end) await delay(env, 1)
  expect(done()).toBe(true)
}

function subjects({ pair, run }: Use): void {
  it('match as in NATS', () => {
    const cases: [string, string, boolean][] = [
      ['a.b', 'a.b', true],
      ['a.b', 'a.c', false],
      ['a.b', 'a', false],
      ['a', 'a.b', false],
      ['a.*', 'a.b', true],
      ['a.*', 'a', false],
      ['a.*', 'a.b.c', false],
      ['*.b', 'a.b', true],
      ['a.*.c', 'a.x.c', true],
      ['a.>', 'a.b', true],
      ['a.>', 'a.b.c', true],
      ['a.>', 'a', false],
      ['>', 'a', true],
      ['>', 'a.b', true],
    ]
    for (const [pattern, subject, match] of cases) {
      expect(`${pattern} ${subject} ${matchesSubject(pattern, subject)}`).toBe(
        `${pattern} ${subject} ${match}`,
      )
    }
  })

  it('that are not sound are InvalidArgument', () =>
    run(async () => {
      const { a } = await pair()
      for (const subject of ['', '.', 'a.', '.a', 'a..b', 'a b', 'a.*', '>', 'é', 'a\n']) {
        expect(() => checkSubject(subject)).toThrow(/no subject/)
        expect(() => a.publish(subject, bytesOf(''))).toThrow(/no subject/)
        await expect(a.request(subject, bytesOf(''), { deadlineMs: 5 })).rejects.toMatchObject({
          code: 'InvalidArgument',
        })
      }
      for (const pattern of ['', 'a.', 'a.>.b', 'a.b*', '>.a']) {
        expect(() => checkPattern(pattern)).toThrow(/no subject/)
        expect(() => a.subscribe(pattern, () => undefined)).toThrow(/no subject/)
      }
    }))

  it('choose who gets a message', () =>
    run(async () => {
      const { a, b, test } = await pair()
      const seen: string[] = []
      for (const pattern of ['t.x.1', 't.*.1', 't.>', 't.y.1', 'u.>']) {
        b.subscribe(pattern, ({ subject }) => {
          seen.push(`${pattern} ${subject}`)
        })
      }
      await b.flush()
      a.publish('t.x.1', bytesOf(''))
      a.publish('t.x.2', bytesOf(''))
      await until(test.env, () => seen.length >= 4)
      await delay(test.env, 5)
      expect(seen.toSorted()).toEqual(['t.*.1 t.x.1', 't.> t.x.1', 't.> t.x.2', 't.x.1 t.x.1'])
    }))
}

function messages({ pair, run }: Use): void {
  it('come once, in order, to each subscription, the own bus of the sender included', () =>
    run(async () => {
      const { a, b, test } = await pair()
      const seen: Record<string, string[]> = { a: [], b1: [], b2: [] }
      for (const [name, bus] of Object.entries({ a, b1: b, b2: b })) {
        bus.subscribe('order.*', ({ bytes }) => {
          seen[name]?.push(textOf(bytes))
        })
      }
      await Promise.all([a.flush(), b.flush()])
      for (const [i, text] of numbers(500).entries()) {
        a.publish('order.x', bytesOf(text))
        if (i % 50 === 0) await turn(test.env)
      }
      await until(test.env, () => Object.values(seen).every(({ length }) => length >= 500))
      await delay(test.env, 5)
      for (const list of Object.values(seen)) expect(list).toEqual(numbers(500))
    }))

  it("are copied: the bytes are the sender's again, and the receiver may keep his", () =>
    run(async () => {
      const { a, b, test } = await pair()
      const kept: Bytes[] = []
      b.subscribe('copy', ({ bytes }) => {
        kept.push(bytes)
      })
      await b.flush()
      const shared = new Uint8Array(100)
      for (let i = 0; i < 10; i++) {
        shared.fill(i)
        a.publish('copy', shared.subarray(i, i + 3))
      }
      shared.fill(255)
      await until(test.env, () => kept.length === 10)
      expect(kept.map((bytes) => [...bytes])).toEqual(numbers(10).map((n) => [+n, +n, +n]))
    }))

  it('may be empty, and as large as the limit, not larger', () =>
    run(async () => {
      const { a, b, test } = await pair()
      const sizes: number[] = []
      b.subscribe('size', ({ bytes }) => {
        sizes.push(bytes.length)
      })
      await b.flush()
      a.publish('size', new Uint8Array(0))
      a.publish('size', new Uint8Array(MESSAGE_BYTES_MAX))
      expect(() => a.publish('size', new Uint8Array(MESSAGE_BYTES_MAX + 1))).toThrow(/at most/)
      await until(test.env, () => sizes.length === 2)
      expect(sizes).toEqual([0, MESSAGE_BYTES_MAX])
    }))

  it('to nobody are lost without a word', () =>
    run(async () => {
      const { a, b, test } = await pair()
      a.publish('nobody', bytesOf('x'))
      await a.flush()
      const seen: string[] = []
      b.subscribe('nobody', ({ bytes }) => {
        seen.push(textOf(bytes))
      })
      await b.flush()
      await delay(test.env, 10)
      expect(seen).toEqual([])
    }))

  it('beyond the queue of a slow subscription are dropped and counted; the others come', (context) =>
    run(async () => {
      const { a, b, test } = await pair()
      const { queueLimit } = test
      if (queueLimit === undefined) return context.skip('its queue cannot be filled in a test')
      const seen: string[] = []
      const slow = b.subscribe('flood', ({ bytes }) => {
        seen.push(textOf(bytes))
      })
      await b.flush()
      const count = queueLimit + 10
      const letGo = test.hold?.(b)
      for (const text of numbers(count)) a.publish('flood', bytesOf(text))
      if (letGo !== undefined) await delay(test.env, 100)
      letGo?.()
      await until(test.env, () => seen.length + slow.dropped === count)
      expect(slow.dropped).toBe(10)
      expect(seen).toEqual(numbers(queueLimit))
      a.publish('flood', bytesOf('after'))
      await until(test.env, () => seen.at(-1) === 'after')
    }))
}

function handlers({ pair, run }: Use): void {
  it('are never called inside a call', () =>
    run(async () => {
      const { a, test } = await pair()
      let inside = false
      const calls: boolean[] = []
      a.subscribe('inside', () => {
        calls.push(inside)
      })
      a.serve('inside', () => {
        calls.push(inside)
        return bytesOf('')
      })
      await a.flush()
      inside = true
      a.publish('inside', bytesOf(''))
      const answer = a.request('inside', bytesOf(''), { deadlineMs: 1_000 })
      inside = false
      await answer
      await until(test.env, () => calls.length === 2)
      expect(calls).toEqual([false, false])
    }))

  it('that throw or reject are told to their own bus, and get the next message', () =>
    run(async () => {
      const errors: string[] = []
      const { a, b, test } = await pair((error, subject) => {
        errors.push(`${subject}: ${error instanceof Error ? error.message : String(error)}`)
      })
      const seen: string[] = []
      b.subscribe('fault', ({ bytes }) => {
        seen.push(textOf(bytes))
        throw new Error(`sync ${textOf(bytes)}`)
      })
      const rejecting = async ({ bytes }: { bytes: Bytes }): Promise<void> => {
        await turn(test.env)
        throw new Error(`async ${textOf(bytes)}`)
      }
      b.subscribe('fault', rejecting)
      await b.flush()
      a.publish('fault', bytesOf('1'))
      a.publish('fault', bytesOf('2'))
      await until(test.env, () => errors.length === 4)
      expect(seen).toEqual(['1', '2'])
      expect(errors.toSorted()).toEqual([
        'fault: async 1',
        'fault: async 2',
        'fault: sync 1',
        'fault: sync 2',
      ])
    }))
}

function requests({ pair, run }: Use): void {
  const options = { deadlineMs: 1_000 }

  it('are answered, many at once, each with its own answer', () =>
    run(async () => {
      const { a, b, test } = await pair()
      b.serve('echo.*', async ({ subject, bytes }) => {
        if (bytes.length % 2 === 0) await delay(test.env, 2)
        return bytesOf(`${subject} ${textOf(bytes)}`)
      })
      await b.flush()
      const answers = await Promise.all(
        numbers(50).map((n) => a.request(`echo.${n}`, bytesOf('x'.repeat(+n)), options)),
      )
      expect(answers.map(textOf)).toEqual(numbers(50).map((n) => `echo.${n} ${'x'.repeat(+n)}`))
      expect(textOf(await b.request('echo.self', bytesOf('y'), options))).toBe('echo.self y')
    }))

  it('that nobody serves fail with NoResponder, at once', () =>
    run(async () => {
      const { a, b, test } = await pair()
      // Who only listens does not answer.
      b.subscribe('none', () => undefined)
      const gone = b.serve('none', () => bytesOf(''))
      gone.close()
      await b.flush()
      const start = test.env.clock.monotonicMs()
      await expect(a.request('none', bytesOf(''), { deadlineMs: 20_000 })).rejects.toMatchObject({
        code: 'NoResponder',
        applied: 'no',
      })
      expect(test.env.clock.monotonicMs() - start).toBeLessThan(2_000)
    }))

  it('reach one of several who serve', () =>
    run(async () => {
      const { a, b, test } = await pair()
      const served: string[] = []
      for (const [name, bus] of Object.entries({ a, b })) {
        bus.serve('one', ({ bytes }) => {
          served.push(textOf(bytes))
          return bytesOf(name)
        })
      }
      await Promise.all([a.flush(), b.flush()])
      await Promise.all(numbers(100).map((n) => a.request('one', bytesOf(n), options)))
      await delay(test.env, 5)
      expect(served.toSorted((x, y) => +x - +y)).toEqual(numbers(100))
    }))

  it('bring back what the handler threw: a coded error as it was, another as Bug', () =>
    run(async () => {
      const errors: unknown[] = []
      const { a, b } = await pair((error) => errors.push(error))
      b.serve('coded', () => {
        throw new HoldfastError('Conflict', 'the row moved', {
          applied: 'unknown',
          details: { n: 1 },
        })
      })
      b.serve('plain', async () => {
        await Promise.resolve()
        throw new TypeError('oops')
      })
      await b.flush()
      await expect(a.request('coded', bytesOf(''), options)).rejects.toMatchObject({
        code: 'Conflict',
        message: 'the row moved',
        applied: 'unknown',
        details: { n: 1 },
      })
      await expect(a.request('plain', bytesOf(''), options)).rejects.toMatchObject({ code: 'Bug' })
      expect(errors.map(String)).toEqual(['TypeError: oops'])
    }))

  it('copy what they send and what they bring', () =>
    run(async () => {
      const { a, b } = await pair()
      const answer = bytesOf('answer')
      let got: Bytes | undefined
      b.serve('copy', ({ bytes }) => {
        got = bytes
        return answer
      })
      await b.flush()
      const question = bytesOf('question')
      const pending = a.request('copy', question, options)
      question.fill(0)
      const brought = await pending
      answer.fill(0)
      expect([textOf(got ?? question), textOf(brought)]).toEqual(['question', 'answer'])
    }))
}

function deadlines({ pair, run }: Use): void {
  it('end a request that gets no answer; a late answer is dropped', () =>
    run(async () => {
      const { a, b, test } = await pair()
      let calls = 0
      b.serve('slow', async () => {
        calls++
        await delay(test.env, 60)
        return bytesOf('late')
      })
      await b.flush()
      const start = test.env.clock.monotonicMs()
      await expect(a.request('slow', bytesOf(''), { deadlineMs: 20 })).rejects.toMatchObject({
        code: 'DeadlineExceeded',
        applied: 'unknown',
      })
      expect(test.env.clock.monotonicMs() - start).toBeGreaterThanOrEqual(20)
      await delay(test.env, 80)
      expect(calls).toBe(1)
    }))

  it('let a signal end it: Cancelled before the call, Aborted after', () =>
    run(async () => {
      const { a, b, test } = await pair()
      let calls = 0
      b.serve('wait', async () => {
        calls++
        await delay(test.env, 30)
        return bytesOf('')
      })
      await b.flush()
      const before = AbortSignal.abort()
      await expect(
        a.request('wait', bytesOf(''), { deadlineMs: 1_000, signal: before }),
      ).rejects.toMatchObject({ code: 'Cancelled', applied: 'no' })
      const controller = new AbortController()
      const pending = a.request('wait', bytesOf(''), {
        deadlineMs: 1_000,
        signal: controller.signal,
      })
      await until(test.env, () => calls === 1)
      controller.abort()
      await expect(pending).rejects.toMatchObject({ code: 'Aborted', applied: 'unknown' })
      await delay(test.env, 50)
      expect(calls).toBe(1)
    }))
}

function closing({ pair, run }: Use): void {
  it('a subscription ends its calls, and those of no other', () =>
    run(async () => {
      const { a, b, test } = await pair()
      const seen: string[] = []
      const first = b.subscribe('end', ({ bytes }) => {
        seen.push(`first ${textOf(bytes)}`)
        first.close()
      })
      b.subscribe('end', ({ bytes }) => {
        seen.push(`second ${textOf(bytes)}`)
      })
      await b.flush()
      for (const text of numbers(3)) a.publish('end', bytesOf(text))
      await until(test.env, () => seen.length >= 4)
      await delay(test.env, 5)
      first.close()
      expect(seen.toSorted()).toEqual(['first 0', 'second 0', 'second 1', 'second 2'])
    }))

  it('a bus ends its handlers and its requests, and leaves those of the others', () =>
    run(async () => {
      const { a, b, test } = await pair()
      const seen: string[] = []
      for (const [name, bus] of Object.entries({ a, b })) {
        bus.subscribe('bye', () => {
          seen.push(name)
        })
      }
      b.serve('stuck', () => new Promise<Bytes>(() => undefined))
      await Promise.all([a.flush(), b.flush()])
      const pending = a.request('stuck', bytesOf(''), { deadlineMs: 20_000 })
      const outcome = pending.catch((error: unknown) => error)
      await a.close()
      expect(await outcome).toMatchObject({ code: 'Closed', applied: 'unknown' })
      b.publish('bye', bytesOf(''))
      await until(test.env, () => seen.length === 1)
      await delay(test.env, 5)
      expect(seen).toEqual(['b'])
      await a.close()
    }))

  it('makes every later call fail with Closed', () =>
    run(async () => {
      const { a } = await pair()
      await a.close()
      expect(() => a.publish('x', bytesOf(''))).toThrow(/closed/)
      expect(() => a.subscribe('x', () => undefined)).toThrow(/closed/)
      expect(() => a.serve('x', () => bytesOf(''))).toThrow(/closed/)
      await expect(a.flush()).rejects.toMatchObject({ code: 'Closed' })
      await expect(a.request('x', bytesOf(''), { deadlineMs: 5 })).rejects.toMatchObject({
        code: 'Closed',
        applied: 'no',
      })
    }))
}
