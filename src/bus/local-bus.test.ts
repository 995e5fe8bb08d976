import { describe, expect, it } from 'vitest'
import { delay } from '../core/env.ts'
import { systemEnv } from '../core/system-env.ts'
import { busContract } from './bus.contract.ts'
import { openLocalHub } from './local-bus.ts'

const queueLimit = 1_000

busContract('local bus', async () => {
  const hub = openLocalHub(systemEnv, { queueLimit })
  return { env: systemEnv, queueLimit, connect: async (onError) => hub.connect(onError) }
})

describe('local bus', () => {
  it('keeps hubs apart', async () => {
    const [one, other] = [openLocalHub(systemEnv).connect(), openLocalHub(systemEnv).connect()]
    let calls = 0
    other.subscribe('x', () => {
      calls++
    })
    one.publish('x', new Uint8Array(1))
    await delay(systemEnv, 5)
    expect(calls).toBe(0)
    await expect(one.request('x', new Uint8Array(1), { deadlineMs: 10 })).rejects.toMatchObject({
      code: 'NoResponder',
    })
  })

  it('lets other work have its turn while it delivers many messages', async () => {
    const bus = openLocalHub(systemEnv, { queueLimit: 100_000 }).connect()
    let seen = 0
    bus.subscribe('x', () => {
      seen++
    })
    for (let i = 0; i < 50_000; i++) bus.publish('x', new Uint8Array(1))
    await delay(systemEnv, 1)
    expect(seen).toBeLessThan(50_000)
    for (let i = 0; seen < 50_000 && i < 1_000; i++) await delay(systemEnv, 5)
    expect(seen).toBe(50_000)
    await bus.close()
  })
})
