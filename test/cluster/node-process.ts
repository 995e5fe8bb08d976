/** A node of a cluster in a process of its own, and what can be asked of it. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** What a load of transactions was told: each id is of one transaction. */
export interface Told {
  readonly acked: readonly string[]
  /** They may have been applied. */
  readonly unknown: readonly string[]
  /** They were not. */
  readonly refused: readonly string[]
}

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: { readonly code?: string; readonly applied?: string; readonly message: string }
}

export class NodeProcess {
  readonly dir: string
  readonly #options: string
  #child: ChildProcess | undefined
  #asked = 0
  readonly #waiting = new Map<number, (answer: Answer) => void>()

  constructor(dir: string, options: object) {
    this.dir = dir
    this.#options = JSON.stringify(options)
  }

  /** Starts the process, and opens the database in it. */
  async start(): Promise<Record<string, unknown>> {
    this.#child = fork(join(import.meta.dirname, 'node-worker.mjs'), [this.dir, this.#options], {
      serialization: 'advanced',
    })
    this.#child.on('message', (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
    this.#child.once('exit', () => {
      const gone = { message: 'the process ended' }
      for (const [id, settle] of this.#waiting) settle({ id, error: gone })
      this.#waiting.clear()
    })
    return this.ask<Record<string, unknown>>('open')
  }

  ask<T>(call: string, asked: object = {}): Promise<T> {
    const id = ++this.#asked
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, ({ error, value }) => {
        if (error === undefined) resolve(value as T)
        else reject(Object.assign(new Error(error.message), error))
      })
      this.#child?.send({ id, call, asked }, (fault) => {
        if (fault !== null) this.#waiting.get(id)?.({ id, error: { message: fault.message } })
      })
    })
  }

  /** Resolves at its end. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}
