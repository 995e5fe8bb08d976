/** Whether a recording is complete: replayed, it must give the folder as the worker left it. */
import { CrashModel, type CrashImage } from './crash-image.ts'
import type { Recording } from './recording.ts'

export class IncompleteRecordingError extends Error {
  override readonly name = 'IncompleteRecordingError'
  constructor(path: string, why: string) {
    super(`${path || 'the folder'} ${why}: it was written in a way that the trace does not show`)
  }
}

/** Calls whose thread was killed in them may have happened or not; either is right. */
export function checkReplay(recording: Recording, actual: Recording['initial']): void {
  const model = new CrashModel(recording)
  const all = model.imageAt(Infinity, { name: 'all', keeps: () => true })
  const returned = model.imageAt(Infinity, {
    name: 'returned',
    keeps: ({ change }) => change.end < Infinity,
  })
  for (const path of new Set([...all.files.keys(), ...actual.files.keys()])) {
    const found = actual.files.get(path)?.data
    const wanted = [all, returned].map((image) => image.files.get(path))
    if (!found) {
      if (!wanted.includes(undefined)) throw new IncompleteRecordingError(path, 'is gone')
      continue
    }
    checkContent(
      path,
      found,
      wanted.filter((bytes) => bytes !== undefined),
    )
  }
  checkFolders(all, actual)
}

function checkContent(path: string, found: Uint8Array, wanted: readonly Uint8Array[]): void {
  if (wanted.some((bytes) => Buffer.compare(bytes, found) === 0)) return
  if (!wanted.some((bytes) => bytes.length === found.length))
    throw new IncompleteRecordingError(path, `has ${found.length} bytes`)
  const differs = found.findIndex((byte, at) => !wanted.some((bytes) => bytes[at] === byte))
  if (differs >= 0) throw new IncompleteRecordingError(path, `differs at byte ${differs}`)
}

function checkFolders(all: CrashImage, actual: Recording['initial']): void {
  const extra = actual.folders.find((path) => !all.folders.includes(path))
  if (extra !== undefined) throw new IncompleteRecordingError(extra, 'is there')
}
