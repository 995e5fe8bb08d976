/**
 * One process at a time has a folder open, and others reach it through a socket in the folder.
 *
 * The holder listens on a socket of its own before it claims; the kernel closes it when the process
 * ends, however it ends, so whoever can connect knows that the holder lives. Claims are files with
 * rising numbers, made by link(2), which fails when the name exists:
 *
 *   holder.7.json {pid, socket}   socket dead  ─▶  link holder.8.json  ─▶  is 8 the highest? mine
 *                                 socket alive ─▶  FolderInUse            no: take it back, look again
 *
 * Invariant: the highest claim is never removed, only superseded; so of two takers that saw the same
 * dead holder one gets the next number, and the other finds it taken or finds itself superseded.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { HoldfastError } from '../core/errors.ts'
import { dataFile } from './lmdb-file.ts'

export interface Holder {
  readonly pid: number
  /** The socket's file name in the folder. */
  readonly socket: string
}

export interface Claim {
  readonly dir: string
  /** Hands over connections to the folder's socket; until then they wait. */
  serve(handler: (connection: Socket) => void): void
  release(): Promise<void>
}

const CLAIM = /^holder\.(\d+)\.json$/
/** Bytes that a unix socket's path may have, the terminator left out. */
const SOCKET_PATH_MAX = 104
const TRIES = 100

export interface ClaimOptions {
  /** Makes the folder when there is no database in it. */
  readonly create: boolean
  /** This process, and a name that no other claim has. */
  readonly pid: number
  readonly incarnation: string
}

