/** Server-sent events (WHATWG HTML, 9.2.6), as far as feeds use them: id, event, data, comments. */

export interface ServerEvent {
  readonly id: string | undefined
  readonly event: string
  readonly data: string
}

/**
 * The events of a stream of bytes, until it ends or `stop` aborts. `heard` is called for every piece,
 * comments included. An id that comes alone moves what a reader resumes from: an event with no name.
 */
export async function* eventsOf(
  body: ReadableStream<Uint8Array>,
  stop: AbortSignal,
  heard: () => void,
): AsyncGenerator<ServerEvent, void, undefined> {
  const reader = body.getReader()
  const cancel = (): void => void reader.cancel().catch(() => undefined)
  stop.addEventListener('abort', cancel, { once: true })
  const decoder = new TextDecoder()
  let text = ''
  let id: string | undefined
  let event = ''
  let data: string[] = []
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done || stop.aborted) return
      heard()
      text += decoder.decode(value, { stream: true })
      const lines = text.split(/\r\n|\n|\r(?!$)/)
      text = lines.pop() ?? ''
      for (const line of lines) {
        if (line === '') {
          if (id !== undefined || data.length > 0) yield { id, event, data: data.join('\n') }
          event = ''
          id = undefined
          data = []
          continue
        }
        const [, field, content = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
        if (field === 'id') id = content
        else if (field === 'event') event = content
        else if (field === 'data') data.push(content)
      }
    }
  } finally {
    stop.removeEventListener('abort', cancel)
    // The connection is closed with it; what it failed by has been told by `read`.
    cancel()
  }
}
