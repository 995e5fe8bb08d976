/** Reads lines, runs each as a command, and goes on until there are no more. */
import { basename } from 'node:path'
import { createInterface } from 'node:readline'
import { CommanderError } from 'commander'
import { systemEnv } from '../../open.ts'
import { commandModel } from '../completion/command-model.ts'
import type { Candidate } from '../completion/complete.ts'
import { sessionNames } from '../completion/names.ts'
import { EXIT, exitCodeOf, Interrupted, UsageError } from '../exit-codes.ts'
import type { BuildProgram, GlobalOptions, Run } from '../program/parts.ts'
import { took } from '../progress.ts'
import { shellFrom } from '../shell-from.ts'
import type { Shell } from '../shell.ts'
import { stayAlive } from '../stay-alive.ts'
import { completeLine, type LineCompletion } from './completer.ts'
import { Connection } from './connection.ts'
import { History, HISTORY_LINES, historyPath } from './history.ts'
import { scanWords } from './words.ts'

const DOTS: readonly Candidate[] = [
  { word: '.help', description: 'what can be typed here' },
  { word: '.exit', description: 'leaves, as Ctrl-D does' },
  { word: '.context', description: 'NAME: goes on with another folder or URL' },
  { word: '.timing', description: 'on or off: says how long each command took' },
]
const HELP = `Each line is a command, as behind \`holdfast\`: get TABLE KEY, query TABLE, ...
\`help\` shows all, \`help COMMAND\` one. JSON needs no quotes: put notes {"id": 1}
A line whose JSON or quotes are open goes on in the next one. Ctrl-C cancels, Tab completes.
`
/** Completion that takes longer is no help. */
const COMPLETION_MS = 2_000
const GOES_ON = '... '

export class Repl {
  readonly #shell: Shell
  readonly #build: BuildProgram
  #options: GlobalOptions
  #connection: Connection
  #name: string
  #isTimed = false
  #isOver = false
  /** What the last line that failed ended with. */
  #failure: number = EXIT.ok

  /** `options` are those that every line starts from. Throws what reading the settings does. */
  constructor(shell: Shell, build: BuildProgram, options: GlobalOptions) {
    this.#shell = shell
    this.#build = build
    this.#options = options
    this.#connection = new Connection(shell.target)
    this.#name = nameOf(shell)
  }

  /** With prompt, history and completion, until Ctrl-D or `.exit`. */
  async converse(): Promise<number> {
    const history = this.#openHistory()
    const { dim } = this.#shell.paint
    this.#shell.say(dim('.help explains, Tab completes, Ctrl-D leaves'))
    const main = process.listeners('SIGINT')
    process.removeAllListeners('SIGINT')
    try {
      while (!this.#isOver && !this.#shell.signal.aborted) {
        const text = await this.#ask(history?.latestFirst ?? [])
        if (text === undefined) break
        this.#keep(history, text)
        await this.#interruptible(text)
      }
      return EXIT.ok
    } finally {
      for (const listener of main) process.on('SIGINT', listener)
      await this.#connection.close()
    }
  }

