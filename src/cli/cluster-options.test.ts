// Who a node says it is to NATS: options before the environment, one way alone, secrets never in options.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { clusterOptionsOf } from './cluster-options.ts'
import { UsageError } from './exit-codes.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-cluster-options-'))
const file = join(dir, 'secret')
writeFileSync(file, 'hush\n')
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const cluster = 'nats://a:4222'

it('takes who this is from options, or else from the environment, and never from both', () => {
  const env = { HOLDFAST_NATS_TOKEN: 't', HOLDFAST_NATS_PASSWORD: 'p' }
  expect(clusterOptionsOf({ cluster }, env)).toMatchObject({ servers: cluster, token: 't' })
  const user = clusterOptionsOf({ cluster, natsUser: 'u' }, env)
  expect(user).toMatchObject({ user: 'u', password: 'p' })
  expect(user?.token).toBeUndefined()
  const both = { cluster, natsUser: 'u', natsPasswordFile: file }
  expect(clusterOptionsOf(both, env)).toMatchObject({ password: 'hush' })
  expect(clusterOptionsOf({ cluster, natsNkeyFile: file }, {})).toMatchObject({ nkeySeed: 'hush' })
  expect(clusterOptionsOf({ cluster }, { HOLDFAST_NATS_CREDS: file })).toMatchObject({
    credentialsFile: file,
  })
})

it('demands TLS when any option of it is given', () => {
  expect(clusterOptionsOf({ cluster }, {})?.tls).toBeUndefined()
  expect(clusterOptionsOf({ cluster, natsTls: true }, {})?.tls).toBeDefined()
  expect(clusterOptionsOf({ cluster, natsCa: 'ca' }, { HOLDFAST_NATS_CERT: 'c' })?.tls).toEqual({
    caFile: 'ca',
    certFile: 'c',
    keyFile: undefined,
  })
})

it('refuses what does not go together, and a file that is not there', () => {
  expect(clusterOptionsOf({}, {})).toBeUndefined()
  expect(() => clusterOptionsOf({ natsCreds: file }, {})).toThrow(/--nats-creds goes with/)
  const two = { cluster, natsUser: 'u', natsCreds: file }
  expect(() => clusterOptionsOf(two, {})).toThrow(UsageError)
  expect(() => clusterOptionsOf({ cluster, natsPasswordFile: file }, {})).toThrow(UsageError)
  const gone = { cluster, natsTokenFile: join(dir, 'none') }
  expect(() => clusterOptionsOf(gone, {})).toThrow(/cannot be read/)
})
