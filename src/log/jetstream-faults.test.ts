/** What becomes of a JetStream log, by name, when its server or its stream fails. */
import { createServer, type Server } from 'node:net'
import { jetstream, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  natsServerMissing,
  startNatsServers,
  type NatsServers,
} from '../../test/child/nats-servers.ts'
import type { Bytes } from '../core/bytes.ts'
import { isHoldfastError } from '../core/errors.ts'
import { systemEnv } from '../core/system-env.ts'
import { openJetStreamLog, type JetStreamLog } from './jetstream-log.ts'
import { streamName, streamSubject, type StreamOptions } from './jetstream-stream.ts'
import type { Log, Position } from './log.ts'

const missing = natsServerMissing('faults of the log over NATS were not tested')
const MAX_BYTES = 16 * 1024 * 1024
const PATIENCE = { timeout: 20_000, interval: 5 }

let servers: NatsServers
let connection: NatsConnection
let manager: JetStreamManager
let names = 0

interface Seen {
  readonly entries: [Position, string][]
  readonly failures: unknown[]
}

const bytesOf = (text: string): Bytes => new TextEncoder().encode(text)

function watch(log: Log, from: Position = 1): Seen {
  const seen: Seen = { entries: [], failures: [] }
  log.follow(from, {
    entry: (position, frame) => seen.entries.push([position, Buffer.from(frame).toString()]),
    failed: (cause) => seen.failures.push(cause),
  })
  return seen
}

/** Runs with a log of its own. */
async function withLog(
  test: (log: JetStreamLog, name: string) => Promise<void>,
  options: Omit<StreamOptions, 'name'> = {},
): Promise<void> {
  const name = `fault${++names}`
  const log = await opening(name, options)
  try {
    await test(log, name)
  } finally {
    await log.close()
    await servers.restart(0)
  }
}

