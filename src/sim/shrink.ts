/**
 * Shrinking (D7): makes a failing plan small by delta debugging (Zeller and Hildebrandt, 2002): leaves
 * out faults, clients, operations and nodes, and keeps what still violates the same property. What is
 * left out moves nothing else: the pause between operations is kept, and each draws for itself.
 */
import type { Plan } from './plan.ts'

export interface ShrinkOptions {
  /** Whether a plan still violates the property. */
  readonly fails: (plan: Plan) => Promise<boolean>
  /** Runs at the most. Default 300. */
  readonly budget?: number | undefined
  readonly progress?: ((plan: Plan, runs: number) => void) | undefined
}

export interface Shrunk {
  readonly plan: Plan
  readonly runs: number
}

const BUDGET = 300

export async function shrink(plan: Plan, options: ShrinkOptions): Promise<Shrunk> {
  const shrinker = new Shrinker(plan, options)
  return shrinker.run()
}

class Shrinker {
  #best: Plan
  #runs = 0
  readonly #options: ShrinkOptions

  constructor(plan: Plan, options: ShrinkOptions) {
    this.#best = { ...plan, pauseMs: plan.pauseMs ?? plan.durationMs / plan.operations }
    this.#options = options
  }

  async run(): Promise<Shrunk> {
    for (;;) {
      const before = JSON.stringify(this.#best)
      await this.#listed(
        () => this.#best.faults,
        (faults) => ({ ...this.#best, faults }),
      )
      await this.#number('clients')
      await this.#number('operations')
      await this.#operations()
      await this.#number('nodes')
      if (JSON.stringify(this.#best) === before || this.#isSpent) break
    }
    return { plan: this.#best, runs: this.#runs }
  }

  get #isSpent(): boolean {
    return this.#runs >= (this.#options.budget ?? BUDGET)
  }

  async #try(plan: Plan): Promise<boolean> {
    if (this.#isSpent) return false
    this.#runs++
    if (!(await this.#options.fails(plan))) return false
    this.#best = plan
    this.#options.progress?.(plan, this.#runs)
    return true
  }

  /** Halves a number as long as the plan fails, then takes one off at a time. */
  async #number(field: 'clients' | 'operations' | 'nodes'): Promise<void> {
    for (let step = this.#best[field] >> 1; step > 0; step >>= 1) {
      while (this.#best[field] > step) {
        const smaller = { ...this.#best, [field]: this.#best[field] - step }
        if (!(await this.#try({ ...smaller, skip: smaller.skip.filter(isIn(smaller)) }))) break
      }
    }
  }

  /** Leaves operations out one chunk after another: their draws are their own, so others stay. */
  async #operations(): Promise<void> {
    const { clients, operations } = this.#best
    const all: string[] = []
    for (let client = 1; client <= clients; client++) {
      for (let number = 1; number <= operations; number++) all.push(`client-${client}/${number}`)
    }
    const done = (): string[] => all.filter((name) => !this.#best.skip.includes(name))
    await this.#listed(done, (kept) => ({
      ...this.#best,
      skip: all.filter((name) => !kept.includes(name)),
    }))
  }

  /** ddmin over a list: chunks, from halves down to single ones. */
  async #listed<T>(list: () => readonly T[], withList: (kept: T[]) => Plan): Promise<void> {
    for (
      let size = Math.ceil(list().length / 2);
      size > 0;
      size = size === 1 ? 0 : Math.ceil(size / 2)
    ) {
      for (let from = 0; from < list().length && !this.#isSpent;) {
        const now = list()
        const kept = [...now.slice(0, from), ...now.slice(from + size)]
        if (kept.length === now.length || !(await this.#try(withList(kept)))) from += size
      }
    }
  }
}

/** Whether an operation, as `client/number`, is one of the plan's. */
function isIn({ clients, operations }: Plan): (name: string) => boolean {
  return (name) => {
    const [client = '', number = ''] = name.slice('client-'.length).split('/')
    return Number(client) <= clients && Number(number) <= operations
  }
}
