/**
 * Latches: transactions of this node that lost once take turns on the rows they touched, so that
 * each attempt of theirs finds what the one before left, instead of losing again (S5). They save
 * effort only: safety is the resolver's, and whoever has not lost yet asks for none.
 */
export class Latches {
  readonly #tails = new Map<string, Promise<void>>()

  /** Resolves with the release once all of `names` are held. Taken in order: nobody waits in a ring. */
  async take(names: readonly string[]): Promise<() => void> {
    const releases: (() => void)[] = []
    for (const name of [...new Set(names)].sort()) releases.push(await this.#takeOne(name))
    return () => {
      for (const release of releases) release()
    }
  }

  async #takeOne(name: string): Promise<() => void> {
    const before = this.#tails.get(name)
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const tail = before === undefined ? held : before.then(() => held)
    this.#tails.set(name, tail)
    await before
    return () => {
      if (this.#tails.get(name) === tail) this.#tails.delete(name)
      release()
    }
  }
}
