/** The ids of rows, in one order whatever order the rows came in. */
export function idsOf(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const ids = rows.map((row) => row['id'] as string)
  return ids.toSorted((a, b) => (a < b ? -1 : 1)).join(', ')
}
