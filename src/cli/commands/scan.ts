/** `holdfast scan`: a whole table in the order of its key, row by row as it comes. */
import { systemEnv } from '../../open.ts'
import type { AnyRow } from '../../server/any-rows.ts'
import { EXIT } from '../exit-codes.ts'
import { withSession } from '../open-session.ts'
import { count, took } from '../progress.ts'
import type { Shell } from '../shell.ts'
import { columnsOf, headerLine, rowLine, type Column } from '../text-table.ts'
import { parseCondition, prefixReadings } from '../typed-text.ts'
import { printJson } from './query.ts'

export interface ScanOptions {
  readonly prefix?: string | undefined
  readonly reverse?: boolean | undefined
  readonly limit?: number | undefined
  readonly where?: readonly string[] | undefined
  readonly fields?: readonly string[] | undefined
}

export async function scanCommand(
  shell: Shell,
  table: string,
  options: ScanOptions,
): Promise<number> {
  const { prefix, reverse, limit, fields } = options
  const where = (options.where ?? []).map(parseCondition)
  const startMs = systemEnv.clock.monotonicMs()
  const printer = new Printer(shell, fields)
  await withSession(shell, async (session) => {
    const prefixes = prefix === undefined ? [undefined] : prefixReadings(prefix)
    for (const each of prefixes) {
      const query = { prefix: each, reverse }
      for await (const rows of session.stream('rows', { table, query, where, limit })) {
        await printer.print(rows)
      }
      if (printer.rows > 0) break
    }
  })
  if (!shell.json) {
    const ms = systemEnv.clock.monotonicMs() - startMs
    shell.say(`${count(printer.rows)} ${printer.rows === 1 ? 'row' : 'rows'} in ${took(ms)}`)
  }
  return EXIT.ok
}

/** Prints rows without waiting for the last: the first ones decide on the columns. */
class Printer {
  readonly #shell: Shell
  readonly #fields: readonly string[] | undefined
  #columns: readonly Column[] | undefined
  rows = 0

  constructor(shell: Shell, fields: readonly string[] | undefined) {
    this.#shell = shell
    this.#fields = fields
  }

  async print(rows: readonly AnyRow[]): Promise<void> {
    const shell = this.#shell
    this.rows += rows.length
    if (shell.json) {
      await printJson(shell, rows, this.#fields)
      return
    }
    if (this.#columns === undefined) {
      this.#columns = columnsOf(rows, this.#fields)
      await shell.out(shell.paint.bold(headerLine(this.#columns, shell.columns)))
    }
    for (const row of rows) await shell.out(rowLine(row, this.#columns, shell.columns))
  }
}
