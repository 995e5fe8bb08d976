// Who is let in to a cluster, and what each may do there: over real NATS servers that check it.
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { nkeys } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openNatsBlob } from '../../src/blob/nats-blob.ts'
import { openNatsBus } from '../../src/bus/nats-bus.ts'
import { connectNats } from '../../src/core/nats-connection.ts'
import { systemEnv } from '../../src/core/system-env.ts'
import { isHoldfastError, open, strong, unvalidated, type ClusterOptions } from '../../src/index.ts'
import { natsServerMissing, startNatsServers, type NatsServers } from '../child/nats-servers.ts'
import { operatorMode } from './nats-jwt.ts'

const missing = natsServerMissing('security of a cluster')
const root = mkdtempSync(join(tmpdir(), 'holdfast-security-'))
const PASSWORD = 'pass-WORD-1'
const started: NatsServers[] = []
const tables = { rows: strong({ key: 'id', row: unvalidated<{ id: string }>() }) }
const tls = (name: string): string => new URL(`../doors/tls/${name}.pem`, import.meta.url).pathname
let folders = 0

afterAll(async () => {
  await Promise.all(started.map((servers) => servers.stop()))
  rmSync(root, { recursive: true, force: true })
})

async function serverOf(access: readonly string[]): Promise<NatsServers> {
  const servers = await startNatsServers(1, { access })
  started.push(servers)
  return servers
}

const opened = (cluster: ClusterOptions, dir = join(root, `node-${++folders}`)) =>
  open({ dir, cluster: { maxBytes: 4 * 1024 * 1024, ...cluster }, tables })

/** Opens, puts, gets and closes. */
async function works(cluster: ClusterOptions): Promise<string> {
  const db = await opened(cluster)
  await db.rows.put({ id: 'a' })
  expect(await db.rows.get('a')).toEqual({ id: 'a' })
  await db.close()
  return db.identity
}

/** The message of a refusal, which has none of the secrets anywhere in it. */
async function refusal(code: string, cluster: ClusterOptions): Promise<string> {
  const error: unknown = await opened(cluster).then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(error).toMatchObject({ code, applied: 'no' })
  const { password, token, nkeySeed, credentials } = cluster
  const shown = inspect(error, { depth: 20, showHidden: true })
  for (const secret of [password, token, nkeySeed, credentials]) {
    if (secret !== undefined) expect(shown).not.toContain(secret)
  }
  return (error as Error).message
}

/** What docs/OPERATIONS.md gives a node of the database `shop`. */
interface Permissions {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
  readonly answers: boolean
}

const page = readFileSync(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8')
const [, publishes = '', subscribes = ''] =
  /publish: \[([^\]]*)\][^]*?subscribe: \[([^\]]*)\]\s*allow_responses: true/.exec(page) ?? []
const quoted = (text: string): string[] =>
  [...text.matchAll(/"([^"]+)"/g)].map(([, each]) => each ?? '')
const NODE: Permissions = {
  publish: quoted(publishes),
  subscribe: quoted(subscribes),
  answers: true,
}
const BLOBS = page
  .slice(page.indexOf('Blobs on NATS need besides'))
  .split('```')[1]
  ?.split('\n')
  .slice(1, -1) as string[]

const lineOf = (user: string, { publish, subscribe, answers }: Permissions): string =>
  `{ user: ${user}, password: ${PASSWORD}, permissions { publish: ${JSON.stringify(publish)}, ` +
  `subscribe: ${JSON.stringify(subscribe)}${answers ? ', allow_responses: true' : ''} } }`

const forDatabase = (name: string, { publish, subscribe, answers }: Permissions): Permissions => ({
  publish: publish.map((subject) => subject.replace('shop', name)),
  subscribe: subscribe.map((subject) => subject.replace('shop', name)),
  answers,
})

const without = (list: readonly string[], one: string): string[] =>
  list.filter((each) => each !== one)

/** Each with one permission taken away, and what its refusal must name. */
function lacking(): { user: string; permissions: Permissions; named: string }[] {
  const all = [
    ...NODE.publish.map((one) => ({ ...NODE, publish: without(NODE.publish, one), one })),
    ...NODE.subscribe.map((one) => ({ ...NODE, subscribe: without(NODE.subscribe, one), one })),
    { ...NODE, answers: false, one: 'holdfast.shop.inbox' },
  ]
  return all.map(({ one, ...permissions }, i) => ({
    user: `lacks-${i}`,
    permissions,
    named: one.replace(/\.[*>]$/, ''),
  }))
}

const nkey = nkeys.createUser()
const seed = new TextDecoder().decode(nkey.getSeed())
const withBlobs = { ...NODE, publish: [...NODE.publish, ...BLOBS] }

