// The pseudo-terminal that interactive tests use, tried on programs that are simple to foresee.

import { describe, expect, it } from 'vitest'
import { KEYS, Pty, ptyMissing } from './pty.ts'
import { PtyScreen } from './pty-screen.ts'

const node = (script: string): string[] => [process.execPath, '-e', script]

describe.skipIf(ptyMissing() !== undefined)('a pseudo-terminal', () => {
  it('is a terminal of the given size, and hands on the exit status', async () => {
    const script = 'console.log(process.stdin.isTTY, process.stdout.columns, process.stdout.rows);'
    await using pty = new Pty(node(`${script} process.exitCode = 7`), { columns: 77, rows: 21 })
    expect(await pty.exit()).toBe(7)
    expect(pty.text).toBe('true 77 21')
  })

  it('sends Ctrl-C as an interrupt, and knows the process', async () => {
    const script = `process.on('SIGINT', () => process.exit(5)); setInterval(() => {}, 1000);
      console.log('pid ' + process.pid)`
    await using pty = new Pty(node(script))
    const [, pid] = /pid (\d+)/.exec(await pty.shows(/pid \d+/)) ?? []
    expect(pty.pid).toBe(Number(pid))
    pty.send(KEYS.ctrlC)
    expect(await pty.exit()).toBe(5)
  })

  it('edits a line with arrows and ends it with Ctrl-D', async () => {
    const script = `const rl = require('node:readline').createInterface({ input: process.stdin, output: process.stdout });
      rl.on('line', (line) => console.log('got <' + line + '>')); rl.setPrompt('? '); rl.prompt()`
    await using pty = new Pty(node(script))
    await pty.shows('?')
    pty.send(`ac${KEYS.left}b`)
    await pty.shows('? abc')
    pty.send(KEYS.enter)
    await pty.shows('got <abc>')
    pty.send(KEYS.ctrlD)
    expect(await pty.exit()).toBe(0)
  })

  it('fails with the screen when the command ends too early', async () => {
    await using pty = new Pty(node("console.log('that was all')"))
    await expect(pty.shows('never said')).rejects.toThrow(/ended with 0 .*\n.*that was all/)
  })

  it('kills what is left when the test is over', async () => {
    let pid = 0
    {
      await using pty = new Pty(node("console.log('up'); setInterval(() => {}, 1000)"))
      await pty.shows('up')
      pid = pty.pid
    }
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })
})

describe('the screen', () => {
  const shown = (text: string, columns = 20): string => {
    const screen = new PtyScreen(columns)
    // In the smallest pieces: escapes come in parts.
    for (const char of text) screen.write(char)
    return screen.text()
  }

  it('follows the cursor and erases', () => {
    expect(shown('one\r\ntwo\u001b[1A\u001b[1Gx')).toBe('xne\ntwo')
    expect(shown('abc\u001b[2D\u001b[0Kd')).toBe('ad')
    expect(shown('one\r\ntwo\r\nthree\u001b[2A\r\u001b[J1')).toBe('1')
    expect(shown('a\u001b[3Cb\bc')).toBe('a   c')
  })

  it('drops colors, titles and modes, and wraps at its width', () => {
    expect(shown('\u001b[1m\u001b[31mred\u001b[39m\u001b[?25l\u001b]0;title\u0007!')).toBe('red!')
    expect(shown('abcdef', 4)).toBe('abcd\nef')
  })
})
