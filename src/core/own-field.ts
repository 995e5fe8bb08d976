/** A field of a row: its own, and never what every object inherits, such as `constructor`. */
export function ownField<T>(row: { readonly [field: string]: T }, field: string): T | undefined {
  return Object.hasOwn(row, field) ? row[field] : undefined
}
