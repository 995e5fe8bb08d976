/** What a starter is made from: its own source files, besides those that every project has. */
export interface Template {
  /** As a question offers it. */
  readonly label: string
  /** The module with what the program does: its file's name, without `.ts`. */
  readonly module: string
  readonly tables: string
  readonly code: string
  readonly test: string
  /** What `main.ts` imports from the module. */
  readonly imports: readonly string[]
  /** What `main.ts` does between opening and closing. */
  readonly main: string
  /** A table, and a key of it once the program has run, to look at from a shell. */
  readonly example: { readonly table: string; readonly key: string | readonly [string, number] }
}
