/**
 * Splits the text of a JSON array into its elements, without holding the array. It looks at
 * brackets, commas and strings alone; whether an element is JSON is for JSON.parse to say.
 */
import { FormatError } from './format.ts'

export interface JsonElement {
  /** 1-based line where it starts. */
  readonly line: number
  readonly text: string
}

/**
 * `start`: before the array. `first`: an element or its end. `element`: an element. `inside`: in an
 * object, array or string. `word`: in any other element. `after`: a comma or the end. `end`: over.
 */
type State = 'start' | 'first' | 'element' | 'inside' | 'word' | 'after' | 'end'

const WORD_END = /[,\] \t\r\n]/g
const QUOTE = 0x22
const BACKSLASH = 0x5c
/** Of brackets; a brace has one more bit. */
const OPENING = 0x5b
const CLOSING = 0x5d
const BRACE_BIT = 0x20

export class JsonArraySplitter {
  readonly #elementCharsMax: number
  #text = ''
  #state: State = 'start'
  /** How far the text is looked at. */
  #at = 0
  /** Where the element starts, in states `inside` and `word`. */
  #from = 0
  #depth = 0
  #inString = false
  /** The line at #from or #at, and the next line feed that is not counted yet. */
  #line = 1
  #feed = 0

  constructor(elementCharsMax: number) {
    this.#elementCharsMax = elementCharsMax
  }

  /**
   * Appends the elements that end in `text`, which goes on where the last call's ended, to `found`.
   * Throws FormatError, with the line, where the text is no array; `found` has what came before.
   */
  push(text: string, found: JsonElement[]): void {
    const keep = this.#isInElement() ? this.#from : this.#at
    this.#countTo(keep)
    this.#text = this.#text.slice(keep) + text
    this.#at -= keep
    this.#from = 0
    this.#feed = feedFrom(this.#text, 0)
    while (this.#step(found));
    if (this.#isInElement() && this.#text.length - this.#from > this.#elementCharsMax) {
      throw this.#failed(`the element is longer than ${this.#elementCharsMax} characters`)
    }
  }

  /** Call after the last `push`. Throws FormatError when the array has not ended. */
  end(): void {
    if (this.#state === 'start') throw this.#failed('the file is empty, not a JSON array')
    if (this.#state !== 'end') throw this.#failed('the file ends inside the array')
  }

  /** One bracket, comma or element; false when that needs more text. */
  #step(found: JsonElement[]): boolean {
    if (this.#state === 'inside') return this.#inside() && this.#finish(found)
    if (this.#state === 'word') return this.#word() && this.#finish(found)
    while (isSpace(this.#text.charCodeAt(this.#at))) this.#at++
    this.#countTo(this.#at)
    const char = this.#text[this.#at]
    if (char === undefined) return false
    this.#at++
    this.#state = this.#next(char)
    return true
  }

  /** The state after a character outside elements, or the first of one. */
  #next(char: string): State {
    switch (this.#state) {
      case 'start': {
        if (char === '[') return 'first'
        const hint = char === '{' ? '; read objects one a line as ndjson' : ''
        throw this.#failed(`expected an array, found ${char}${hint}`)
      }
      case 'after':
        if (char === ',') return 'element'
        if (char === ']') return 'end'
        throw this.#failed(`expected a comma or ] after an element, found ${char}`)
      case 'end':
        throw this.#failed(`found ${char} after the end of the array`)
      case 'first':
        return char === ']' ? 'end' : this.#open(char)
      default:
        return this.#open(char)
    }
  }

  #open(char: string): State {
    if (char === ',' || char === ']') throw this.#failed(`expected an element, found ${char}`)
    this.#from = this.#at - 1
    this.#inString = char === '"'
    this.#depth = char === '{' || char === '[' ? 1 : 0
    return this.#inString || this.#depth === 1 ? 'inside' : 'word'
  }

  #finish(found: JsonElement[]): boolean {
    found.push({ line: this.#line, text: this.#text.slice(this.#from, this.#at) })
    this.#countTo(this.#at)
    this.#state = 'after'
    return true
  }

  /** To the end of an object, array or string. */
  #inside(): boolean {
    const text = this.#text
    for (;;) {
      if (this.#inString && !this.#string()) return false
      if (this.#depth === 0) return true
      if (this.#at === text.length) return false
      const code = text.charCodeAt(this.#at++)
      if (code === QUOTE) this.#inString = true
      else if ((code & ~BRACE_BIT) === OPENING) this.#depth++
      else if ((code & ~BRACE_BIT) === CLOSING) this.#depth--
    }
  }

  /** To the end of a string: a quote with an even number of backslashes before it. */
  #string(): boolean {
    for (;;) {
      const quote = this.#text.indexOf('"', this.#at)
      if (quote < 0) return false
      let from = quote
      while (from > this.#at && this.#text.charCodeAt(from - 1) === BACKSLASH) from--
      this.#at = quote + 1
      if ((quote - from) % 2 === 0) break
    }
    this.#inString = false
    return true
  }

  #word(): boolean {
    WORD_END.lastIndex = this.#at
    const end = WORD_END.exec(this.#text)
    this.#at = end?.index ?? this.#text.length
    return end !== null
  }

  #isInElement(): boolean {
    return this.#state === 'inside' || this.#state === 'word'
  }

  #countTo(index: number): void {
    while (this.#feed < index) {
      this.#line++
      this.#feed = feedFrom(this.#text, this.#feed + 1)
    }
  }

  #failed(reason: string): FormatError {
    return new FormatError(reason, this.#line)
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

function feedFrom(text: string, at: number): number {
  const found = text.indexOf('\n', at)
  return found < 0 ? Infinity : found
}
