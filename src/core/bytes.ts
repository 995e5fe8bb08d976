/** Byte helpers: comparison, and a writer and reader for the formats of ours. */
import { assert } from './assert.ts'

export type Bytes = Uint8Array

export const EMPTY: Bytes = new Uint8Array(0)

/** Lexicographic order of unsigned bytes; a prefix sorts first. Returns <0, 0 or >0. */
export function compareBytes(a: Bytes, b: Bytes): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

export function equalBytes(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && compareBytes(a, b) === 0
}

/** A copy that owns its memory. Not `bytes.slice()`: a Buffer's shares it. */
export function copyBytes(bytes: Bytes): Bytes {
  return new Uint8Array(bytes)
}

/** A copy of borrowed bytes, if there are any. */
export function copied(bytes: Bytes | undefined): Bytes | undefined {
  return bytes === undefined ? undefined : copyBytes(bytes)
}

export function concatBytes(...parts: readonly Bytes[]): Bytes {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}

/** bytes[start, end) as a string of one char a byte: a Map key. */
export function binaryString(bytes: Bytes, start = 0, end: number = bytes.length): string {
  return latin1.call(bytes, start, end)
}

/** Buffer's own, which any bytes can be given to; not in its typings. */
const latin1 = (
  Buffer.prototype as unknown as { latin1Slice: (start: number, end: number) => string }
).latin1Slice

/**
 * The least byte string greater than every string that starts with `prefix`, or undefined when
 * there is none (all bytes are 0xff).
 */
export function afterPrefix(prefix: Bytes): Bytes | undefined {
  for (let i = prefix.length - 1; i >= 0; i--) {
    const byte = prefix[i] as number
    if (byte !== 0xff) {
      // Not `prefix.slice`: a Buffer's shares its memory, and the caller's prefix would change.
      const out = copyBytes(prefix.subarray(0, i + 1))
      out[i] = byte + 1
      return out
    }
  }
  return undefined
}

export function hex(bytes: Bytes): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

export function fromHex(text: string): Bytes {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

/** Appends to a buffer that grows; `finish` gives a copy, `reset` starts over in the same memory. */
export class ByteWriter {
  buffer: Buffer
  length = 0

  constructor(capacity = 1024) {
    this.buffer = Buffer.allocUnsafeSlow(capacity)
  }

  reset(): void {
    this.length = 0
  }

  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(larger, 0, 0, this.length)
    this.buffer = larger
  }

  u8(value: number): void {
    this.reserve(1)
    this.buffer[this.length++] = value
  }

  u32(value: number): void {
    this.reserve(4)
    this.length = this.buffer.writeUInt32LE(value >>> 0, this.length)
  }

  /** LEB128 of a safe non-negative integer. */
  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a varint is a safe integer, not negative')
    this.reserve(8)
    const buffer = this.buffer
    let rest = value
    let at = this.length
    while (rest > 0x7fffffff) {
      buffer[at++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest > 0x7f) {
      buffer[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    buffer[at++] = rest
    this.length = at
  }

  bytes(bytes: Bytes): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.length)
    this.length += bytes.length
  }

  /** Length as varint, then the bytes. */
  blob(bytes: Bytes): void {
    this.varint(bytes.length)
    this.bytes(bytes)
  }

  text(text: string): void {
    this.blob(Buffer.from(text, 'utf8'))
  }

  /** A copy of what was written. */
  finish(): Bytes {
    return Uint8Array.prototype.slice.call(this.buffer.subarray(0, this.length)) as Bytes
  }
}

/** Reads what ByteWriter wrote. Reading past the end throws `RangeError`: the caller names the damage. */
export class ByteReader {
  readonly bytes: Bytes
  at: number
  readonly end: number

  constructor(bytes: Bytes, at = 0, end: number = bytes.length) {
    assert(at >= 0 && at <= end && end <= bytes.length, 'a reader stays inside its bytes')
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  get done(): boolean {
    return this.at >= this.end
  }

  u8(): number {
    if (this.at >= this.end) throw new RangeError('read past the end')
    return this.bytes[this.at++] as number
  }

  u32(): number {
    const at = this.at
    if (at + 4 > this.end) throw new RangeError('read past the end')
    const bytes = this.bytes
    this.at = at + 4
    return (
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24)) >>>
      0
    )
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw new RangeError('a varint is too large')
        return value
      }
      scale *= 128
      if (scale > 2 ** 56) throw new RangeError('a varint is too long')
    }
  }

  /** A view into the bytes being read, valid as long as they are. */
  view(length: number): Bytes {
    const start = this.at
    if (length < 0 || start + length > this.end) throw new RangeError('read past the end')
    this.at = start + length
    return this.bytes.subarray(start, start + length)
  }

  blob(): Bytes {
    return this.view(this.varint())
  }

  text(): string {
    return Buffer.from(this.blob()).toString('utf8')
  }
}
