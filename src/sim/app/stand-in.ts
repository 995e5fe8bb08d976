/**
 * Stand-ins for what an app may import but not use: the same names, so that imports and feature
 * tests work, and a refusal from every function that is called.
 */

/** Throws: `name` is no part of the simulation. */
export type Refuse = (name: string) => never

/** Depth to which objects within objects (`fs.promises`) are followed. */
const DEPTH_MAX = 3

/** `real`'s names: those in `given` as given, constants as they are, functions refused. */
export function standIn(
  real: object,
  given: Readonly<Record<string, unknown>>,
  refuse: Refuse,
  depth = 0,
): Record<string, unknown> {
  const made: Record<string, unknown> = {}
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(real))) {
    if (name in given || name === 'constructor') continue
    // Looked up late: some of Node's properties load much, or warn, when they are read.
    const get = property.get?.bind(real)
    const read = get ?? (() => property.value as unknown)
    Object.defineProperty(made, name, {
      enumerable: property.enumerable ?? true,
      configurable: true,
      get: () => standInFor(read(), name, refuse, depth),
    })
  }
  for (const [name, value] of Object.entries(given)) made[name] = value
  return made
}

function standInFor(value: unknown, name: string, refuse: Refuse, depth: number): unknown {
  if (typeof value === 'function') return refused(value, name, refuse)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  if (depth >= DEPTH_MAX) return undefined
  return standIn(value, {}, (inner) => refuse(`${name}.${inner}`), depth + 1)
}

/** A function, or class, that may be named, extended and tested for, but not called. */
export function refused(real: object, name: string, refuse: Refuse): unknown {
  const call = function (): never {
    return refuse(name)
  }
  const prototype: unknown = Reflect.get(real, 'prototype')
  return Object.defineProperties(call, {
    name: { value: name },
    ...(typeof prototype === 'object' ? { prototype: { value: prototype } } : {}),
  })
}
