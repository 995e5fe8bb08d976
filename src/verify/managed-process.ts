/** A process that this one started: its state, how it is stopped for a while, and how it ends. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export type ProcessState = 'running' | 'paused' | 'dead'

/** One process of a cluster, as others see it. */
export interface Managed {
  readonly name: string
  /** Undefined while it is dead. */
  readonly pid: number | undefined
  /** Where its callers reach it; '' of one that serves nobody. */
  readonly url: string
  readonly state: ProcessState
}

export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Whether a line of its output says that it is ready. Undefined: it is so once it was spawned. */
  readonly isReady?: ((line: string) => boolean) | undefined
  /** Whether it talks with this process by messages. Default false. */
  readonly hasChannel?: boolean | undefined
}

/** Told of each process that ended, with the last that it said. */
export type OnEnd = (name: string, how: number | string, said: string) => void

/** Characters that are kept of what a process said. */
const SAID_CHARS = 4_000
/** Milliseconds that a process may take to end before it is killed. */
const END_MS = 20_000

/** Those that run, of all clusters of this process. */
const running = new Set<ChildProcess>()
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')))

export class ManagedProcess implements Managed {
  readonly name: string
  readonly url: string
  readonly #launch: () => Launch
  readonly #onEnd: OnEnd | undefined
  #child: ChildProcess | undefined
  #isPaused = false
  #said = ''

  /** `launch` is asked at each start. */
  constructor(name: string, url: string, launch: () => Launch, onEnd?: OnEnd) {
    this.name = name
    this.url = url
    this.#launch = launch
    this.#onEnd = onEnd
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  get state(): ProcessState {
    if (this.child === undefined) return 'dead'
    return this.#isPaused ? 'paused' : 'running'
  }

  /** While it is there. */
  get child(): ChildProcess | undefined {
    const child = this.#child
    return child?.exitCode === null && child.signalCode === null ? child : undefined
  }

  /** Resolves once it is ready; leaves one that is there. Throws with what it said when it ends first. */
  async start(): Promise<void> {
    if (this.child !== undefined) return
    const { isReady, ...launch } = this.#launch()
    const child = start(launch)
    this.#child = child
    this.#isPaused = false
    this.#said = ''
    running.add(child)
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        if (stream === null) continue
        createInterface({ input: stream }).on('line', (line) => {
          this.#said = `${this.#said}${line}\n`.slice(-SAID_CHARS)
          if (isReady?.(line) === true) resolve()
        })
      }
      if (isReady === undefined) child.once('spawn', resolve)
      child.once('error', reject)
      child.once('close', (code, signal) => {
        running.delete(child)
        const how = code ?? signal ?? 'error'
        reject(new Error(`${this.name} ended (${how}): ${this.#said}`))
        this.#onEnd?.(this.name, how, this.#said)
      })
    })
  }

  pause(): void {
    this.#isPaused = this.child?.kill('SIGSTOP') ?? false
  }

  resume(): void {
    this.child?.kill('SIGCONT')
    this.#isPaused = false
  }

  /** Resolves at its end. SIGTERM becomes SIGKILL after 20 s. Default SIGKILL. */
  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const { child } = this
    if (child === undefined) return
    const ended = once(child, 'exit')
    child.kill(signal)
    if (signal === 'SIGTERM') this.resume()
    const late = setTimeout(() => child.kill('SIGKILL'), END_MS)
    await ended
    clearTimeout(late)
  }
}

function start({ command, args, env, hasChannel = false }: Omit<Launch, 'isReady'>): ChildProcess {
  const [first = command, ...rest] = [...dieTogether(), command, ...args]
  return spawn(first, rest, {
    stdio: hasChannel ? ['ignore', 'pipe', 'pipe', 'ipc'] : ['ignore', 'pipe', 'pipe'],
    serialization: 'advanced',
    // A group of its own: Ctrl-C reaches this process alone, which ends the others in order.
    detached: true,
    ...(env === undefined ? {} : { env: { ...process.env, ...env } }),
  })
}

let prefix: readonly string[] | undefined

/**
 * What a command is started by so that the kernel kills it when this process ends in whatever way,
 * SIGKILL included. Nothing where there is no setpriv (it is part of util-linux): there only a
 * process that was killed leaves others behind.
 */
function dieTogether(): readonly string[] {
  if (prefix === undefined) {
    const args = ['--pdeathsig', 'KILL', '--']
    const { status } = spawnSync('setpriv', [...args, 'true'], { stdio: 'ignore' })
    prefix = status === 0 ? ['setpriv', ...args] : []
  }
  return prefix
}