function access(more: readonly string[] = []): string[] {
  return [
    'accounts {',
    'APP { jetstream: enabled, users: [',
    `{ user: admin, password: ${PASSWORD} }, { nkey: ${nkey.getPublicKey()} },`,
    lineOf('node', NODE),
    lineOf('shop', withBlobs),
    lineOf('bank', forDatabase('bank', withBlobs)),
    ...BLOBS.map((one, i) =>
      lineOf(`blobs-${i}`, { ...withBlobs, publish: without(withBlobs.publish, one) }),
    ),
    ...lacking().map(({ user, permissions }) => lineOf(user, permissions)),
    lineOf('makes-none', forDatabase('fresh', NODE)),
    lineOf('own-inbox', { ...NODE, subscribe: [...NODE.subscribe.slice(1), '_INBOX_mine.>'] }),
    ...more,
    '] }',
    `OTHER { jetstream: enabled, users: [{ user: other, password: ${PASSWORD} }] }`,
    '}',
  ]
}

describe.skipIf(missing !== undefined)('who is let in', { timeout: 30_000 }, () => {
  it('is whom TLS, its certificate and its password show', async () => {
    const files = `cert_file: "${tls('first.cert')}", key_file: "${tls('first.key')}"`
    const servers = await serverOf([
      `tls { ${files}, ca_file: "${tls('first.cert')}", verify: true }`,
      `accounts { APP { jetstream: enabled, users: [{ user: app, password: ${PASSWORD} }] } }`,
    ])
    const user = { servers: servers.urls, user: 'app', password: PASSWORD }
    const caFile = tls('first.cert')
    const own = { certFile: tls('first.cert'), keyFile: tls('first.key') }
    await works({ ...user, tls: { caFile, ...own } })
    const texts = { ca: readFileSync(caFile, 'utf8'), cert: readFileSync(own.certFile, 'utf8') }
    await works({ ...user, tls: { ...texts, key: readFileSync(own.keyFile, 'utf8') } })
    const other = { certFile: tls('second.cert'), keyFile: tls('second.key') }
    const [password, unknown, ca, none, foreign] = await Promise.all([
      refusal('EngineUnauthenticated', { ...user, password: 'no-NO-no', tls: { caFile, ...own } }),
      refusal('EngineUnauthenticated', { servers: servers.urls, tls: { caFile, ...own } }),
      refusal('EngineUnauthenticated', { ...user, tls: { caFile: other.certFile, ...own } }),
      refusal('EngineUnauthenticated', { ...user, tls: { caFile } }),
      refusal('EngineUnauthenticated', { ...user, tls: { caFile, ...other } }),
    ])
    expect(password).toMatch(/refuse the user 'app' with the password given/)
    expect(unknown).toMatch(/refuse the certificate given/)
    expect(ca).toMatch(/does not trust the NATS server's certificate/)
    expect(none).toMatch(/asks for a node's certificate, and none was given/)
    expect(foreign).toMatch(/asks for a node's certificate, and does not accept the one given/)
  })

  it('is who has the token', async () => {
    const servers = await serverOf([`authorization { token: ${PASSWORD} }`])
    await works({ servers: servers.urls, token: PASSWORD })
    const wrong = { servers: servers.urls, token: 'no-NO-no' }
    expect(await refusal('EngineUnauthenticated', wrong)).toMatch(/refuse the token given/)
    const plain = { servers: servers.urls, token: PASSWORD, tls: {} }
    expect(await refusal('EngineUnauthenticated', plain)).toMatch(/offers no TLS/)
  })

  it('is whom the operator has vouched for, until that ends', async () => {
    const { access: lines, user } = operatorMode()
    const [servers, credentials] = [await serverOf(lines), user()]
    await works({ servers: servers.urls, credentials })
    const credentialsFile = join(root, 'node.creds')
    writeFileSync(credentialsFile, credentials)
    await works({ servers: servers.urls, credentialsFile })
    const foreign = { servers: servers.urls, credentials: operatorMode().user() }
    expect(await refusal('EngineUnauthenticated', foreign)).toMatch(/refuse the credentials given/)
    const expired = { servers: servers.urls, credentials: user(2) }
    await refusal('EngineUnauthenticated', expired)
  })

  it('is nobody by options that contradict each other, or are damaged', async () => {
    const servers = 'nats://127.0.0.1:1'
    const refused = async (more: Partial<ClusterOptions>): Promise<string> =>
      refusal('InvalidArgument', { servers, ...more })
    expect(await refused({ user: 'a', token: 'b-secret' })).toMatch(/`user` and `token` give one/)
    expect(await refused({ password: 'b-secret' })).toMatch(/goes with `user`/)
    expect(await refused({ nkeySeed: 'SUAB-secret' })).toMatch(/seed of the NKey/)
    expect(await refused({ credentials: 'secret-jwt' })).toMatch(/no user's JWT/)
    expect(await refused({ credentialsFile: '/none' })).toMatch(/cannot be read/)
    expect(await refused({ tls: { caFile: '/none' } })).toMatch(/tls.caFile cannot be read/)
    expect(await refused({ tls: { ca: 'none' } })).toMatch(/no certificate/)
    expect(await refused({ tls: { certFile: tls('first.cert') } })).toMatch(/go together/)
    const mixed = { certFile: tls('first.cert'), keyFile: tls('second.key') }
    expect(await refused({ tls: mixed })).toMatch(/cannot be used/)
    expect(await refused({ inboxPrefix: 'a.>' })).toMatch(/inboxPrefix/)
    const inUrl = await refused({ servers: 'nats://me:b-secret@127.0.0.1:1' })
    expect(inUrl).not.toContain('b-secret')
  })
})

describe.skipIf(missing !== undefined)('what a node may do', { timeout: 30_000 }, () => {
  let servers: NatsServers
  const as = (user: string, name = 'shop'): ClusterOptions => ({
    ...{ servers: servers.urls, user, password: PASSWORD, name },
  })

  beforeAll(async () => {
    servers = await serverOf(access())
    // The streams are made by who may.
    for (const name of ['shop', 'bank']) {
      await works(as('admin', name))
      await (await openNatsBlob(systemEnv, { ...as('admin', name), name })).close()
    }
  }, 30_000)

  it('is all that it needs with what the page lists, and an NKey does as well', async () => {
    expect(NODE.publish.length + NODE.subscribe.length).toBeGreaterThan(8)
    const identity = await works(as('node'))
    expect(await works({ servers: servers.urls, name: 'shop', nkeySeed: seed })).toBe(identity)
    expect(await works({ ...as('own-inbox'), inboxPrefix: '_INBOX_mine' })).toBe(identity)
    const stranger = new TextDecoder().decode(nkeys.createUser().getSeed())
    const wrong = { servers: servers.urls, nkeySeed: stranger }
    expect(await refusal('EngineUnauthenticated', wrong)).toMatch(/refuse the NKey U/)
  })

  it('is refused at opening by the name of whatever single permission is missing', async () => {
    for (const { user, named } of lacking()) {
      expect([user, await refusal('EngineForbidden', as(user))]).toEqual([
        user,
        expect.stringContaining(named),
      ])
    }
    const fresh = { ...as('makes-none'), name: 'fresh' }
    expect(await refusal('EngineForbidden', fresh)).toContain(
      '$JS.API.STREAM.CREATE.HOLDFAST_fresh',
    )
  })

  it('is told for blobs too, at opening or by the call that is forbidden', async () => {
    const given = (user: string) => ({ ...as(user), name: 'shop' })
    const blob = await openNatsBlob(systemEnv, given('shop'))
    await blob.put('one', new TextEncoder().encode('x'))
    await blob.delete('one')
    await blob.close()
    for (const [i, one] of BLOBS.entries()) {
      const attempt = async (): Promise<void> => {
        const lame = await openNatsBlob(systemEnv, given(`blobs-${i}`))
        try {
          await lame.put(`blob-${i}`, new TextEncoder().encode('x'))
          await lame.delete(`blob-${i}`)
        } finally {
          await lame.close()
        }
      }
      await expect(attempt()).rejects.toMatchObject({
        code: 'EngineForbidden',
        message: expect.stringContaining(one.replace(/\.[*>]$/, '')) as unknown,
      })
    }
  })

  it('ends at its own database: no other is read or written, nor its nodes spoken to', async () => {
    const heard: string[] = []
    const bus = await openNatsBus(systemEnv, { ...as('shop'), name: 'shop' })
    bus.subscribe('>', ({ subject }) => {
      // Those of its own node.
      if (subject !== 'heartbeat') heard.push(subject)
    })
    bus.serve('ask', ({ bytes }) => bytes)
    await bus.flush()
    const db = await opened(as('shop'))
    const before = db.stats().position
    expect(await refusal('EngineForbidden', as('bank'))).toContain('holdfast.shop.log')
    for (const openIt of [openNatsBus, openNatsBlob]) {
      const code = 'EngineForbidden'
      await expect(openIt(systemEnv, { ...as('bank'), name: 'shop' })).rejects.toMatchObject({
        code,
      })
    }
    const link = await connectNats(
      systemEnv,
      { ...as('bank'), inboxPrefix: 'holdfast.bank.inbox' },
      'x',
    )
    const subjects = ['log', 'bus.x', 'call.ask', 'blob.name.x', 'inbox.x'].map(
      (each) => `holdfast.shop.${each}`,
    )
    const requests = ['STREAM.MSG.GET', 'STREAM.DELETE', 'STREAM.PURGE', 'CONSUMER.CREATE'].map(
      (each) => `$JS.API.${each}.HOLDFAST_shop`,
    )
    const attempt = link.assertAllowed((connection) => {
      for (const subject of [...subjects, ...requests]) connection.publish(subject, 'forged')
      connection.subscribe('holdfast.shop.>', { callback: () => undefined })
    })
    await expect(attempt).rejects.toMatchObject({
      details: { violations: { length: subjects.length + requests.length + 1 } as never },
    })
    await link.close()
    const asked = await bus.request('ask', Uint8Array.of(1), { deadlineMs: 5_000 })
    expect([...asked]).toEqual([1])
    await db.rows.put({ id: 'later' })
    expect(db.stats().position).toBe(before + 1)
    expect(heard).toEqual([])
    await db.close()
    await bus.close()
  })

  it('is apart in another account, under the same name', async () => {
    const [here, there] = [await works(as('node')), await works(as('other'))]
    expect(here).not.toBe(there)
  })

  it('is told by name when it is taken away while the node runs', async () => {
    const db = await opened(as('node'))
    await db.rows.put({ id: 'kept' })
    const lines = access().map((line) =>
      line.startsWith('{ user: node,') ? line.replaceAll(PASSWORD, 'changed') : line,
    )
    servers.reload(0, lines)
    await vi.waitUntil(
      async () => {
        const told: unknown = await db.rows.put({ id: 'x' }, { deadlineMs: 300 }).then(
          () => undefined,
          (cause: unknown) => cause,
        )
        return isHoldfastError(told, 'EngineUnauthenticated')
      },
      { timeout: 20_000, interval: 20 },
    )
    expect(await db.rows.get('kept', { level: 'local' })).toEqual({ id: 'kept' })
    servers.reload(0, access())
    await vi.waitUntil(
      () =>
        db.rows.put({ id: 'again' }).then(
          () => true,
          () => false,
        ),
      { timeout: 20_000, interval: 20 },
    )
    await db.close()
  })

  it('halts by name the node that may not read the log any more', async () => {
    const db = await opened(as('node'))
    await db.rows.put({ id: 'kept' })
    const lines = access().map((line) =>
      line.startsWith('{ user: node,') ? line.replace('CONSUMER.MSG.NEXT', 'NONE') : line,
    )
    servers.reload(0, lines)
    await vi.waitUntil(() => db.stats().halted === 'EngineForbidden', { timeout: 20_000 })
    await expect(db.rows.put({ id: 'x' })).rejects.toMatchObject({
      code: 'Halted',
      message: expect.stringContaining('$JS.API.CONSUMER.MSG.NEXT.HOLDFAST_shop') as unknown,
    })
    expect(await db.rows.get('kept', { level: 'local' })).toEqual({ id: 'kept' })
    await db.close()
    servers.reload(0, access())
  })
})

describe.skipIf(missing !== undefined)('what acks are worth', { timeout: 30_000 }, () => {
  it('is read again with each connection: a table that demands more waits until it is so', async () => {
    let syncs = false
    const server = { server_name: 'nats-1', version: '2.12.0' }
    const monitor = createServer((_, answer) => {
      answer.end(JSON.stringify({ ...server, jetstream: { config: { sync_always: syncs } } }))
    }).listen(0, '127.0.0.1')
    await once(monitor, 'listening')
    const monitors = [`http://127.0.0.1:${(monitor.address() as AddressInfo).port}`]
    const servers = await startNatsServers(1)
    started.push(servers)
    const cluster = { servers: servers.urls, monitors, maxBytes: 4 * 1024 * 1024 }
    const safe = strong({
      ...{ key: 'id', row: unvalidated<{ id: string }>() },
      leastDurability: 'quorum-fsynced',
    } as const)
    const dir = join(root, 'demanding')
    const opening = () => open({ dir, cluster, tables: { safe } })
    await expect(opening()).rejects.toMatchObject({
      ...{ code: 'DurabilityTooLow', details: { durability: 'quorum', least: 'quorum-fsynced' } },
    })
    syncs = true
    const db = await opening()
    expect(await db.safe.put({ id: 'a' })).toMatchObject({ durability: 'quorum-fsynced' })
    const becomes = async (now: boolean): Promise<void> => {
      syncs = now
      await servers.kill(0)
      await servers.restart(0)
      const worth = now ? 'quorum-fsynced' : 'quorum'
      await vi.waitUntil(() => db.durability === worth, { timeout: 20_000, interval: 10 })
    }
    await becomes(false)
    const code = 'DurabilityTooLow'
    await expect(db.safe.put({ id: 'b' })).rejects.toMatchObject({ code, applied: 'no' })
    await becomes(true)
    await db.safe.put({ id: 'c' })
    expect((await db.safe.query().toArray()).map(({ id }) => id)).toEqual(['a', 'c'])
    await db.close()
    monitor.close()
  })
})
