/** Runs a worker under strace and records what it did to a folder. */
import { spawn, spawnSync } from 'node:child_process'
import {
  accessSync,
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FileId, Recording } from './recording.ts'
import { checkReplay } from './replay-check.ts'
import { eventsOf } from './strace-events.ts'
import { parseTraceFile } from './strace-parse.ts'

export type RecordOptions = {
  /** Command and arguments. It writes `ack <id>` lines to stdout, best with fs.writeSync. */
  readonly worker: readonly string[]
  /** Must exist; what it holds before counts as durable. */
  readonly folder: string
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Files that need not survive, by path relative to the folder. Default: LMDB's lock files. */
  readonly ignore?: (path: string) => boolean
  /** Expressions for strace's --inject, such as `fdatasync:delay_enter=5000`. */
  readonly inject?: readonly string[]
  readonly timeoutMs?: number
}

const TRACED = `
  open openat creat close dup dup2 dup3 fcntl ioctl lseek
  write pwrite64 writev pwritev pwritev2 ftruncate truncate fallocate
  fsync fdatasync sendfile splice copy_file_range io_uring_setup
  mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat
  mmap munmap mremap mprotect pkey_mprotect
  clone clone3 fork vfork
`
  .trim()
  .split(/\s+/)
// Not counted as a sync, on purpose: msync, sync, syncfs and sync_file_range. A worker that relies
// on one of them is reported, not believed.

/** More than one write ever holds; a longer one is refused while parsing. */
const BYTES_PRINTED_MAX = 16_000_000

const lmdbLock = (path: string): boolean => /(?:^|\/)(?:lock\.mdb|[^/]+\.mdb-lock)$/.test(path)

/** Why nothing can be recorded here, or undefined if it can. */
export function straceUnavailable(): string | undefined {
  const probe = ['-f', '--seccomp-bpf', '-o', '/dev/null', '-e', 'trace=write', 'true']
  const { error, status, stderr } = spawnSync('strace', probe, { encoding: 'utf8' })
  if (error) return `strace cannot be run: ${error.message}`
  if (status !== 0) return `strace cannot trace here (status ${status}): ${stderr.trim()}`
  return undefined
}

/**
 * A fresh folder outside any disk where there is one: its own traffic must not slow the worker's
 * syncs.
 */
export function scratchFolder(name: string): string {
  return realpathSync(mkdtempSync(join(memoryFolder() ?? tmpdir(), `holdfast-${name}-`)))
}

function memoryFolder(): string | undefined {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return '/dev/shm'
  } catch {
    return undefined
  }
}

export async function recordWorker(options: RecordOptions): Promise<Recording> {
  const ignore = options.ignore ?? lmdbLock
  const folder = realpathSync(options.folder)
  const initial = readFolder(folder, ignore)
  const scratch = scratchFolder('trace')
  try {
    const [trace, stdout] = [join(scratch, 'trace'), join(scratch, 'stdout')]
    await runTraced(options, trace, stdout)
    const cwd = realpathSync(options.cwd ?? process.cwd())
    const view = { folder, cwd, stdout, ignore, initial }
    const recording = eventsOf(await parseTraceFile(trace), view)
    checkReplay(recording, readFolder(folder, ignore))
    return recording
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function straceArguments(options: RecordOptions, trace: string): string[] {
  const inject = (options.inject ?? []).flatMap((expression) => ['-e', `inject=${expression}`])
  const printed = ['-f', '-y', '-xx', '-s', String(BYTES_PRINTED_MAX), '-e', 'signal=none']
  const traced = ['--seccomp-bpf', '-e', `trace=${TRACED.join(',')}`]
  return [...printed, ...traced, ...inject, '-o', trace, ...options.worker]
}

async function runTraced(options: RecordOptions, trace: string, stdout: string): Promise<void> {
  const stdoutFd = openSync(stdout, 'a')
  const { timeoutMs = 30_000 } = options
  // Its own process group, so that a worker that hangs goes with its tracer and its children.
  const strace = spawn('strace', straceArguments(options, trace), {
    cwd: options.cwd ?? process.cwd(),
    env: { ...process.env, ...options.env, UV_USE_IO_URING: '0' },
    stdio: ['ignore', stdoutFd, 'pipe'],
    detached: true,
  })
  closeSync(stdoutFd)
  let errors = ''
  strace.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString('utf8')).slice(-4_000)
  })
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    if (strace.pid !== undefined) process.kill(-strace.pid, 'SIGKILL')
  }, timeoutMs)
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      strace.once('error', reject)
      strace.once('close', (...ended) => resolve(ended))
    },
  ).finally(() => clearTimeout(timer))
  if (timedOut) throw new Error(`the worker was still running after ${timeoutMs} ms: ${errors}`)
  if (code !== 0) throw new Error(`the worker ended with ${code ?? signal}: ${errors}`)
}

function readFolder(folder: string, ignore: (path: string) => boolean): Recording['initial'] {
  const folders: string[] = []
  const files = new Map<string, { id: FileId; data: Uint8Array }>()
  for (const found of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const absolute = join(found.parentPath, found.name)
    const path = absolute.slice(folder.length + 1)
    if (found.isDirectory()) folders.push(path)
    else if (!ignore(path)) files.set(path, { id: files.size + 1, data: readFileSync(absolute) })
  }
  return { folders, files }
}
