/**
 * Node's modules as an app sees them: pure ones as they are, time, randomness and the process
 * virtual, everything else importable, and refused where its functions are called.
 */
import { HoldfastError } from '../../core/errors.ts'
import { isBuiltin, realModule } from './host.ts'
import { nodeCrypto } from './randomness.ts'
import type { Realm } from './realm.ts'
import { standIn } from './stand-in.ts'

/** Functions of their arguments, microtasks and `nextTick` alone. */
const PURE = new Set([
  ...['assert', 'assert/strict', 'buffer', 'diagnostics_channel', 'events', 'path', 'path/posix'],
  ...['path/win32', 'punycode', 'querystring', 'stream', 'stream/consumers', 'stream/promises'],
  ...['stream/web', 'string_decoder', 'url', 'util', 'util/types', 'constants'],
])

const NETWORK = 'use fetch, which the simulated network carries, and export the app, not a listener'
const FILES = 'keep data in Holdfast, or import the file so that it is bundled'
const THREADS = 'do the work in the node itself'

const ADVICE: Readonly<Record<string, string>> = {
  fs: FILES,
  'fs/promises': FILES,
  net: NETWORK,
  http: NETWORK,
  https: NETWORK,
  http2: NETWORK,
  tls: NETWORK,
  dgram: NETWORK,
  dns: NETWORK,
  'dns/promises': NETWORK,
  child_process: THREADS,
  cluster: THREADS,
  worker_threads: THREADS,
  async_hooks: 'use AsyncLocalStorage or AsyncResource',
  zlib: 'use the synchronous functions, as gzipSync',
  perf_hooks: 'use performance.now, mark or measure',
  module: 'import with a literal name, so that it is bundled',
  vm: 'import the code, so that it is bundled',
}

const OTHERWISE = 'keep it behind an interface, and give the node another one in the simulation'

/** What is made for one realm, besides the modules themselves. */
export interface ModuleParts {
  readonly globals: Readonly<Record<string, unknown>>
  readonly timerPromises: Readonly<Record<string, unknown>>
  /** `holdfast` and its parts, by specifier. */
  readonly provide: Readonly<Record<string, unknown>>
}

/** The `require` of a realm: a module that stays outside the bundle, by specifier. */
export function moduleLoader(realm: Realm, parts: ModuleParts): (specifier: string) => unknown {
  const loaded = new Map<string, unknown>()
  return (specifier) => {
    if (Object.hasOwn(parts.provide, specifier)) return parts.provide[specifier]
    const name = specifier.replace(/^node:/, '')
    if (!isBuiltin(specifier)) throw notBundled(realm, specifier)
    if (!loaded.has(name)) loaded.set(name, moduleOf(realm, name, parts))
    return loaded.get(name)
  }
}

function moduleOf(realm: Realm, name: string, { globals, timerPromises }: ModuleParts): object {
  if (PURE.has(name)) return realModule(name)
  const limited = (given: Record<string, unknown>): object =>
    standIn(realModule(name), given, (member) =>
      realm.refuse(`${name}.${member}`, ADVICE[name] ?? OTHERWISE),
    )
  switch (name) {
    case 'crypto':
      return nodeCrypto(realm)
    case 'process':
      return globals['process'] as object
    case 'console':
      return globals['console'] as object
    case 'timers':
      return limited({ ...pick(globals, TIMERS), promises: timerPromises })
    case 'timers/promises':
      return limited(timerPromises)
    case 'perf_hooks':
      return limited(pick(globals, ['performance']))
    case 'async_hooks':
      return limited(pick(realModule(name), ['AsyncLocalStorage', 'AsyncResource']))
    case 'zlib':
      return limited(synchronous(realModule(name)))
    case 'os':
      return limited(machineAnswers(realm))
    default:
      return limited({})
  }
}

const TIMERS = [
  ...['setTimeout', 'setInterval', 'setImmediate'],
  ...['clearTimeout', 'clearInterval', 'clearImmediate'],
]

function pick(from: object, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.map((name) => [name, Reflect.get(from, name) as unknown]))
}

function synchronous(zlib: object): Record<string, unknown> {
  const names = Object.keys(zlib).filter((name) => name.endsWith('Sync') || name === 'crc32')
  return pick(zlib, names)
}

const MEMORY_BYTES = 2 ** 32

/** The same machine everywhere: 4 cores, 4 GiB, half of them free. */
function machineAnswers(realm: Realm): Record<string, unknown> {
  const [hostname = ''] = realm.owner.name.split('#')
  const cpu = {
    model: 'simulated',
    speed: 1_000,
    times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 },
  }
  return {
    hostname: () => hostname,
    platform: () => 'linux',
    type: () => 'Linux',
    arch: () => 'x64',
    machine: () => 'x86_64',
    release: () => '6.1.0',
    version: () => 'simulated',
    endianness: () => 'LE',
    cpus: () => [cpu, cpu, cpu, cpu],
    availableParallelism: () => 4,
    totalmem: () => MEMORY_BYTES,
    freemem: () => MEMORY_BYTES / 2,
    loadavg: () => [0, 0, 0],
    uptime: () => realm.monotonicMs('os.uptime') / 1_000,
    tmpdir: () => '/tmp',
    homedir: () => '/',
    networkInterfaces: () => ({}),
    userInfo: () => ({ uid: 0, gid: 0, username: 'app', homedir: '/', shell: null }),
  }
}

function notBundled(realm: Realm, specifier: string): HoldfastError {
  const isOurs = /^holdfast(\/|$)/.test(specifier)
  const advice = isOurs
    ? 'the simulation does not give it to apps'
    : 'only an import with a literal name is bundled'
  return new HoldfastError(
    'AppNotBundled',
    `${realm.owner.name} asks for the module ${JSON.stringify(specifier)}: ${advice}`,
  )
}
