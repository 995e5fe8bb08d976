// What a terminal shows after some output: the escape codes that readline, prompts and progress
// bars use are followed, colors and the rest are dropped.

/** A control sequence, an operating system command, or another escape of two characters. */
// oxlint-disable-next-line no-control-regex
const ESCAPE = /^\u001b(?:\[([0-9;?]*)([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[()].|[^[\]()])/
/** The beginning of an escape whose rest has not arrived. */
// oxlint-disable-next-line no-control-regex
const BROKEN_OFF = /^\u001b(?:\[[0-9;?]*|\][^\u0007]*|[()])?$/

export class PtyScreen {
  readonly #columns: number
  readonly #lines: string[][] = [[]]
  #row = 0
  #column = 0
  #rest = ''

  constructor(columns: number) {
    this.#columns = columns
  }

  /** The cursor's line, counted from the first one ever written. */
  get row(): number {
    return this.#row
  }

  write(text: string): void {
    let rest = this.#rest + text
    this.#rest = ''
    while (rest !== '') {
      const escape = rest.startsWith('\u001b') ? ESCAPE.exec(rest) : null
      if (escape !== null) {
        this.#control(escape[1] ?? '', escape[2] ?? '')
        rest = rest.slice(escape[0].length)
      } else if (BROKEN_OFF.test(rest)) {
        this.#rest = rest
        return
      } else {
        const [char = ''] = rest
        this.#put(char)
        rest = rest.slice(char.length)
      }
    }
  }

  /** All lines from `row` on, what has scrolled away included, without spaces at their ends. */
  text(row = 0): string {
    const lines = this.#lines.slice(row).map((line) => line.join('').trimEnd())
    return lines.join('\n').trimEnd()
  }

  #put(char: string): void {
    switch (char) {
      case '\r':
        this.#column = 0
        return
      case '\n':
        this.#moveTo(this.#row + 1, this.#column)
        return
      case '\b':
        this.#column = Math.max(0, this.#column - 1)
        return
      case '\u0007':
      case '\u001b':
        return
      default:
        if (this.#column >= this.#columns) this.#moveTo(this.#row + 1, 0)
        this.#fill()[this.#column++] = char
    }
  }

  #control(parameters: string, final: string): void {
    const [first = 0, second = 0] = parameters.split(';').map(Number)
    const count = Math.max(1, first)
    switch (final) {
      case 'A':
        return this.#moveTo(this.#row - count, this.#column)
      case 'B':
        return this.#moveTo(this.#row + count, this.#column)
      case 'C':
        return this.#moveTo(this.#row, Math.min(this.#columns - 1, this.#column + count))
      case 'D':
        return this.#moveTo(this.#row, this.#column - count)
      case 'E':
        return this.#moveTo(this.#row + count, 0)
      case 'F':
        return this.#moveTo(this.#row - count, 0)
      case 'G':
        return this.#moveTo(this.#row, count - 1)
      case 'H':
        return this.#moveTo(count - 1, Math.max(1, second) - 1)
      case 'J':
        return this.#eraseBelow(first)
      case 'K':
        return this.#eraseLine(first)
      default:
    }
  }

  #moveTo(row: number, column: number): void {
    this.#row = Math.max(0, row)
    this.#column = Math.max(0, column)
    while (this.#lines.length <= this.#row) this.#lines.push([])
  }

  #eraseBelow(mode: number): void {
    if (mode !== 0) return
    this.#lines.length = this.#row + 1
    this.#eraseLine(0)
  }

  #eraseLine(mode: number): void {
    const line = this.#fill()
    if (mode === 0) line.length = this.#column
    else line.fill(' ', 0, mode === 1 ? this.#column + 1 : line.length)
  }

  /** The cursor's line, as long as to the cursor. */
  #fill(): string[] {
    const line = (this.#lines[this.#row] ??= [])
    while (line.length < this.#column) line.push(' ')
    return line
  }
}
