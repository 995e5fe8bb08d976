/**
 * Lends bytes as the Store port allows, and takes them back: the next loan and every recall
 * overwrite what was lent before, so that code which keeps borrowed bytes reads rubbish here, as it
 * may on LMDB.
 */
import type { Bytes } from '../core/bytes.ts'

const SPOILT = 0xdd
/** Views up to this length are made once: making one costs as much as reading a row. */
const VIEW_BYTES_MAX = 4096

export class Lender {
  #memory = Buffer.allocUnsafeSlow(VIEW_BYTES_MAX)
  /** The same memory: a Buffer's own `fill` is slow for a few bytes. */
  #bytes = new Uint8Array(this.#memory.buffer)
  #views: Bytes[] = []
  #lent = 0

  lend(value: Bytes): Bytes {
    const view = this.#view(value.length)
    this.#bytes.set(value)
    return view
  }

  /** Lends text of one char a byte. */
  lendText(text: string): Bytes {
    const view = this.#view(text.length)
    this.#memory.write(text, 0, 'latin1')
    return view
  }

  recall(): void {
    if (this.#lent === 0) return
    this.#bytes.fill(SPOILT, 0, this.#lent)
    this.#lent = 0
  }

  #view(length: number): Bytes {
    this.recall()
    this.#lent = length
    if (length > this.#memory.length) {
      this.#memory = Buffer.allocUnsafeSlow(2 * length)
      this.#bytes = new Uint8Array(this.#memory.buffer)
      this.#views = []
    }
    if (length > VIEW_BYTES_MAX) return this.#memory.subarray(0, length)
    return (this.#views[length] ??= this.#memory.subarray(0, length))
  }
}