/** Claims `dir`. Throws `FolderInUse`, `FolderReadOnly`, `FolderNotFound`. */
export async function claimFolder(dir: string, options: ClaimOptions): Promise<Claim> {
  if (!options.create && !existsSync(dataFile(dir))) {
    throw new HoldfastError('FolderNotFound', `there is no database in ${dir}`, {
      details: { dir },
    })
  }
  attempt(dir, () => mkdirSync(dir, { recursive: true }))
  const socket = `holdfast.${options.incarnation}.sock`
  const { server, handOver } = await listen(dir, socket)
  try {
    await claim(dir, { pid: options.pid, socket })
  } catch (cause) {
    server.close()
    throw cause
  }
  return {
    dir,
    serve: handOver,
    release: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** Who has the folder open now, or undefined. */
export async function folderHolder(dir: string): Promise<Holder | undefined> {
  const highest = highestClaim(dir)
  const holder = highest === 0 ? undefined : readHolder(dir, highest)
  return holder !== undefined && (await isAlive(dir, holder)) ? holder : undefined
}

/** Connects to the process that has the folder open. Rejects when it has just gone. */
export function connectToHolder(dir: string, holder: Holder): Promise<Socket> {
  return withSocketPath(
    dir,
    holder.socket,
    (path) =>
      new Promise((resolve, reject) => {
        const connection = connect(path)
        connection.once('connect', () => {
          connection.off('error', reject)
          resolve(connection)
        })
        connection.once('error', reject)
      }),
  )
}

async function claim(dir: string, holder: Holder): Promise<void> {
  const draft = join(dir, `${holder.socket}.claim`)
  attempt(dir, () => writeFileSync(draft, JSON.stringify(holder), { mode: 0o600 }))
  try {
    for (let tries = 0; tries < TRIES; tries++) {
      const highest = highestClaim(dir)
      const current = highest === 0 ? undefined : readHolder(dir, highest)
      if (current !== undefined && (await isAlive(dir, current))) {
        throw new HoldfastError('FolderInUse', `${dir} is open in process ${current.pid}`, {
          details: { dir, pid: current.pid },
        })
      }
      const mine = highest + 1
      if (!tryLink(draft, claimFile(dir, mine))) continue
      if (highestClaim(dir) > mine) {
        unlinkSync(claimFile(dir, mine))
        continue
      }
      sweep(dir, mine)
      syncFolder(dir)
      return
    }
    throw new HoldfastError('FolderInUse', `${dir} is being claimed by other processes`, {
      details: { dir },
    })
  } finally {
    unlinkSync(draft)
  }
}

/** Removes what earlier holders left. */
function sweep(dir: string, mine: number): void {
  const kept = readHolder(dir, mine)?.socket
  for (const name of readdirSync(dir)) {
    const number = Number(CLAIM.exec(name)?.[1] ?? mine)
    const left = name.startsWith('holdfast.') && name.endsWith('.sock') && name !== kept
    if (number < mine) unlinkQuietly(join(dir, name))
    // Another taker's socket may be listening right now: only dead ones go.
    if (left)
      void isAlive(dir, { pid: 0, socket: name }).then(
        (alive) => alive || unlinkQuietly(join(dir, name)),
      )
  }
}

function listen(
  dir: string,
  socket: string,
): Promise<{ server: Server; handOver: (handler: (connection: Socket) => void) => void }> {
  const early: Socket[] = []
  let handle = (connection: Socket): void => {
    early.push(connection)
  }
  const server = createServer((connection) => handle(connection))
  server.unref()
  const handOver = (handler: (connection: Socket) => void): void => {
    handle = handler
    for (const connection of early.splice(0)) handler(connection)
  }
  return withSocketPath(
    dir,
    socket,
    (path) =>
      new Promise((resolve, reject) => {
        server.once('error', (cause) => reject(folderError(dir, cause)))
        server.listen(path, () => {
          attempt(dir, () => chmodSync(join(dir, socket), 0o600))
          resolve({ server, handOver })
        })
      }),
  )
}

function isAlive(dir: string, holder: Holder): Promise<boolean> {
  return connectToHolder(dir, holder).then(
    (connection) => {
      connection.destroy()
      return true
    },
    () => false,
  )
}

/** A socket's path is short; in a deep folder it goes through a descriptor of the folder. */
async function withSocketPath<T>(
  dir: string,
  name: string,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const path = join(dir, name)
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX || !existsSync('/proc/self/fd')) return use(path)
  const folder = openSync(dir, 'r')
  try {
    return await use(`/proc/self/fd/${folder}/${name}`)
  } finally {
    closeSync(folder)
  }
}

function highestClaim(dir: string): number {
  if (!existsSync(dir)) return 0
  return Math.max(
    0,
    ...attempt(dir, () => readdirSync(dir)).map((name) => Number(CLAIM.exec(name)?.[1] ?? 0)),
  )
}

function readHolder(dir: string, number: number): Holder | undefined {
  try {
    return JSON.parse(readFileSync(claimFile(dir, number), 'utf8')) as Holder
  } catch {
    // Superseded and swept between listing and reading: the caller lists again.
    return undefined
  }
}

function claimFile(dir: string, number: number): string {
  return join(dir, `holder.${number}.json`)
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw cause
  }
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
  }
}

/** Makes the names in a folder durable. */
export function syncFolder(dir: string): void {
  const folder = openSync(dir, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

function attempt<T>(dir: string, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    throw folderError(dir, cause)
  }
}

function folderError(dir: string, cause: unknown): Error {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  if (['EACCES', 'EROFS', 'EPERM'].includes(code)) {
    return new HoldfastError('FolderReadOnly', `${dir} cannot be written to (${code})`, {
      cause,
      details: { dir },
    })
  }
  if (code === 'ENOSPC') {
    return new HoldfastError('StorageFull', `the disk of ${dir} is full`, {
      cause,
      details: { dir },
    })
  }
  if (['ENOTDIR', 'EEXIST', 'ENOENT'].includes(code)) {
    return new HoldfastError('FolderNotFound', `${dir} is not a folder (${code})`, {
      cause,
      details: { dir },
    })
  }
  return cause instanceof Error ? cause : new Error(String(cause))
}
