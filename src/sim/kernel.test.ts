import { describe, expect, it } from 'vitest'
import { EndlessStep, Kernel, type Owner } from './kernel.ts'

/** Some owners that wait, draw, note, spawn and await at random. */
export async function scenario(seed: number, kernel = new Kernel(seed)): Promise<Kernel> {
  let left = 300
  await kernel.run(
    () =>
      new Promise<void>((resolve) => {
        const act = async (owner: Owner, name: string): Promise<void> => {
          const draw = kernel.random(name)
          for (let i = 0; i < draw.int(0, 3); i++) await Promise.resolve()
          if (draw.chance(0.3)) kernel.note(`${name} ${draw.float()}`)
          if (--left <= 0) return resolve()
          for (let i = 0; i < draw.int(1, 2); i++) {
            kernel.after(draw.pick([0, 1, 1, draw.float()]), 'act', owner, () => {
              void act(owner, `${name.slice(-20)}.${i}`)
            })
          }
        }
        for (const name of ['a', 'b', 'c']) void act(kernel.owner(name), name)
        return undefined
      }),
  )
  return kernel
}

describe('kernel: the trace', () => {
  it('is the same for the same seed, in one process', async () => {
    const hashes = new Set<string>()
    for (let seed = 0; seed < 50; seed++) {
      const first = await scenario(seed)
      const second = await scenario(seed)
      expect([second.hash, second.events, second.nowMs]).toEqual([
        first.hash,
        first.events,
        first.nowMs,
      ])
      hashes.add(first.hash)
    }
    expect(hashes.size).toBe(50)
  })

  it('is the same while two simulations take turns in one process', async () => {
    const alone = await scenario(7)
    const [first, second] = await Promise.all([scenario(7), scenario(7)])
    expect([first.hash, second.hash]).toEqual([alone.hash, alone.hash])
  })

  it('tells apart a note, a draw, a label, an owner and a time', async () => {
    const variants = [
      { note: 'x' },
      { note: 'y' },
      { label: 'other' },
      { owner: 'other' },
      { delayMs: 2 },
      { draws: 1 },
      { draws: 2 },
    ]
    const hashes = new Set<string>()
    for (const { note, label, owner, delayMs, draws } of variants) {
      const kernel = new Kernel(1)
      await kernel.run(
        new Promise<void>((resolve) => {
          kernel.after(delayMs ?? 1, label ?? 'label', kernel.owner(owner ?? 'owner'), () => {
            if (note !== undefined) kernel.note(note)
            for (let i = 0; i < (draws ?? 0); i++) kernel.random('x').float()
            kernel.after(1, 'end', kernel.world, resolve)
          })
        }),
      )
      hashes.add(kernel.hash)
    }
    expect(hashes.size).toBe(variants.length)
  })
})

describe('kernel: a step', () => {
  it('ends with all its microtasks and ticks, however long their chain', async () => {
    const kernel = new Kernel(1)
    const seen: string[] = []
    const chain = async (name: string): Promise<void> => {
      for (let i = 0; i < 5_000; i++) {
        if (i % 500 === 0) await new Promise((resolve) => process.nextTick(resolve))
        await Promise.resolve()
        if (i % 700 === 0) await new Promise<void>((resolve) => queueMicrotask(resolve))
      }
      seen.push(`${name} ends`)
    }
    await kernel.run(
      new Promise<void>((resolve) => {
        for (const name of ['a', 'b', 'c']) {
          kernel.after(1, name, kernel.owner(name), () => {
            seen.push(name)
            void chain(name)
          })
        }
        kernel.after(2, 'end', kernel.world, resolve)
      }),
    )
    const starts = seen.filter((word) => word.length === 1)
    expect(starts.toSorted()).toEqual(['a', 'b', 'c'])
    expect(seen).toEqual(starts.flatMap((name) => [name, `${name} ends`]))
  })

  it('belongs to its owner behind awaits, and to nobody outside', async () => {
    const kernel = new Kernel(1)
    const other = new Kernel(2)
    const seen: unknown[] = []
    const [a, b] = [kernel.owner('a'), kernel.owner('b')]
    let release = (): void => undefined
    const gate = new Promise<void>((resolve) => (release = resolve))
    await kernel.run(
      new Promise<void>((resolve) => {
        const work = async (): Promise<void> => {
          seen.push(kernel.current?.name)
          // Resolved in a step of b.
          await gate
          seen.push(kernel.current?.name, other.current)
          kernel.after(1, 'end', kernel.world, resolve)
        }
        kernel.after(1, 'work', a, () => void work())
        kernel.after(2, 'release', b, () => release())
      }),
    )
    expect(seen).toEqual(['a', 'a', undefined])
    expect(kernel.current).toBeUndefined()
  })

  it('lets the rest of the process have its turn', async () => {
    const kernel = new Kernel(1)
    let turns = 0
    const real = setInterval(() => turns++, 0)
    await kernel.run(
      new Promise<void>((resolve) => {
        const again = (): void => {
          if (turns < 3) kernel.after(1, 'again', kernel.world, again)
          else resolve()
        }
        again()
      }),
    )
    clearInterval(real)
    expect(turns).toBeGreaterThanOrEqual(3)
  })
})

