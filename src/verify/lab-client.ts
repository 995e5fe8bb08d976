/** Asks the lab that runs in a folder. */
import type { Socket } from 'node:net'
import { HoldfastError } from '../core/errors.ts'
import type { Value } from '../core/wire.ts'
import { decodeError, decodeMessage, encodeMessage, LineSplitter } from '../server/protocol.ts'
import { connectToHolder, folderHolder } from '../store/folder-claim.ts'
import { dataFile } from '../store/lmdb-file.ts'
import { existsSync } from 'node:fs'
import { LAB_METHOD, type LabCall, type LabView } from './lab.ts'

/** The id of the one call of a connection. */
const CALL = 1

/**
 * Resolves when it was done.
 *
 * @throws HoldfastError `Unreachable` where no lab runs, or when a process did not come up;
 *   `InvalidArgument` for a name that no process has; the reason of `signal`
 */
export async function callLab(dir: string, call: LabCall, signal: AbortSignal): Promise<LabView> {
  if (existsSync(dataFile(dir))) throw noLab(`${dir} is the folder of a database`)
  const holder = await folderHolder(dir)
  if (holder === undefined) throw noLab(`no cluster runs in ${dir}`)
  const socket = await connectToHolder(dir, holder)
  try {
    return await ask(socket, call, signal)
  } finally {
    socket.destroy()
  }
}

function noLab(message: string): HoldfastError {
  const next = 'npm run cluster   (in a checkout), or name its folder with --dir'
  return new HoldfastError('Unreachable', message, { details: { next } })
}

function ask(socket: Socket, call: LabCall, signal: AbortSignal): Promise<LabView> {
  return new Promise((resolve, reject) => {
    const lines = new LineSplitter()
    const stop = (): void => reject(signal.reason as Error)
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    // The close that follows says all there is to say.
    socket.on('error', () => undefined)
    socket.once('close', () => {
      signal.removeEventListener('abort', stop)
      reject(noLab('the cluster ended before it answered'))
    })
    socket.on('data', (chunk: Uint8Array) => {
      for (const { id, ok, error } of lines.push(chunk).map(decodeMessage)) {
        if (id !== CALL) continue
        if (error === undefined) resolve(ok as unknown as LabView)
        else reject(decodeError(error))
      }
    })
    const params = call as unknown as Value
    socket.write(encodeMessage({ id: CALL, method: LAB_METHOD, params }))
  })
}
