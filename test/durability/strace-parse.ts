/**
 * Reads the text that `strace -f -y -xx` writes. With -xx all strings and paths are hexadecimal, so
 * quotes, commas and brackets in the text are always strace's own.
 */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

export type Call = {
  readonly tid: number
  readonly name: string
  readonly args: readonly string[]
  /** What it returned: -1 with `errno` on failure, NaN if it never returned. */
  readonly result: number
  readonly errno: string | undefined
  /** The returned value as printed, with the path of a descriptor. */
  readonly returned: string
  readonly start: number
  /** The line where it returned; Infinity if it never did. */
  readonly end: number
}

/** A call is met twice: when it is issued, and when it returned (or its thread was gone). */
export type Tick = { readonly phase: 'enter' | 'leave'; readonly call: Call }

type Pending = { readonly text: string; readonly start: number; readonly tick: number }

const UNFINISHED = ' <unfinished ...>'
/** `???`: the thread was killed, and strace no longer knows in what. */
const RESUMED = /^<\.\.\. (\S+) resumed>/

export class TraceError extends Error {
  override readonly name = 'TraceError'
}

export class UnsupportedCallError extends Error {
  override readonly name = 'UnsupportedCallError'
  constructor(call: Call, why: string) {
    super(`line ${call.start}: ${call.name} ${why}`)
  }
}

export async function parseTraceFile(path: string): Promise<Tick[]> {
  const parser = new TraceParser()
  const input = createReadStream(path, { encoding: 'latin1', highWaterMark: 1 << 20 })
  for await (const line of createInterface({ input, crlfDelay: Infinity })) parser.line(line)
  return parser.finish()
}

export function parseTrace(text: string): Tick[] {
  const parser = new TraceParser()
  for (const line of text.split('\n')) if (line !== '') parser.line(line)
  return parser.finish()
}

class TraceParser {
  /** An entered call whose return is still to be read holds its place with undefined. */
  readonly #ticks: (Tick | undefined)[] = []
  readonly #pending = new Map<number, Pending>()
  #lineNumber = 0

  line(line: string): void {
    const at = ++this.#lineNumber
    const space = line.indexOf(' ')
    const tid = Number(line.slice(0, space))
    const text = line.slice(space).trimStart()
    if (!Number.isInteger(tid)) throw new TraceError(`line ${at} has no thread id: ${clip(line)}`)
    if (text.startsWith('---')) return
    if (text.startsWith('+++')) return this.#abandon(tid)
    // The thread ended before strace could read what it was about to call.
    if (text.startsWith('???(')) return this.#abandon(tid)
    if (text.endsWith(UNFINISHED)) {
      const tick = this.#ticks.push(undefined) - 1
      this.#pending.set(tid, { text: text.slice(0, -UNFINISHED.length), start: at, tick })
      return
    }
    const resumed = RESUMED.exec(text)
    if (!resumed) return this.#returned(tid, text, at, at, this.#ticks.push(undefined) - 1)
    const pending = this.#pending.get(tid)
    if (resumed[1] === '???') return this.#abandon(tid)
    if (!pending) throw new TraceError(`line ${at} resumes a call that was never entered`)
    this.#pending.delete(tid)
    const whole = pending.text + text.slice(resumed[0].length)
    this.#returned(tid, whole, pending.start, at, pending.tick)
  }

  finish(): Tick[] {
    for (const tid of this.#pending.keys()) this.#abandon(tid)
    return this.#ticks.filter((tick) => tick !== undefined)
  }

  #returned(tid: number, text: string, start: number, end: number, tick: number): void {
    const parts = /^(\w+)\((.*)\)\s+= (.*)$/s.exec(text)
    if (!parts) throw new TraceError(`line ${end} is not a call: ${clip(text)}`)
    const [, name = '', args = '', returned = ''] = parts
    // `?` is a call cut short by a signal or by the end of its thread. ERESTART*: the kernel issues
    // it anew.
    const unknown = returned.startsWith('?')
    const errno = /^(?:-1|\?) (E\w+)/.exec(returned)?.[1]
    const result = unknown && !errno ? NaN : unknown ? -1 : leadingNumber(returned)
    const call: Call = {
      tid,
      name,
      args: splitArguments(args),
      result,
      errno,
      returned,
      start,
      end: Number.isNaN(result) ? Infinity : end,
    }
    this.#ticks[tick] = { phase: 'enter', call }
    this.#ticks.push({ phase: 'leave', call })
  }

