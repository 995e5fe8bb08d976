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
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
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
/** A socket, or the draft of a claim that is named after it. */
const LEFT = /^(holdfast\..+\.sock)(?:\.claim)?$/
/** Ends the name of a socket that nobody may look for yet. */
const UNHEARD = '.new'
/** What connecting to the socket of a process that is gone ends in. */
const GONE = ['ECONNREFUSED', 'ENOENT', 'ENOTSOCK']
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
  makeFolder(dir)
  const socket = `holdfast.${options.incarnation}.sock`
  const { server, handOver } = await listen(dir, socket)
  try {
    await claim(dir, { pid: options.pid, socket })
  } catch (cause) {
    server.close()
    // Who took the claim for good meanwhile, and waits to be served, looks again.
    handOver((connection) => connection.destroy())
    unlinkQuietly(join(dir, socket))
    throw cause
  }
  return {
    dir,
    serve: handOver,
    release: () =>
      new Promise((resolve) => {
        server.close(() => {
          // Node removes it by the path it was bound to, which in a deep folder leads nowhere by now.
          unlinkQuietly(join(dir, socket))
          resolve()
        })
      }),
  }
}

/** Makes `dir` and the folders above it that are missing, durably. */
function makeFolder(dir: string): void {
  let at = dir
  try {
    const first = mkdirSync(dir, { recursive: true })
    if (first === undefined) return
    for (; at !== first; at = dirname(at)) syncFolder(dirname(at))
    syncFolder(dirname(first))
  } catch (cause) {
    // Of a folder that cannot be made Node says ENOENT; what is above it says why.
    while (!existsSync(at) && at !== dirname(at)) at = dirname(at)
    attempt(dir, () => accessSync(at, constants.W_OK))
    throw folderError(dir, cause)
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
  try {
    attempt(dir, () => writeFileSync(draft, JSON.stringify(holder), { mode: 0o600 }))
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
      if (!existsSync(join(dir, holder.socket))) throw swept(dir)
      await sweep(dir, mine)
      syncFolder(dir)
      return
    }
    throw new HoldfastError('FolderInUse', `${dir} is being claimed by other processes`, {
      details: { dir },
    })
  } finally {
    unlinkQuietly(draft)
  }
}

/** Without its socket a holder would count as dead, and a second one could open the folder. */
function swept(dir: string): HoldfastError {
  return new HoldfastError('StorageFailed', `the socket in ${dir} was removed while it was made`, {
    applied: 'no',
    details: { dir },
  })
}

/** Removes what earlier holders left, as far as it can. */
async function sweep(dir: string, mine: number): Promise<void> {
  const kept = readHolder(dir, mine)?.socket
  const sweeping = readdirSync(dir).map(async (name) => {
    const socket = LEFT.exec(name)?.[1]
    const number = Number(CLAIM.exec(name)?.[1] ?? mine)
    // Another taker's socket may be listening right now: only dead ones go.
    const dead =
      socket !== undefined && socket !== kept && !(await isAlive(dir, { pid: 0, socket }))
    if (number < mine || dead) unlinkQuietly(join(dir, name))
  })
  await Promise.allSettled(sweeping)
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
    `${socket}${UNHEARD}`,
    (path) =>
      new Promise((resolve, reject) => {
        server.once('error', (cause) => reject(folderError(dir, cause)))
        server.listen(path, () => {
          try {
            // Under its name a socket listens from the first moment on: one that does not is dead.
            chmodSync(join(dir, `${socket}${UNHEARD}`), 0o600)
            renameSync(join(dir, `${socket}${UNHEARD}`), join(dir, socket))
            resolve({ server, handOver })
          } catch (cause) {
            server.close()
            reject(folderError(dir, cause))
          }
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
    // Any other failure is no proof: a holder too busy to take a connection (EAGAIN) lives, and so
    // may another user's (EACCES).
    (cause: unknown) => !GONE.includes((cause as NodeJS.ErrnoException).code ?? ''),
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
function syncFolder(dir: string): void {
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
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new HoldfastError('StorageFull', `the disk of ${dir} is full`, {
      cause,
      details: { dir },
    })
  }
  if (['ENOTDIR', 'EEXIST', 'ENOENT', 'ENAMETOOLONG', 'ELOOP'].includes(code)) {
    return new HoldfastError('FolderNotFound', `${dir} is not a folder (${code})`, {
      cause,
      details: { dir },
    })
  }
  return new HoldfastError('StorageFailed', `${dir} cannot be claimed: ${String(cause)}`, {
    cause,
    applied: 'no',
    details: { dir },
  })
}
