/** Indexes as they are typed: `name=field` or `name=field,field`. */
import type { IndexSpec } from '../server/operations.ts'
import { UsageError } from './exit-codes.ts'

/** Throws UsageError. */
export function parseIndexes(
  option: string,
  specs: readonly string[],
): Record<string, readonly string[]> {
  const indexes: Record<string, readonly string[]> = {}
  for (const spec of specs) {
    const [name = '', fields = '', ...rest] = spec.split('=')
    const names = fields.split(',')
    if (name === '' || names.includes('') || rest.length > 0) {
      throw new UsageError(`${option} takes name=field, or name=field,field, not ${spec}`)
    }
    if (Object.hasOwn(indexes, name)) throw new UsageError(`index ${name} is given twice`)
    indexes[name] = names
  }
  return indexes
}

/** Plain and unique ones together. */
export function indexSpecs(
  plain: Record<string, readonly string[]>,
  unique: Record<string, readonly string[]>,
): Record<string, IndexSpec> {
  const twice = Object.keys(unique).find((name) => Object.hasOwn(plain, name))
  if (twice !== undefined) throw new UsageError(`index ${twice} is given twice`)
  const uniques = Object.entries(unique).map(([name, fields]) => [name, { unique: fields }])
  return { ...plain, ...(Object.fromEntries(uniques) as Record<string, IndexSpec>) }
}
