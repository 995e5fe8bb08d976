/**
 * Where data files are mapped shared. A write through such a map is no system call, so a trace
 * cannot show it: a map that is writable, or is made so later, is refused.
 */
type Range = { readonly from: number; readonly to: number; readonly path: string }

export class UnseenWritesError extends Error {
  override readonly name = 'UnseenWritesError'
  constructor(path: string, how: string) {
    super(
      `${path} is mapped shared and writable (${how}): its writes are not system calls, so the ` +
        `trace cannot show them and no crash image would be right. Turn the writable map off ` +
        `(LMDB: useWritemap), or list the file as ignored if nothing in it has to survive.`,
    )
  }
}

export class SharedMaps {
  #ranges: Range[] = []

  map(address: number, length: number, path: string): void {
    this.#ranges.push({ from: address, to: address + length, path })
  }

  /** Called for every new map too: MAP_FIXED replaces what was there. */
  unmap(address: number, length: number): void {
    const to = address + length
    this.#ranges = this.#ranges.flatMap((range) => {
      if (range.to <= address || to <= range.from) return [range]
      const left = { ...range, to: address }
      const right = { ...range, from: to }
      return [left, right].filter((rest) => rest.from < rest.to)
    })
  }

  move(from: number, length: number, to: number, newLength: number): void {
    const path = this.#at(from, 1)?.path
    this.unmap(from, length)
    if (path !== undefined) this.map(to, newLength, path)
  }

  refuseWritable(address: number, length: number): void {
    const range = this.#at(address, length)
    if (range) throw new UnseenWritesError(range.path, 'mprotect')
  }

  #at(address: number, length: number): Range | undefined {
    return this.#ranges.find((range) => range.from < address + length && address < range.to)
  }
}
