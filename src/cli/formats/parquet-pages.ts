/**
 * Reads one column chunk of a Parquet file page by page, so that memory is bounded by the page, not
 * by the row group: some writers make row groups of 100 MB. hyparquet's own reading functions take
 * whole column chunks; this is built on its page functions, which its `exports` map publishes.
 */
import type {
  AsyncBuffer,
  ColumnMetaData,
  CompressionCodec,
  Compressors,
  DecodedArray,
  PageHeader,
} from 'hyparquet'
import { compressors as codecs } from 'hyparquet-compressors'
import { parquetHeader } from 'hyparquet/src/column.js'
import { decompressPage, readDataPage, readDataPageV2 } from 'hyparquet/src/datapage.js'
import { readPlain } from 'hyparquet/src/plain.js'
import { must } from '../../core/assert.ts'
import { EMPTY } from '../../core/bytes.ts'
import { FormatError } from './format.ts'

/** hyparquet's own description of a column, which its entry point does not name. */
export type ColumnDecoder = Parameters<typeof readDataPageV2>[2]

export interface Page {
  readonly rows: number
  /** For each row 1 where it has a value, 0 for null; undefined when all have one. */
  readonly levels: Uint8Array | undefined
  /** The values that are there, or their places in the dictionary. */
  readonly values: DecodedArray
  readonly isDictionary: boolean
}

/** Bytes read at once. */
const WINDOW_BYTES = 512 * 1024
/** Bytes that a page header has at the most, all but always. */
const HEADER_BYTES = 16 * 1024
/** Far above the pages that writers make: a larger size is damage. */
const PAGE_BYTES_MAX = 1024 ** 3

/** hyparquet-compressors, but for a page of nothing, which its LZ4 does not read. */
export const COMPRESSORS: Compressors = Object.fromEntries(
  (Object.entries(codecs) as [CompressionCodec, (typeof codecs)['ZSTD']][]).map(([name, codec]) => [
    name,
    (input: Uint8Array, length: number) => {
      return length === 0 || codec === undefined ? EMPTY : codec(input, length)
    },
  ]),
)

/** The pages of a chunk of a flat column, in order. */
export class ChunkPages {
  readonly #bytes: AsyncBuffer
  readonly #decoder: ColumnDecoder
  /** Called with the dictionary, before the pages that use it. */
  readonly #onDictionary: (values: DecodedArray) => void
  readonly #end: number
  #rowsLeft: number
  #windowStart: number
  #window: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0))
  #at: number

  constructor(
    bytes: AsyncBuffer,
    chunk: ColumnMetaData,
    decoder: ColumnDecoder,
    onDictionary: (values: DecodedArray) => void,
  ) {
    this.#bytes = bytes
    this.#decoder = decoder
    this.#onDictionary = onDictionary
    this.#at = Number(chunk.dictionary_page_offset || chunk.data_page_offset)
    this.#end = this.#at + Number(chunk.total_compressed_size)
    this.#windowStart = this.#at
    this.#rowsLeft = Number(chunk.num_values)
  }

  /**
   * The next page of values; undefined after the last. A page of at most `skippable` rows is not
   * decoded: its number of rows comes back.
   */
  async next(skippable: number): Promise<Page | number | undefined> {
    while (this.#at < this.#end) {
      const header = await this.#header()
      this.#check(header)
      const length = header.compressed_page_size
      await this.#load(length)
      const start = this.#at - this.#windowStart
      this.#at += length
      if (header.type === 'DICTIONARY_PAGE') {
        this.#readDictionary(header, new Uint8Array(this.#window.buffer, start, length))
      } else if (header.type === 'DATA_PAGE' || header.type === 'DATA_PAGE_V2') {
        const rows = rowsOf(header)
        this.#rowsLeft -= rows
        if (rows <= skippable) return rows
        return this.#readData(header, new Uint8Array(this.#window.buffer, start, length), rows)
      }
    }
    return undefined
  }

  /** Damaged numbers would make the page functions loop or allocate for very long. */
  #check(header: PageHeader): void {
    const { compressed_page_size: packed, uncompressed_page_size: size } = header
    const isRoom = packed >= 0 && this.#at + packed <= this.#end
    const isSize = size >= 0 && size <= PAGE_BYTES_MAX
    const values = header.dictionary_page_header?.num_values ?? 0
    const rows = rowsOf(header)
    const isCount = values >= 0 && values <= 8 * size && rows >= 0 && rows <= this.#rowsLeft
    if (!isRoom || !isSize || !isCount) throw new FormatError('the header of a page is damaged')
  }

  async #header(): Promise<PageHeader> {
    for (let room = HEADER_BYTES; ; room *= 16) {
      await this.#load(Math.min(room, this.#end - this.#at))
      const reader = { view: this.#window, offset: this.#at - this.#windowStart }
      try {
        const header = parquetHeader(reader)
        this.#at = this.#windowStart + reader.offset
        return header
      } catch (error) {
        const isCut = error instanceof RangeError && this.#at + room < this.#end
        if (!isCut) throw error
      }
    }
  }

  /** Makes sure that the window has `length` bytes from #at on. */
  async #load(length: number): Promise<void> {
    if (this.#at + length <= this.#windowStart + this.#window.byteLength) return
    const stop = Math.max(this.#at + length, Math.min(this.#at + WINDOW_BYTES, this.#end))
    this.#window = new DataView(await this.#bytes.slice(this.#at, stop))
    this.#windowStart = this.#at
  }

  #readDictionary(header: PageHeader, bytes: Uint8Array): void {
    const { type, element, codec } = this.#decoder
    const { num_values } = must(header.dictionary_page_header, 'a dictionary page has its header')
    const page = decompressPage(bytes, header.uncompressed_page_size, codec, COMPRESSORS)
    const reader = { view: new DataView(page.buffer, page.byteOffset, page.length), offset: 0 }
    this.#onDictionary(readPlain(reader, type, num_values, element.type_length))
  }

  #readData(header: PageHeader, bytes: Uint8Array, rows: number): Page {
    const { codec } = this.#decoder
    const v1 = header.data_page_header
    const encoding = (v1 ?? header.data_page_header_v2)?.encoding
    let decoded: ReturnType<typeof readDataPage>
    if (v1 === undefined) {
      decoded = readDataPageV2(bytes, header, this.#decoder)
    } else {
      const page = decompressPage(bytes, header.uncompressed_page_size, codec, COMPRESSORS)
      decoded = readDataPage(page, v1, this.#decoder)
    }
    const { definitionLevels, dataPage } = decoded
    const isDictionary = encoding === 'RLE_DICTIONARY' || encoding === 'PLAIN_DICTIONARY'
    // A page may have a million rows, and is held while its rows are handed out: 5 bytes a row.
    return {
      rows,
      levels: dataPage.length < rows ? Uint8Array.from(definitionLevels ?? []) : undefined,
      values: isDictionary ? new Uint32Array(dataPage as ArrayLike<number>) : dataPage,
      isDictionary,
    }
  }
}

function rowsOf({ data_page_header, data_page_header_v2 }: PageHeader): number {
  return data_page_header?.num_values ?? data_page_header_v2?.num_values ?? 0
}
