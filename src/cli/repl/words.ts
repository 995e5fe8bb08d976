/**
 * The words of a line, by a shell's simple rules: '...' as it is, "..." with backslashes before " and
 * \, a backslash before any other character, # to the end of the line. And by one of our own: JSON
 * that begins a word, or stands behind an =, is one word as it is, quotes and spaces included, so
 * that rows need no quoting.
 */

interface Word {
  readonly value: string
  /** Where it begins in the text. */
  readonly start: number
}

interface Scanned {
  readonly words: readonly Word[]
  /** What the text lacks to be a line: then another line goes on with it. */
  readonly unfinished: 'quote' | 'JSON' | 'backslash' | undefined
  /** The text ends within its last word. */
  readonly isInWord: boolean
}

export function scanWords(text: string): Scanned {
  return new Scanner(text).scan()
}

/** So that `scanWords` reads it as this one word. */
export function quoteWord(word: string): string {
  if (word !== '' && !/[\s'"\\#[{]/.test(word)) return word
  return `'${word.replaceAll("'", `'\\''`)}'`
}

class Scanner {
  readonly #text: string
  readonly #words: Word[] = []
  #at = 0
  #word: string | undefined
  #start = 0
  #unfinished: Scanned['unfinished']

  constructor(text: string) {
    this.#text = text
  }

  scan(): Scanned {
    while (this.#at < this.#text.length) this.#step(this.#text.charAt(this.#at))
    const isInWord = this.#word !== undefined
    this.#end()
    return { words: this.#words, unfinished: this.#unfinished, isInWord }
  }

  #step(char: string): void {
    if (/\s/.test(char)) {
      this.#end()
      this.#at++
    } else if (char === '#' && this.#word === undefined) this.#comment()
    else if ((char === '{' || char === '[') && this.#mayBeJson()) this.#json()
    else if (char === "'" || char === '"') this.#quoted(char)
    else if (char === '\\') this.#escaped()
    else {
      this.#add(char)
      this.#at++
    }
  }

  #add(text: string): void {
    if (this.#word === undefined) this.#start = this.#at
    this.#word = (this.#word ?? '') + text
  }

  #end(): void {
    if (this.#word !== undefined) this.#words.push({ value: this.#word, start: this.#start })
    this.#word = undefined
  }

  #comment(): void {
    const end = this.#text.indexOf('\n', this.#at)
    this.#at = end < 0 ? this.#text.length : end
  }

  #mayBeJson(): boolean {
    return this.#word === undefined || this.#word.endsWith('=')
  }

  /** To the bracket that closes the first one; what is no JSON is for the command to refuse. */
  #json(): void {
    const from = this.#at
    let depth = 0
    let inString = false
    for (let i = from; i < this.#text.length; i++) {
      const char = this.#text.charAt(i)
      if (inString) {
        if (char === '\\') i++
        else if (char === '"') inString = false
      } else if (char === '"') inString = true
      else if (char === '{' || char === '[') depth++
      else if ((char === '}' || char === ']') && --depth === 0) {
        this.#add(this.#text.slice(from, i + 1))
        this.#at = i + 1
        return
      }
    }
    this.#add(this.#text.slice(from))
    this.#at = this.#text.length
    this.#unfinished = 'JSON'
  }

  #quoted(quote: string): void {
    this.#add('')
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const char = this.#text.charAt(this.#at)
      const next = this.#text.charAt(this.#at + 1)
      if (char === quote) {
        this.#at++
        return
      }
      const isEscape = quote === '"' && char === '\\' && (next === '"' || next === '\\')
      if (isEscape) this.#at++
      this.#word += isEscape ? next : char
    }
    this.#unfinished = 'quote'
  }

  #escaped(): void {
    const next = this.#text.charAt(this.#at + 1)
    if (next === '') this.#unfinished = 'backslash'
    // Before the end of a line it joins the next one.
    else if (next !== '\n') this.#add(next)
    this.#at += 2
  }
}
