/** What a browser's EventSource does with a stream: events, and the id that it would resume from. */
import { parseWire, type Value } from '../../src/core/wire.ts'

export interface StreamEvent {
  readonly kind: string
  readonly data: Readonly<Record<string, Value>>
  /** The last event id as it was when this came; '' for none. */
  readonly id: string
}

export class EventStream {
  /** What `Last-Event-ID` would say. */
  lastId = ''
  retryMs: number | undefined
  comments = 0
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #decoder = new TextDecoder()
  #text = ''
  #ready: StreamEvent[] = []

  constructor(response: Response) {
    if (response.status !== 200 || response.body === null) {
      throw new Error(`no stream: ${response.status}`)
    }
    this.#reader = response.body.getReader() as ReadableStreamDefaultReader<Uint8Array>
  }

  /** The next event; undefined when the stream has ended. */
  async next(): Promise<StreamEvent | undefined> {
    for (;;) {
      const ready = this.#ready.shift()
      if (ready !== undefined) return ready
      const { done, value } = await this.#reader.read()
      if (done) return undefined
      this.#take(value)
    }
  }

  /** Events until one satisfies `enough`, which is the last of them, or the stream's end. */
  async until(enough: (event: StreamEvent) => boolean): Promise<StreamEvent[]> {
    const events: StreamEvent[] = []
    for (let event = await this.next(); event !== undefined; event = await this.next()) {
      events.push(event)
      if (enough(event)) break
    }
    return events
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel()
  }

  #take(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true })
    const blocks = this.#text.split('\n\n')
    this.#text = blocks.pop() ?? ''
    for (const block of blocks) this.#dispatch(block)
  }

  #dispatch(block: string): void {
    let [kind, data] = ['message', '']
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':')
      const field = colon < 0 ? line : line.slice(0, colon)
      const value = line.slice(colon + 1).replace(/^ /, '')
      if (field === '') this.comments++
      else if (field === 'id') this.lastId = value
      else if (field === 'event') kind = value
      else if (field === 'data') data += value
      else if (field === 'retry') this.retryMs = Number(value)
      else throw new Error(`no field of an event stream: ${line}`)
    }
    if (data === '') return
    const parsed = parseWire(data) as Readonly<Record<string, Value>>
    this.#ready.push({ kind, data: parsed, id: this.lastId })
  }
}
