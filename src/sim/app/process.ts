/** The process and the console of one incarnation, as its app sees them. */
import { EventEmitter } from 'node:events'
import { format, inspect } from 'node:util'
import { DeadIncarnation } from '../tripwires.ts'
import { host } from './host.ts'
import type { AppLine, Realm } from './realm.ts'
import { standIn } from './stand-in.ts'

export interface ProcessOptions {
  readonly env: Readonly<Record<string, string>>
  /** Absolute path of the app's entry. */
  readonly file: string
  /** Ends the incarnation: what `process.exit` asks for. */
  readonly onExit: (code: number) => void
}

export interface VirtualProcess {
  readonly process: object
  /** Where the app's `process.on` listens. */
  readonly events: EventEmitter
}

/** A process id that differs between incarnations, and not between runs. */
const PID_FROM = 1_000

export function virtualProcess(realm: Realm, options: ProcessOptions): VirtualProcess {
  const { versions, version, release, execPath } = host.process
  const events = new EventEmitter()
  const startedMs = realm.monotonicMs('process')
  const state: { exitCode: number | undefined } = { exitCode: undefined }
  const exit = (code?: number): never => {
    realm.alive('process.exit')
    options.onExit(code ?? state.exitCode ?? 0)
    // It never returns. Who catches this is dead, and gets no further with anything ambient.
    throw new DeadIncarnation(`${realm.owner.name} ended by process.exit`)
  }
  const given: Record<string, unknown> = {
    env: { ...options.env },
    argv: [execPath, options.file],
    argv0: 'node',
    execArgv: [],
    execPath,
    pid: realm
      .random('process.pid')
      .fork('pid')
      .int(PID_FROM, 2 ** 15),
    ppid: 1,
    title: 'node',
    platform: 'linux',
    arch: 'x64',
    version,
    versions,
    release,
    hrtime: hrtimeOf(realm),
    uptime: () => (realm.monotonicMs('process.uptime') - startedMs) / 1_000,
    nextTick: (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
      realm.alive('process.nextTick')
      host.nextTick(() => realm.guard(() => callback(...args)))
    },
    cwd: () => '/',
    memoryUsage: Object.assign(() => ({ ...MEMORY }), { rss: () => MEMORY.rss }),
    emitWarning: (warning: unknown) => realm.line('warn', String(warning)),
    stdout: outputOf(realm, 'info'),
    stderr: outputOf(realm, 'error'),
    exit,
    ...listenersOf(events),
  }
  const process = standIn(host.process, given, (name) => {
    return realm.refuse(`process.${name}`, 'a simulated process has no such thing; leave it out')
  })
  Object.defineProperty(process, 'exitCode', {
    get: () => state.exitCode,
    set: (code: number | undefined) => {
      state.exitCode = code
    },
  })
  return { process: Object.freeze(process), events }
}

const MEMORY = { rss: 2 ** 26, heapTotal: 2 ** 25, heapUsed: 2 ** 24, external: 0, arrayBuffers: 0 }

function hrtimeOf(realm: Realm): unknown {
  const nanoseconds = (): bigint => BigInt(Math.round(realm.monotonicMs('process.hrtime') * 1e6))
  const hrtime = (since?: readonly [number, number]): [number, number] => {
    const from = since === undefined ? 0n : BigInt(since[0]) * 1_000_000_000n + BigInt(since[1])
    const passed = nanoseconds() - from
    return [Number(passed / 1_000_000_000n), Number(passed % 1_000_000_000n)]
  }
  return Object.assign(hrtime, { bigint: nanoseconds })
}

function outputOf(realm: Realm, level: AppLine['level']): object {
  return {
    isTTY: false,
    writable: true,
    write: (text: unknown, ...rest: unknown[]) => {
      realm.line(level, String(text).replace(/\n$/, ''))
      const done = rest.at(-1)
      if (typeof done === 'function') realm.after('process.stdout.write', 0, done as () => void)
      return true
    },
  }
}

function listenersOf(events: EventEmitter): Record<string, unknown> {
  const names = [
    'on',
    'once',
    'off',
    'addListener',
    'removeListener',
    'removeAllListeners',
  ] as const
  const more = ['prependListener', 'emit', 'listeners', 'listenerCount', 'eventNames'] as const
  return Object.fromEntries(
    [...names, ...more, 'setMaxListeners' as const].map((name) => [
      name,
      events[name].bind(events),
    ]),
  )
}

/** Lines go to the simulation's timeline. */
export function virtualConsole(realm: Realm): object {
  const counts = new Map<string, number>()
  const timers = new Map<string, number>()
  let indent = ''
  const write = (level: AppLine['level'], args: unknown[]): void =>
    realm.line(level, format(...args).replace(/^/gm, indent))
  const at =
    (level: AppLine['level']) =>
    (...args: unknown[]) =>
      write(level, args)
  const group = (...args: unknown[]): void => {
    if (args.length > 0) write('info', args)
    indent += '  '
  }
  const passed = (label: string): string =>
    `${label}: ${(realm.monotonicMs('console.time') - (timers.get(label) ?? 0)).toFixed(3)}ms`
  return {
    log: at('info'),
    info: at('info'),
    debug: at('debug'),
    warn: at('warn'),
    error: at('error'),
    trace: (...args: unknown[]) => write('error', ['Trace:', ...args, new Error('trace').stack]),
    dir: (value: unknown, options?: object) => write('info', [inspect(value, options)]),
    dirxml: at('info'),
    table: at('info'),
    assert: (holds: unknown, ...args: unknown[]) => {
      if (!holds) write('error', ['Assertion failed', ...args])
    },
    count: (label = 'default') => {
      const count = (counts.get(label) ?? 0) + 1
      counts.set(label, count)
      write('info', [`${label}: ${count}`])
    },
    countReset: (label = 'default') => counts.delete(label),
    group,
    groupCollapsed: group,
    groupEnd: () => {
      indent = indent.slice(2)
    },
    time: (label = 'default') => timers.set(label, realm.monotonicMs('console.time')),
    timeLog: (label = 'default', ...args: unknown[]) => write('info', [passed(label), ...args]),
    timeEnd: (label = 'default') => {
      write('info', [passed(label)])
      timers.delete(label)
    },
  }
}
