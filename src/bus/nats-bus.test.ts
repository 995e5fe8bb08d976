/** The NATS bus over real servers of one cluster: the contract of every bus, and lost connections. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  natsServerMissing,
  startNatsServers,
  type NatsServers,
} from '../../test/child/nats-servers.ts'
import type { Bytes } from '../core/bytes.ts'
import { systemEnv } from '../core/system-env.ts'
import { busContract } from './bus.contract.ts'
import type { Bus } from './bus.ts'
import { openNatsBus } from './nats-bus.ts'

const missing = natsServerMissing('the bus over NATS was not tested')
const PATIENCE = { timeout: 20_000, interval: 5 }

let servers: NatsServers
let names = 0
let buses = 0

/** Each bus begins at another server. */
function connect(name: string): Promise<Bus> {
  const at = buses++ % servers.urls.length
  const urls = [...servers.urls.slice(at), ...servers.urls.slice(0, at)]
  return openNatsBus(systemEnv, { servers: urls, name })
}

const bytesOf = (text: string): Bytes => new TextEncoder().encode(text)
const textOf = (bytes: Bytes): string => new TextDecoder().decode(bytes)

describe.skipIf(missing !== undefined)('over servers', () => {
  beforeAll(async () => {
    servers = await startNatsServers(2)
  })

  afterAll(async () => {
    await servers.stop()
  })

  busContract('NATS', () => {
    const name = `bus${++names}`
    return Promise.resolve({
      env: systemEnv,
      connect: (onError) => {
        const at = buses++ % servers.urls.length
        const urls = [...servers.urls.slice(at), ...servers.urls.slice(0, at)]
        return openNatsBus(systemEnv, { servers: urls, name, onError })
      },
    })
  })

  describe('NATS: a bus whose servers are killed', lost)
})

function lost(): void {
  it('ends requests by name, at once, and goes on when one is back', async () => {
    const name = `bus${++names}`
    const asker = await connect(name)
    const server = await connect(name)
    const heard: string[] = []
    let asked = 0
    const stuck = server.serve('stuck', () => {
      asked++
      return new Promise<Bytes>(() => undefined)
    })
    server.serve('echo', ({ bytes }) => bytes)
    server.subscribe('news', ({ bytes }) => {
      heard.push(textOf(bytes))
    })
    await server.flush()
    const options = { deadlineMs: 20_000 }
    const pending = asker.request('stuck', bytesOf('?'), options).catch((error: unknown) => error)
    await vi.waitUntil(() => asked === 1, PATIENCE)
    await Promise.all([servers.kill(0), servers.kill(1)])
    expect(await pending).toMatchObject({ code: 'OutcomeUnknown', applied: 'unknown' })
    await expect(asker.request('echo', bytesOf('?'), options)).rejects.toMatchObject({
      code: 'NoResponder',
      applied: 'no',
      message: expect.stringContaining('was not asked') as unknown,
    })
    await expect(asker.flush()).rejects.toMatchObject({ code: 'NoResponder' })
    asker.publish('news', bytesOf('lost'))
    // What is subscribed or ended meanwhile holds when a server is back.
    server.serve('late', ({ bytes }) => bytes)
    stuck.close()
    await servers.restart(0)
    await answered(asker, 'late')
    await answered(asker, 'echo')
    await expect(asker.request('stuck', bytesOf('?'), options)).rejects.toMatchObject({
      code: 'NoResponder',
    })
    asker.publish('news', bytesOf('kept'))
    await vi.waitUntil(() => heard.length > 0, PATIENCE)
    expect(heard).toEqual(['kept'])
    await asker.close()
    await server.close()
  })

  it('closes while none is there', async () => {
    const bus = await connect(`bus${++names}`)
    await Promise.all([servers.kill(0), servers.kill(1)])
    await expect(bus.flush()).rejects.toMatchObject({ code: 'NoResponder' })
    await bus.close()
    await expect(bus.flush()).rejects.toMatchObject({ code: 'Closed' })
  })
}

/** Asks until it is answered. */
async function answered(bus: Bus, subject: string): Promise<void> {
  const ask = async (): Promise<boolean> => {
    const answer = await bus
      .request(subject, bytesOf('?'), { deadlineMs: 1_000 })
      .catch(() => undefined)
    return answer !== undefined && textOf(answer) === '?'
  }
  await vi.waitUntil(ask, PATIENCE)
}
