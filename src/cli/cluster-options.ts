/**
 * What a command line says of a cluster, as options of `open`. Secrets come from files or from the
 * environment: a command line is everybody's on the machine.
 */
import { readFileSync } from 'node:fs'
import { HoldfastError } from '../core/errors.ts'
import type { ClusterOptions } from '../open.ts'
import { UsageError } from './exit-codes.ts'
import type { Environment } from './settings/user-config.ts'

export interface ClusterFlags {
  /** NATS servers, with commas between them. */
  readonly cluster?: string | undefined
  readonly database?: string | undefined
  readonly node?: string | undefined
  readonly monitor?: readonly string[] | undefined
  readonly natsUser?: string | undefined
  readonly natsPasswordFile?: string | undefined
  readonly natsTokenFile?: string | undefined
  readonly natsNkeyFile?: string | undefined
  readonly natsCreds?: string | undefined
  /** Demands TLS, by whom the system trusts. */
  readonly natsTls?: boolean | undefined
  readonly natsCa?: string | undefined
  readonly natsCert?: string | undefined
  readonly natsKey?: string | undefined
  readonly natsInbox?: string | undefined
}

type Identity = Pick<ClusterOptions, 'user' | 'password' | 'token' | 'nkeySeed' | 'credentialsFile'>

/** Undefined without `--cluster`. Throws UsageError, and `InvalidConfig` for a file. */
export function clusterOptionsOf(
  flags: ClusterFlags,
  env: Environment,
): ClusterOptions | undefined {
  const { cluster } = flags
  if (cluster === undefined) {
    const [alone] = Object.entries(flags).find(
      ([name, value]) => /^(database|node|monitor|nats)/.test(name) && value !== undefined,
    ) ?? [undefined]
    if (alone === undefined) return undefined
    const option = alone.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    throw new UsageError(`--${option} goes with --cluster`)
  }
  return clusterGiven({ ...flags, cluster }, env)
}

/** As `clusterOptionsOf`, of a command that is about a cluster. */
export function clusterGiven(
  flags: ClusterFlags & { readonly cluster: string },
  env: Environment,
): ClusterOptions {
  const { cluster, database, node, monitor, natsInbox } = flags
  return {
    servers: cluster,
    name: database,
    node,
    monitors: monitor,
    inboxPrefix: natsInbox,
    ...(ofFlags(flags, env) ?? ofEnvironment(env)),
    tls: tlsOf(flags, env),
  }
}

/** Undefined when no option says who this is: then the environment does. */
function ofFlags(flags: ClusterFlags, env: Environment): Identity | undefined {
  const { natsUser, natsPasswordFile, natsTokenFile, natsNkeyFile, natsCreds } = flags
  if (natsPasswordFile !== undefined && natsUser === undefined) {
    throw new UsageError('--nats-password-file goes with --nats-user')
  }
  const ways = [natsUser, natsTokenFile, natsNkeyFile, natsCreds]
  const given = ways.filter((way) => way !== undefined)
  if (given.length === 0) return undefined
  if (given.length > 1) {
    throw new UsageError('of --nats-user, -token-file, -nkey-file and -creds give one')
  }
  if (natsUser !== undefined) {
    const ofFile = secretIn('--nats-password-file', natsPasswordFile)
    return { user: natsUser, password: ofFile ?? set(env, 'PASSWORD') }
  }
  return {
    token: secretIn('--nats-token-file', natsTokenFile),
    nkeySeed: secretIn('--nats-nkey-file', natsNkeyFile),
    credentialsFile: natsCreds,
  }
}

function ofEnvironment(env: Environment): Identity {
  const user = set(env, 'USER')
  return {
    user,
    password: user === undefined ? undefined : set(env, 'PASSWORD'),
    token: set(env, 'TOKEN'),
    nkeySeed: set(env, 'NKEY'),
    credentialsFile: set(env, 'CREDS'),
  }
}

function tlsOf(flags: ClusterFlags, env: Environment): ClusterOptions['tls'] {
  const caFile = flags.natsCa ?? set(env, 'CA')
  const certFile = flags.natsCert ?? set(env, 'CERT')
  const keyFile = flags.natsKey ?? set(env, 'KEY')
  const isWanted = [flags.natsTls, caFile, certFile, keyFile].some((each) => each !== undefined)
  return isWanted ? { caFile, certFile, keyFile } : undefined
}

/** `HOLDFAST_NATS_` and the name; an empty variable is none. */
function set(env: Environment, name: string): string | undefined {
  const value = env[`HOLDFAST_NATS_${name}`]
  return value === '' ? undefined : value
}

function secretIn(option: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new HoldfastError('InvalidConfig', `${option}: ${path} cannot be read`, {
      cause,
      details: { path },
    })
  }
}