  #abandon(tid: number): void {
    const pending = this.#pending.get(tid)
    if (!pending) return
    this.#pending.delete(tid)
    // Killed at its entry, before strace could read which call it was: it was never made.
    if (pending.text.startsWith('???')) return
    const text = `${pending.text.replace(/,?\s*$/, '')}) = ?`
    this.#returned(tid, text, pending.start, Infinity, pending.tick)
  }
}

function leadingNumber(text: string): number {
  return Number(/^(?:-?0x[0-9a-f]+|-?\d+)/.exec(text)?.[0])
}

function splitArguments(text: string): string[] {
  const args: string[] = []
  let depth = 0
  let from = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') at = text.indexOf('"', at + 1)
    else if (char === '[' || char === '{' || char === '(') depth++
    else if (char === ']' || char === '}' || char === ')') depth--
    else if (char === ',' && depth === 0) {
      args.push(text.slice(from, at).trim())
      from = at + 1
    }
    if (at < 0) throw new TraceError(`a string without an end: ${clip(text)}`)
  }
  args.push(text.slice(from).trim())
  return args
}

/** The bytes of a printed string. Refuses one that strace cut short. */
export function bytesOf(printed: string): Uint8Array {
  if (printed === 'NULL') return new Uint8Array(0)
  const whole = printed.length >= 2 && printed.startsWith('"') && printed.endsWith('"')
  if (!whole) throw new TraceError(`strace did not print all bytes: ${clip(printed)}`)
  const bytes = Buffer.from(printed.slice(1, -1).replaceAll('\\x', ''), 'hex')
  if (bytes.length * 4 !== printed.length - 2) throw new TraceError(`not hex: ${clip(printed)}`)
  return bytes
}

/** The bytes of an iovec array, end to end. */
export function vectorBytes(printed: string): Uint8Array {
  const parts = [...printed.matchAll(/\{iov_base=("[^"]*"(?:\.\.\.)?|NULL), iov_len=(\d+)\}/g)]
  const bytes = Buffer.concat(parts.map((part) => bytesOf(part[1] ?? '')))
  const lengths = parts.reduce((sum, part) => sum + Number(part[2]), 0)
  const cut = printed.includes('...') || bytes.length !== lengths
  if (cut) throw new TraceError(`strace did not print all vectors: ${clip(printed)}`)
  return bytes
}

export function textOf(printed: string): string {
  return Buffer.from(bytesOf(printed)).toString('utf8')
}

/**
 * `18<\x2f\x61>` is descriptor 18 at /a; `AT_FDCWD<...>` gives fd NaN and the working directory.
 */
export function descriptorOf(printed: string): { readonly fd: number; readonly path: string } {
  const parts = /^(-?\d+|AT_FDCWD)(?:<([^>]*)>)?/.exec(printed)
  if (!parts) throw new TraceError(`not a descriptor: ${clip(printed)}`)
  const path = parts[2] === undefined ? '' : textOf(`"${parts[2]}"`)
  return { fd: Number(parts[1]), path }
}

export function arg(call: Call, index: number): string {
  const text = call.args[index]
  if (text === undefined) throw new UnsupportedCallError(call, `has no argument ${index}`)
  return text
}

export function fdOf(call: Call, index: number): number {
  return descriptorOf(arg(call, index)).fd
}

export function numberArg(call: Call, index: number): number {
  const value = Number(arg(call, index))
  if (Number.isNaN(value)) throw new UnsupportedCallError(call, `has no number at ${index}`)
  return value
}

function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)} [and ${text.length - 200} more]` : text
}
