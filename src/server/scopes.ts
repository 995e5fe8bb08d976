/** What a token may do: see rows, change rows, or change tables, tokens and the server. */
export type Scope = 'read' | 'write' | 'operate'

/** Each of them may do what those before it may. */
export const SCOPES: readonly Scope[] = ['read', 'write', 'operate']

/** Whether one of `scopes` is `needed`, or implies it. */
export function allows(scopes: readonly Scope[], needed: Scope): boolean {
  const rank = SCOPES.indexOf(needed)
  return scopes.some((scope) => SCOPES.indexOf(scope) >= rank)
}
