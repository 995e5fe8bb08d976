/** Servers that know users by JWTs, and such users: what an operator makes with the tools of NATS. */
import { nkeys } from '@nats-io/transport-node'

type Pair = ReturnType<typeof nkeys.createUser>

const NO_LIMIT = -1
const encoder = new TextEncoder()

/** Lines of a server's configuration, and who makes users of its one account. */
export function operatorMode(): { access: string[]; user: (expiresS?: number) => string } {
  const operator = nkeys.createOperator()
  const [account, system] = [nkeys.createAccount(), nkeys.createAccount()]
  const limits = Object.fromEntries(
    ['subs', 'conn', 'leaf', 'imports', 'exports', 'data', 'payload'].map((each) => [
      each,
      NO_LIMIT,
    ]),
  )
  const storage = {
    mem_storage: NO_LIMIT,
    disk_storage: NO_LIMIT,
    streams: NO_LIMIT,
    consumer: NO_LIMIT,
  }
  const ofAccount = (pair: Pair, more: object): string =>
    token(operator, pair, { type: 'account', limits: { ...limits, wildcards: true, ...more } })
  const access = [
    `operator: ${token(operator, operator, { type: 'operator' })}`,
    `system_account: ${system.getPublicKey()}`,
    'resolver: MEMORY',
    'resolver_preload {',
    `${account.getPublicKey()}: ${ofAccount(account, storage)}`,
    `${system.getPublicKey()}: ${ofAccount(system, {})}`,
    '}',
  ]
  return { access, user: (expiresS) => credentials(account, expiresS) }
}

/** A credentials file's content. */
function credentials(account: Pair, expiresS?: number): string {
  const user = nkeys.createUser()
  const limits = { subs: NO_LIMIT, data: NO_LIMIT, payload: NO_LIMIT }
  const jwt = token(account, user, { type: 'user', pub: {}, sub: {}, ...limits }, expiresS)
  const seed = new TextDecoder().decode(user.getSeed())
  return [
    ...['-----BEGIN NATS USER JWT-----', jwt, '------END NATS USER JWT------', ''],
    ...['-----BEGIN USER NKEY SEED-----', seed, '------END USER NKEY SEED------', ''],
  ].join('\n')
}

function token(issuer: Pair, subject: Pair, nats: object, expiresS?: number): string {
  const claims = {
    jti: subject.getPublicKey(),
    iat: 1,
    ...(expiresS === undefined ? {} : { exp: expiresS }),
    iss: issuer.getPublicKey(),
    name: 'holdfast',
    sub: subject.getPublicKey(),
    nats: { ...nats, version: 2 },
  }
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`
  return `${signed}.${Buffer.from(issuer.sign(encoder.encode(signed))).toString('base64url')}`
}
