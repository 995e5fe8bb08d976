/** A node of a cluster of processes that runs node-worker.mjs, and what can be asked of it. */
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import type { NodeProcess } from '../../src/verify/node-process.ts'
import type { ProcessCluster } from '../../src/verify/process-cluster.ts'

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

export class AskedNode {
  readonly process: NodeProcess
  #asked = 0
  readonly #waiting = new Map<number, (answer: Answer) => void>()

  private constructor(process: NodeProcess) {
    this.process = process
  }

  /** One more node of `cluster`, with its database open. `options`: further ones of ClusterOptions. */
  static async add(cluster: ProcessCluster, options: object): Promise<AskedNode> {
    const script = join(import.meta.dirname, 'node-worker.mjs')
    const node = new AskedNode(await cluster.addNode({ script, args: [JSON.stringify(options)] }))
    await node.start()
    return node
  }

  get dir(): string {
    return this.process.dir
  }

  get name(): string {
    return this.process.name
  }

  /** Starts the process unless it is there, and opens the database in it. */
  async start(): Promise<void> {
    await this.process.start()
    const child = this.#child()
    child.on('message', (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
    child.once('exit', () => {
      const gone = { message: 'the process ended' }
      for (const [id, settle] of this.#waiting) settle({ id, error: gone })
      this.#waiting.clear()
    })
    await this.ask('open')
  }

  ask<T>(call: string, asked: object = {}): Promise<T> {
    const id = ++this.#asked
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, ({ error, value }) => {
        if (error === undefined) resolve(value as T)
        else reject(Object.assign(new Error(error.message), error))
      })
      this.#child().send({ id, call, asked }, (fault) => {
        if (fault !== null) this.#waiting.get(id)?.({ id, error: { message: fault.message } })
      })
    })
  }

  /** SIGKILL. Resolves at its end. */
  async kill(): Promise<void> {
    await this.process.end()
  }

  #child(): ChildProcess {
    const { child } = this.process
    if (child === undefined) throw new Error(`${this.name} does not run`)
    return child
  }
}
