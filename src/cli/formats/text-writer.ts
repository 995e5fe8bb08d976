/** The writer that the three text formats share: they differ in how a row becomes text. */
import { Buffer } from 'node:buffer'
import type { Row, RowWriter, WriteSummary } from './format.ts'
import type { Sink } from './sink.ts'

export interface TextForm {
  /** Before the first row. */
  readonly head: string
  /** The text of a row; `index` counts all rows from 0. Throws FormatError for an unfit one. */
  readonly row: (row: Row, index: number) => string
  /** After the last row. */
  readonly tail: string
}

/** Characters gathered before they are written. */
const CHUNK_CHARS = 128 * 1024

export class TextWriter implements RowWriter {
  readonly #sink: Sink
  readonly #form: TextForm
  #text: string
  #rows = 0

  constructor(sink: Sink, form: TextForm) {
    this.#sink = sink
    this.#form = form
    this.#text = form.head
  }

  async write(rows: readonly Row[]): Promise<void> {
    for (const row of rows) {
      this.#text += this.#form.row(row, this.#rows)
      this.#rows++
      if (this.#text.length >= CHUNK_CHARS) await this.#flush()
    }
  }

  async close(): Promise<WriteSummary> {
    this.#text += this.#form.tail
    await this.#flush()
    await this.#sink.commit()
    return { rows: this.#rows, bytes: this.#sink.bytes }
  }

  abort(): Promise<void> {
    return this.#sink.abort()
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#text, 'utf8')
    this.#text = ''
    if (bytes.length > 0) await this.#sink.write(bytes)
  }
}