describe('kernel: owners', () => {
  it('drops the events of a dead one, those held while it was paused too', async () => {
    const kernel = new Kernel(1)
    const [dead, paused] = [kernel.owner('dead'), kernel.owner('paused')]
    let calls = 0
    kernel.after(1, 'call', dead, () => calls++)
    kernel.after(1, 'call', paused, () => calls++)
    kernel.kill(dead)
    kernel.pause(paused)
    kernel.after(2, 'kill', kernel.world, () => {
      kernel.kill(paused)
      kernel.resume(paused)
    })
    await kernel.run(ending(kernel, 5))
    expect(calls).toBe(0)
  })

  it('says what holds it up when nothing is left to do', async () => {
    const kernel = new Kernel(42)
    const paused = kernel.owner('node-1#1')
    kernel.pause(paused)
    kernel.after(1, 'call', paused, () => undefined)
    await expect(kernel.run(new Promise<void>(() => undefined))).rejects.toThrow(
      'the simulation stands still: nothing is left to do but for the paused node-1#1 at 1 ms, after 0 events (seed 42)',
    )
  })
})

describe('kernel: a run', () => {
  it('ends with what an event throws', async () => {
    const kernel = new Kernel(1)
    kernel.after(1, 'throw', kernel.world, () => {
      throw new RangeError('out')
    })
    await expect(kernel.run(ending(kernel, 5))).rejects.toThrow(RangeError)
  })

  it('ends with the first failure it was told of, though what it waits for succeeds', async () => {
    const kernel = new Kernel(1)
    kernel.after(1, 'fail', kernel.world, () => {
      kernel.fail(new Error('first'))
      kernel.fail(new Error('second'))
    })
    await expect(kernel.run(ending(kernel, 1))).rejects.toThrow('first')
  })

  it('names the event whose step never ends, in a loop or in microtasks, caught or not', async () => {
    const spins: ((kernel: Kernel) => void)[] = [
      (kernel) => {
        for (;;) kernel.note('again')
      },
      (kernel) => {
        const draw = kernel.random('x')
        for (;;) draw.float()
      },
      (kernel) => {
        const spin = async (): Promise<void> => {
          try {
            for (;;) await Promise.resolve(kernel.nowMs)
          } catch {
            // Swallowed: the run must fail all the same.
          }
        }
        void spin()
      },
    ]
    for (const spin of spins) {
      const kernel = new Kernel(9, { callsPerStepMax: 5_000 })
      kernel.after(3, 'spin', kernel.owner('node-2#1'), () => spin(kernel))
      const run = kernel.run(ending(kernel, 5))
      await expect(run).rejects.toThrow(EndlessStep)
      await expect(run).rejects.toThrow(
        'the event "spin" of node-2#1 at 3 ms does not end: 5000 calls of the simulator in one step (seed 9)',
      )
    }
  })
})

/** Settles by an event after `ms`. */
function ending(kernel: Kernel, ms: number): Promise<void> {
  return new Promise((resolve) => {
    kernel.after(ms, 'end', kernel.world, resolve)
  })
}
