/**
 * Text of others as a terminal may have it. Control characters move the cursor, change colors and
 * worse; those that turn the direction of writing make a line look like another one (CVE-2021-42574).
 */

// C0, DEL and C1; marks, embeddings, overrides and isolates; line and paragraph separators; halves of
// a character.
const UNPRINTABLE =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\p{Surrogate}/gu
const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** One line: what no terminal should be sent is escaped as JSON does. JSON stays the same JSON. */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, escaped)
}

/** As `printable`, of a text that may have lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

function escaped(char: string): string {
  return SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

const ASCII = /^[\u0020-\u007e]*$/
/** What terminals give two columns: East Asian wide and fullwidth, and emoji. */
const WIDE =
  /\p{Emoji_Presentation}|\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\u4dbf\u4e00-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]/u
const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** Columns of a terminal that a printable text takes. */
export function columnsIn(text: string): number {
  if (ASCII.test(text)) return text.length
  let columns = 0
  for (const { segment } of graphemes.segment(text)) columns += WIDE.test(segment) ? 2 : 1
  return columns
}

/** The text, or as much of it as fits, with an ellipsis. */
export function cutTo(text: string, width: number): string {
  if (text.length <= width / 2 || columnsIn(text) <= width) return text
  let columns = 0
  let kept = ''
  for (const { segment } of graphemes.segment(text)) {
    columns += WIDE.test(segment) ? 2 : 1
    if (columns > width - 1) break
    kept += segment
  }
  return `${kept}…`
}
