/** What a transaction's call gives: a promise that knows whether anybody looks at it. */
export class CallPromise<T> extends Promise<T> {
  /** What is made of it by `then` is an ordinary promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  taken = false
  refusal: { readonly cause: unknown } | undefined

  /** `then`, without taking it: a refusal that nobody takes is told by the transaction. */
  whenSettled(done: () => void, refused: (cause: unknown) => void): void {
    void super.then(done, refused)
  }

  // oxlint-disable-next-line unicorn/no-thenable -- whoever awaits it takes it, and comes this way
  override then<A = T, B = never>(
    onValue?: ((value: T) => A | PromiseLike<A>) | null,
    onCause?: ((cause: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.taken = true
    return super.then(onValue, onCause)
  }
}
