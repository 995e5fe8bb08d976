// Group commit for stores that have none of their own: what callers ask for while a commit is under
// way, or in one turn of the event loop, goes in one transaction.

/** @template W */
export class GroupCommit {
  /** @type {{ work: W, resolve: () => void, reject: (cause: unknown) => void }[]} */
  #waiting = []
  #busy = false
  /** @type {(works: readonly W[]) => void | Promise<void>} */
  #commit

  /** @param {(works: readonly W[]) => void | Promise<void>} commit */
  constructor(commit) {
    this.#commit = commit
  }

  /** @param {W} work @returns {Promise<void>} */
  add(work) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject })
      if (this.#busy) return
      this.#busy = true
      setImmediate(() => void this.#run())
    })
  }

  async #run() {
    const group = this.#waiting
    this.#waiting = []
    try {
      const done = this.#commit(group.map(({ work }) => work))
      if (done !== undefined) await done
      for (const { resolve } of group) resolve()
    } catch (cause) {
      for (const { reject } of group) reject(cause)
    }
    if (this.#waiting.length === 0) {
      this.#busy = false
      return
    }
    setImmediate(() => void this.#run())
  }
}