/** Appends until it is acked, as the carrier does; gives the codes of what it was told before. */
async function appendFor(log: Log, text: string, codes: Set<string>): Promise<Position> {
  for (;;) {
    try {
      const { position } = await log.append(bytesOf(text), text)
      return position
    } catch (error) {
      if (!isHoldfastError(error)) throw error
      codes.add(error.code)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

const opening = (name: string, options: Partial<StreamOptions> = {}): Promise<JetStreamLog> =>
  openJetStreamLog(systemEnv, { servers: servers.urls, name, maxBytes: MAX_BYTES, ...options })

describe.skipIf(missing !== undefined)('the JetStream log', () => {
  beforeAll(async () => {
    servers = await startNatsServers(1)
    connection = await connect({ servers: [...servers.urls] })
    manager = await jetstreamManager(connection)
  })

  afterAll(async () => {
    await connection.close()
    await servers.stop()
  })

  describe('whose stream', { concurrent: true }, streams)
  describe('in which others write', strays)
  describe('is refused by name', refused)
  describe('whose server is killed and comes back', killed)
})

function killed(): void {
  it('has every entry once, in the places that were acked; callers are told by name', () =>
    withLog(async (log) => {
      const seen = watch(log)
      const codes = new Set<string>()
      const acks = new Map<string, Position>()
      const append = async (text: string): Promise<void> => {
        acks.set(text, await appendFor(log, text, codes))
      }
      for (let i = 0; i < 20; i++) await append(`before ${i}`)
      const during = Array.from({ length: 200 }, (_, i) => append(`during ${i}`))
      await vi.waitUntil(() => seen.entries.length >= 30, PATIENCE)
      await servers.kill(0)
      const atOnce = await log.append(bytesOf('down'), 'down').catch((error: unknown) => error)
      expect(atOnce).toMatchObject({
        code: expect.stringMatching(/^(LogUnavailable|OutcomeUnknown)$/) as unknown,
      })
      const after = append('down')
      await vi.waitUntil(() => codes.has('LogUnavailable'), PATIENCE)
      await servers.restart(0)
      await Promise.all([...during, after])
      await append('last')
      await vi.waitUntil(() => seen.entries.length >= acks.size, PATIENCE)
      expect(seen.failures).toEqual([])
      expect([...codes].filter((code) => !/^(LogUnavailable|OutcomeUnknown)$/.test(code))).toEqual(
        [],
      )
      const wanted = [...acks].map(([text, position]): [Position, string] => [position, text])
      expect(seen.entries).toEqual(wanted.sort(([a], [b]) => a - b))
      expect(log.last()).toBe(acks.size)
    }))

  it('ends what is under way at once, as OutcomeUnknown', () =>
    withLog(async (log) => {
      const seen = watch(log)
      await log.append(bytesOf('first'), 'first')
      // Stopped, it takes what is sent and answers nothing.
      servers.pause(0)
      const pending = log.append(bytesOf('second'), 'second').catch((error: unknown) => error)
      await servers.kill(0)
      expect(await pending).toMatchObject({ code: 'OutcomeUnknown', applied: 'unknown' })
      await servers.restart(0)
      await appendFor(log, 'second', new Set())
      await vi.waitUntil(() => seen.entries.length === 2, PATIENCE)
      expect(seen.entries).toEqual([
        [1, 'first'],
        [2, 'second'],
      ])
    }))
}

function streams(): void {
  it('is deleted tells its followers LogReset, and takes nothing', () =>
    withLog(async (log, name) => {
      const seen = watch(log)
      await log.append(bytesOf('a'), 'a')
      await manager.streams.delete(streamName(name))
      await expect(log.append(bytesOf('b'), 'b')).rejects.toMatchObject({ code: 'LogUnavailable' })
      await vi.waitUntil(() => seen.failures.length > 0, PATIENCE)
      expect(seen.failures).toMatchObject([
        { code: 'LogReset', message: expect.stringMatching(/is gone/) as unknown },
      ])
    }))

  it('is deleted and made anew tells its followers LogReset, and gives them nothing of it', () =>
    withLog(async (log, name) => {
      const seen = watch(log)
      for (const text of ['a', 'b']) await log.append(bytesOf(text), text)
      await vi.waitUntil(() => seen.entries.length === 2, PATIENCE)
      await manager.streams.delete(streamName(name))
      const other = await opening(name)
      for (const text of ['c', 'd', 'e']) await other.append(bytesOf(text), text)
      await vi.waitUntil(() => seen.failures.length > 0, PATIENCE)
      expect(seen.failures).toMatchObject([
        { code: 'LogReset', message: expect.stringMatching(/another of its name/) as unknown },
      ])
      expect(seen.entries.map(([, text]) => text)).toEqual(['a', 'b'])
      await other.close()
    }))

  it('has a hole tells a follower that comes to it LogReset, and skips nothing', () =>
    withLog(async (log, name) => {
      const stray = `stray.${name}`
      await log.append(bytesOf('a'), 'a')
      const subjects = [streamSubject(name), stray]
      await manager.streams.update(streamName(name), { subjects })
      await jetstream(connection).publish(stray, 'lost')
      await log.append(bytesOf('b'), 'b')
      await manager.streams.purge(streamName(name), { filter: stray })
      const seen = watch(log)
      await vi.waitUntil(() => seen.failures.length > 0, PATIENCE)
      expect(seen.failures).toMatchObject([
        { code: 'LogReset', message: expect.stringMatching(/entry 2 is missing/) as unknown },
      ])
      expect(seen.entries).toEqual([[1, 'a']])
    }))

  it('must exist, and does not, is LogReset at opening', async () => {
    await expect(opening('never', { mustExist: true })).rejects.toMatchObject({ code: 'LogReset' })
    await expect(manager.streams.info(streamName('never'))).rejects.toThrow(/not found/)
  })

  it('is full refuses as LogFull, goes on being read, and takes entries once it was trimmed', () =>
    withLog(
      async (log, name) => {
        const seen = watch(log)
        const frame = bytesOf('x'.repeat(4 * 1024))
        const outcomes: unknown[] = []
        for (let i = 0; outcomes.length === 0; i++) {
          await log.append(frame, `${i}`).catch((error: unknown) => outcomes.push(error))
        }
        expect(outcomes).toMatchObject([{ code: 'LogFull', applied: 'no' }])
        const stored = log.last()
        expect(stored).toBeGreaterThan(5)
        await vi.waitUntil(() => seen.entries.length === stored, PATIENCE)
        await log.append(bytesOf('upkeep'), 'upkeep', 'upkeep')
        await vi.waitUntil(() => seen.entries.length === stored + 1, PATIENCE)
        expect((await log.room?.extent())?.bytes).toBeGreaterThan(0.8 * 64 * 1024)
        // Behind this port's back: it looks again before it refuses.
        await manager.streams.purge(streamName(name), { seq: stored })
        const { position } = await log.append(frame, 'again')
        expect(position).toBe(stored + 2)
        await vi.waitUntil(() => seen.entries.length === stored + 2, PATIENCE)
        expect(seen.failures).toEqual([])
      },
      { maxBytes: 64 * 1024 },
    ))
}

function strays(): void {
  it('gives every frame its place, those of strangers too', () =>
    withLog(async (log, name) => {
      const seen = watch(log)
      const subject = streamSubject(name)
      await log.append(bytesOf('ours 1'), 'one')
      connection.publish(subject)
      connection.publish(subject, 'junk')
      const marked = headers()
      marked.set('Nats-Msg-Id', 'stray')
      connection.publish(subject, 'marked', { headers: marked })
      await connection.flush()
      await log.append(bytesOf('ours 2'), 'two')
      await vi.waitUntil(() => seen.entries.length === 5, PATIENCE)
      expect(seen.entries.map(([position]) => position)).toEqual([1, 2, 3, 4, 5])
      const texts = seen.entries.map(([, text]) => text)
      expect(texts.toSorted()).toEqual(['', 'junk', 'marked', 'ours 1', 'ours 2'])
      expect(texts[0]).toBe('ours 1')
    }))

  it('lets none of them take entries away', () =>
    withLog(async (log, name) => {
      const seen = watch(log)
      for (const text of ['a', 'b', 'c']) await log.append(bytesOf(text), text)
      const rollup = headers()
      rollup.set('Nats-Rollup', 'all')
      const client = jetstream(connection)
      await expect(
        client.publish(streamSubject(name), 'rolled', { headers: rollup }),
      ).rejects.toThrow(/rollup/)
      await expect(manager.streams.deleteMessage(streamName(name), 2)).rejects.toThrow(/delete/)
      await log.append(bytesOf('d'), 'd')
      const late = watch(log)
      await vi.waitUntil(() => late.entries.length === 4, PATIENCE)
      expect(seen.entries).toEqual(late.entries)
    }))
}

function refused(): void {
  it.each([
    ['max_age', { max_age: 60_000_000_000 }],
    ['discard', { discard: 'old' as const }],
    ['retention', { retention: 'interest' as const }],
    ['deny_delete', { deny_delete: false }],
    ['allow_rollup_hdrs', { allow_rollup_hdrs: true }],
    ['max_msgs', { max_msgs: 1_000 }],
    ['subjects', { subjects: ['other.>'] }],
  ])('when its stream has another %s', async (setting, config) => {
    const name = `set${++names}`
    await manager.streams.add({
      name: streamName(name),
      subjects: [streamSubject(name)],
      discard: 'new',
      deny_delete: true,
      ...config,
    })
    await expect(opening(name)).rejects.toMatchObject({
      code: 'EngineUnsupported',
      details: { setting },
    })
    await manager.streams.delete(streamName(name))
  })

  it('when it is too large for the servers', async () => {
    await expect(opening('large', { maxBytes: 2 ** 52 })).rejects.toMatchObject({ code: 'LogFull' })
  })

  it('when its name would reach beyond its subjects', async () => {
    for (const name of ['', 'a.b', '*', '>', 'a b', 'é']) {
      await expect(opening(name)).rejects.toMatchObject({ code: 'InvalidArgument' })
    }
  })

  it('when the server is too old, takes too little at once, or is not there', async () => {
    const old = await startOldServer('2.10.22')
    const options = { name: 'x', servers: `nats://127.0.0.1:${old.port}` }
    await expect(openJetStreamLog(systemEnv, options)).rejects.toMatchObject({
      code: 'EngineUnsupported',
      message: expect.stringMatching(
        /nats-old is of version 2\.10\.22, below 2\.10\.23/,
      ) as unknown,
    })
    old.server.close()
    await expect(openJetStreamLog(systemEnv, options)).rejects.toMatchObject({
      code: 'Unreachable',
    })
    const small = await startNatsServers(1, { maxPayload: 65_536 })
    const narrow = { name: 'x', servers: small.urls }
    await expect(openJetStreamLog(systemEnv, narrow)).rejects.toMatchObject({
      code: 'EngineUnsupported',
      message: expect.stringMatching(/messages of 65536 bytes/) as unknown,
    })
    await small.stop()
  })
}

/** As much of a NATS server as says its version, and answers pings. */
async function startOldServer(version: string): Promise<{ server: Server; port: number }> {
  const info = { server_id: 'OLD', server_name: 'nats-old', version, max_payload: 1_048_576 }
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      if (data.includes('PING')) socket.write('PONG\r\n')
    })
    socket.write(`INFO ${JSON.stringify({ ...info, headers: true })}\r\n`)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return { server, port: (server.address() as { port: number }).port }
}
