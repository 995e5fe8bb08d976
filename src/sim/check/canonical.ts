/** Values as text: equal values give equal text, whatever the order of their fields. */
export function canonical(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'bigint':
      return `${value}n`
    case 'number':
      return Object.is(value, -0) ? '0' : String(value)
    case 'object':
      return value === null ? 'null' : canonicalObject(value)
    default:
      return String(value)
  }
}

/** Equality by content. */
export function same(a: unknown, b: unknown): boolean {
  return Object.is(a, b) || canonical(a) === canonical(b)
}

function canonicalObject(value: object): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value instanceof Date) return `Date(${value.getTime()})`
  if (value instanceof Uint8Array) return `Bytes(${value.join(' ')})`
  if (value instanceof Map) {
    const entries = [...value].map(([key, each]) => `${canonical(key)}=>${canonical(each)}`)
    return `Map{${entries.toSorted().join(',')}}`
  }
  if (value instanceof Set) return `Set{${[...value].map(canonical).toSorted().join(',')}}`
  const fields = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`)
  return `{${fields.toSorted().join(',')}}`
}
