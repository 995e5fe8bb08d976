// Runs the built command as its users do: a process of its own, its output and how it ended.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { vi } from 'vitest'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const main = join(root, 'dist', 'command', 'main.js')
const timeoutMs = 60_000
/** For processes that serve others while whole tests run. */
const servingMs = 10 * timeoutMs

// Each test runs several processes, which a busy machine takes its time over.
vi.setConfig({ testTimeout: 2 * timeoutMs, hookTimeout: 4 * timeoutMs })

export interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Kills the process with this signal as soon as it is so far. */
  readonly kill?: { readonly when: () => boolean; readonly signal: NodeJS.Signals }
  /** Kills the process with this signal as soon as its stdout has the text. */
  readonly killOnOutput?: { readonly text: string; readonly signal: NodeJS.Signals }
  /** Through bin/holdfast, which builds first. Default false. */
  readonly bin?: boolean
  readonly cwd?: string
  /** What comes from stdin. Default: nothing. */
  readonly input?: string
}

/** Builds dist/ when it is not current. */
export function buildHoldfast(): void {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts', 'setup.mjs')], {
    encoding: 'utf8',
    timeout: 5 * timeoutMs,
  })
  if (status !== 0) throw new Error(`the build failed: ${stderr}`)
}

function start(
  args: readonly string[],
  options: RunOptions,
  lifetimeMs: number = timeoutMs,
): ChildProcess {
  const file = options.bin === true ? join(root, 'bin', 'holdfast') : main
  const child = spawn(process.execPath, [file, ...args], {
    env: { ...plainEnv(), ...options.env },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: lifetimeMs,
    killSignal: 'SIGKILL',
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  })
  child.stdin?.end(options.input)
  return child
}

/** The environment without what the command goes by, and without the user's own configuration. */
export function plainEnv(): NodeJS.ProcessEnv {
  const isOurs = (name: string): boolean => /^(?:HOLDFAST_|NO_COLOR$|FORCE_COLOR$)/.test(name)
  const kept = Object.entries(process.env).filter(([name]) => !isOurs(name))
  return { ...Object.fromEntries(kept), XDG_CONFIG_HOME: join(tmpdir(), 'holdfast-no-config') }
}

export function holdfast(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = start(args, options)
  const { kill, killOnOutput } = options
  const timer = kill && whenSo(kill.when, () => child.kill(kill.signal))
  return new Promise((resolve, reject) => {
    const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
    child.stdout?.on('data', () => {
      if (killOnOutput && stdout().includes(killOnOutput.text)) child.kill(killOnOutput.signal)
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearInterval(timer)
      resolve({ code, signal, stdout: stdout(), stderr: stderr() })
    })
  })
}

/** Calls `act` once, when `condition` is seen to hold. */
export function whenSo(condition: () => boolean, act: () => void): NodeJS.Timeout {
  const timer = setInterval(() => {
    if (!condition()) return
    clearInterval(timer)
    act()
  }, 5)
  return timer
}

/** Bytes of a file; none when it is not there. */
export function bytesOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (chunk: string) => (text += chunk))
  return () => text
}

export interface Holding {
  readonly pid: number
  kill(signal: NodeJS.Signals): Promise<number | null>
}

/** A process that has `dir` open until it is killed. */
export function holdOpen(dir: string): Promise<Holding> {
  const child = start(['start', '--no-sample', '--no-http', '--dir', dir], {}, servingMs)
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return new Promise((resolve, reject) => {
    const text = collect(child.stderr)
    child.stderr?.on('data', () => {
      if (!text().includes('serving')) return
      resolve({
        pid: child.pid ?? 0,
        kill: (signal) => {
          child.kill(signal)
          return ended
        },
      })
    })
    child.once('close', () => reject(new Error(`the holder ended: ${text()}`)))
  })
}

export interface Serving extends Holding {
  readonly url: string
  /** All that it has said to people so far. */
  said(): string
}

/** A process that serves `dir` over HTTP, on a free port, until it is killed. */
export function serveHttp(
  dir: string,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<Serving> {
  const line = ['start', '--no-sample', '--json', '--port', '0', '--dir', dir, ...args]
  const child = start(line, options, servingMs)
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)]
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', () => {
      const [first] = stdout().split('\n')
      if (first === undefined || !stdout().includes('\n')) return
      const { serving } = JSON.parse(first) as { serving: { url: string; pid: number } }
      resolve({
        ...serving,
        said: stderr,
        kill: (signal) => {
          child.kill(signal)
          return ended
        },
      })
    })
    child.once('close', () => reject(new Error(`the server ended: ${stderr()}`)))
  })
}

/** Runs `work` while another process has the folder open, or while none has. */
export async function whileHeld(
  dir: string,
  isHeld: boolean,
  work: () => Promise<void>,
): Promise<void> {
  const holder = isHeld ? await holdOpen(dir) : undefined
  try {
    await work()
  } finally {
    await holder?.kill('SIGTERM')
  }
}

/** A folder of its own that goes with the test. */
export class Workplace implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
  readonly data = join(this.folder, 'data')

  path(name: string): string {
    return join(this.folder, name)
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
