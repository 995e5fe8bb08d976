/**
 * Where records go that did not become rows: NDJSON of {line, position, reason, raw}, each position
 * once. What is written is read again when an import goes on, so a crash neither loses nor repeats.
 */
import {
  closeSync,
  createReadStream,
  fsyncSync,
  ftruncateSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { LineSplitter } from '../../server/protocol.ts'
import { stringifyWire } from '../../core/wire.ts'
import type { ReadRecord } from '../formats/format.ts'

const RAW_CHARS = 400

export class RejectsFile {
  readonly path: string
  readonly #positions: Set<number>
  #file: number | undefined

  private constructor(path: string, positions: Set<number>) {
    this.path = path
    this.#positions = positions
  }

  /** Goes on with the file that an earlier run left, or drops it when this run `begins`. */
  static async open(path: string, begins: boolean): Promise<RejectsFile> {
    if (begins) rmSync(path, { force: true })
    const { positions, wholeBytes } = await readPositions(path)
    const rejects = new RejectsFile(path, positions)
    if (wholeBytes > 0) ftruncateSync(rejects.#open(), wholeBytes)
    return rejects
  }

  has(position: number): boolean {
    return this.#positions.has(position)
  }

  /** Positions that an earlier run already wrote count too. */
  get count(): number {
    return this.#positions.size
  }

  add(record: ReadRecord, reason: string): void {
    const { position, line } = record
    if (this.#positions.has(position)) return
    const raw = record.error === undefined ? stringifyWire(record.row) : record.raw
    const entry = { line, position, reason, raw: raw.slice(0, RAW_CHARS) }
    writeSync(this.#open(), `${JSON.stringify(entry)}\n`)
    this.#positions.add(position)
  }

  /** Makes it durable. */
  close(): void {
    if (this.#file === undefined) return
    fsyncSync(this.#file)
    closeSync(this.#file)
    this.#file = undefined
  }

  #open(): number {
    this.#file ??= openSync(this.path, 'a', 0o600)
    return this.#file
  }
}

/** The positions in the lines that are whole, and how many bytes those have. */
async function readPositions(
  path: string,
): Promise<{ positions: Set<number>; wholeBytes: number }> {
  const positions = new Set<number>()
  let wholeBytes = 0
  const splitter = new LineSplitter()
  try {
    for await (const chunk of createReadStream(path)) {
      for (const line of splitter.push(chunk as Uint8Array)) {
        const { position } = JSON.parse(line) as { position: unknown }
        if (typeof position === 'number') positions.add(position)
        wholeBytes += Buffer.byteLength(line) + 1
      }
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && !(error instanceof SyntaxError)) throw error
  }
  return { positions, wholeBytes }
}
