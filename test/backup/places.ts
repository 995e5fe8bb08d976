/** Folders for the tests of backups, and what of a database has to be the same after a restore. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { open, type Database, type TableDefinitions } from '../../src/index.ts'

const folders: string[] = []
const opened: { close(): Promise<void> }[] = []

export function cleanUp(): void {
  afterEach(async () => {
    for (const db of opened.splice(0)) await db.close().catch(() => undefined)
    for (const dir of folders.splice(0)) rmSync(dir, { recursive: true, force: true })
  })
}

export function freshFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-backup-'))
  folders.push(dir)
  return dir
}

export async function openAt<const T extends TableDefinitions>(
  dir: string,
  tables: T,
): Promise<Database<T>> {
  const db = await open({ dir, tables, shards: 4 })
  opened.push(db)
  return db
}

/** Every row of every table, by table and key. */
export async function contentsOf(
  db: Database<Record<never, never>>,
): Promise<Record<string, unknown[]>> {
  const contents: Record<string, unknown[]> = {}
  for (const { name } of db.stats().tables) contents[name] = await db.table(name).query().toArray()
  return contents
}

/** Bytes of an archive, in memory. */
export function intoMemory(): { stream: WritableStream<Uint8Array>; bytes: () => Uint8Array } {
  const pieces: Uint8Array[] = []
  const stream = new WritableStream<Uint8Array>({
    write: (piece) => void pieces.push(new Uint8Array(piece)),
  })
  return { stream, bytes: () => Buffer.concat(pieces) }
}

export async function* inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}