  /** The lines of a file or a pipe; resolves with what the last one that failed ended with. */
  async readAll(input: NodeJS.ReadableStream): Promise<number> {
    const { signal } = this.#shell
    const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY, signal })
    let text = ''
    try {
      for await (const line of lines) {
        text += line
        if (scanWords(text).unfinished !== undefined) text += '\n'
        else {
          await this.#perform(text, signal)
          text = ''
        }
        signal.throwIfAborted()
        if (this.#isOver) break
      }
      signal.throwIfAborted()
      const { unfinished } = scanWords(text)
      if (unfinished !== undefined) this.#fail(new UsageError(`the last ${unfinished} is open`))
      return this.#failure
    } finally {
      lines.close()
      await this.#connection.close()
    }
  }

  #openHistory(): History | undefined {
    try {
      return new History(historyPath(process.env))
    } catch (error) {
      this.#shell.say(`no history: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }

  #keep(history: History | undefined, text: string): void {
    try {
      history?.add(text)
    } catch (error) {
      this.#shell.say(`not kept: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  /**
   * One whole statement; undefined at Ctrl-D. The line editor lives that long alone, so that a
   * command has the terminal to itself: it may ask, and Ctrl-C is a signal to it.
   */
  #ask(history: string[]): Promise<string | undefined> {
    const { paint, stderr, signal } = this.#shell
    const prompt = `${paint.cyan(this.#name)}> `
    let text = ''
    const editor = createInterface({
      input: process.stdin,
      output: stderr,
      prompt,
      history,
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, result: LineCompletion) => void) => {
        void this.#complete(text + line).then((result) => done(null, result))
      },
    })
    return new Promise((resolve) => {
      const leave = (result: string | undefined): void => {
        signal.removeEventListener('abort', abort)
        editor.off('close', abort)
        editor.close()
        resolve(result)
      }
      /** Ends the line that the cursor is in. */
      const away = (result: string | undefined): void => {
        stderr.write('\n')
        leave(result)
      }
      // Ctrl-D closes the editor by itself.
      const abort = (): void => away(undefined)
      signal.addEventListener('abort', abort)
      editor.on('close', abort)
      editor.on('SIGINT', () => away(''))
      editor.on('line', (line) => {
        text += line
        if (scanWords(text).unfinished === undefined) return leave(text)
        text += '\n'
        editor.setPrompt(GOES_ON)
        editor.prompt()
      })
      editor.prompt()
    })
  }

  async #complete(text: string): Promise<LineCompletion> {
    const late = new AbortController()
    const cancel = systemEnv.timers.after(COMPLETION_MS, () => late.abort())
    const session = this.#connection.session(late.signal)
    try {
      const model = commandModel(this.#build(() => Promise.resolve(), []))
      return await completeLine(text, model, DOTS, sessionNames(session))
    } finally {
      cancel()
      await session.close()
    }
  }

  /** The first Ctrl-C ends the command in order, the second the REPL at once. */
  async #interruptible(text: string): Promise<void> {
    const stopping = new AbortController()
    const stop = (): void => {
      if (stopping.signal.aborted) process.exit(EXIT.interrupted)
      stopping.abort(new Interrupted())
    }
    process.on('SIGINT', stop)
    try {
      await this.#perform(text, AbortSignal.any([stopping.signal, this.#shell.signal]))
    } finally {
      process.off('SIGINT', stop)
    }
  }

  async #perform(text: string, signal: AbortSignal): Promise<void> {
    const words = scanWords(text).words.map(({ value }) => value)
    const [first] = words
    if (first === undefined) return
    const startMs = systemEnv.clock.monotonicMs()
    const release = stayAlive()
    try {
      if (first.startsWith('.')) await this.#dot(first, words.slice(1))
      else await this.#command(words, signal)
    } catch (error) {
      this.#fail(error)
    } finally {
      release()
    }
    if (!this.#isTimed) return
    this.#shell.say(this.#shell.paint.dim(took(systemEnv.clock.monotonicMs() - startMs)))
  }

  async #command(words: readonly string[], signal: AbortSignal): Promise<void> {
    if (words[0] === 'repl') throw new UsageError('this is the REPL')
    const run: Run = async (work, given) => {
      const isElsewhere = [given.dir, given.url, given.context].some((each) => each !== undefined)
      const session = isElsewhere ? undefined : this.#connection.session(signal)
      const shell = shellFrom(merged(this.#options, given, isElsewhere), {
        mainFile: this.#shell.mainFile,
        signal,
        session,
      })
      try {
        const code = await work(shell)
        if (code !== EXIT.ok) this.#failure = code
      } catch (error) {
        const isStopped = signal.aborted && !(error instanceof Interrupted)
        this.#fail(isStopped ? new Interrupted() : error, shell)
      } finally {
        await session?.close()
      }
    }
    try {
      await this.#build(run, words).parseAsync([...words], { from: 'user' })
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error
      if (error.exitCode !== 0) this.#failure = EXIT.usage
    }
  }

  #fail(error: unknown, shell: Shell = this.#shell): void {
    shell.error(error)
    this.#failure = exitCodeOf(error)
  }

  async #dot(name: string, words: readonly string[]): Promise<void> {
    const [word, ...more] = words
    const takes = name === '.context' || name === '.timing' ? 1 : 0
    if (!DOTS.some((dot) => dot.word === name)) {
      throw new UsageError(`there is no ${name}; .help shows what there is`)
    }
    if (more.length > 0 || (word === undefined ? 0 : 1) !== takes) {
      throw new UsageError(takes === 0 ? `${name} takes nothing` : `${name} takes one word`)
    }
    if (name === '.exit') this.#isOver = true
    else if (name === '.help') this.#help()
    else if (name === '.context') await this.#change(word ?? '')
    else this.#time(word ?? '')
  }

  #help(): void {
    this.#shell.say(HELP)
    for (const { word, description = '' } of DOTS)
      this.#shell.say(`${word.padEnd(10)}${description}`)
  }

  #time(word: string): void {
    if (word !== 'on' && word !== 'off') throw new UsageError('.timing takes on or off')
    this.#isTimed = word === 'on'
  }

  /** Goes on with another context; the one so far is kept when that has a fault. */
  async #change(context: string): Promise<void> {
    const options = merged(this.#options, { context }, true)
    const { mainFile, signal } = this.#shell
    const shell = shellFrom(options, { mainFile, signal })
    const connection = new Connection(shell.target)
    await this.#connection.close()
    this.#connection = connection
    this.#options = options
    this.#name = context
  }
}

/** The options of a line over those of the REPL. */
function merged(base: GlobalOptions, given: GlobalOptions, isElsewhere: boolean): GlobalOptions {
  const place = isElsewhere ? given : { ...base, token: given.token ?? base.token }
  const { dir, url, context, token } = place
  return {
    ...{ dir, url, context, token },
    json: given.json === true || base.json === true,
    // Commander says true where nothing was said.
    color: given.color !== false && base.color !== false,
    input: given.input !== false && base.input !== false,
  }
}

function nameOf({ settings, target }: Shell): string {
  const context = settings.settings.find(({ name }) => name === 'context')
  if (context !== undefined) return context.value
  return target.kind === 'folder' ? basename(target.dir) : new URL(target.url).host
}
