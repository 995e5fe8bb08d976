/** Three questions about the sample data, the answers with their times, and the commands that ask. */
import { systemEnv } from '../open.ts'
import type { AnyRow } from '../server/any-rows.ts'
import { count, took } from './progress.ts'
import type { Session } from './session.ts'
import type { Shell } from './shell.ts'
import { tableLines } from './text-table.ts'

interface Question {
  readonly text: string
  /** Arguments of the command that asks the same. */
  readonly command: string
  readonly answer: (session: Session) => Promise<readonly AnyRow[]>
}

const FROM = '2001-01-05'
const TO = '2001-01-06'

const QUESTIONS: readonly Question[] = [
  {
    text: 'Which airport is SFO? (a lookup by key)',
    command: 'get airports SFO',
    answer: async (session) => {
      const { row } = await session.call('get', { table: 'airports', keys: ['SFO'] })
      return row === undefined ? [] : [row]
    },
  },
  {
    text: `Which flights of ${FROM} were first? (a range of the index byDate)`,
    command: `query flights --index byDate --gte ${FROM} --lt ${TO} --limit 3`,
    answer: async (session) => {
      const query = { index: 'byDate', gte: new Date(FROM), lt: new Date(TO) }
      const rows: AnyRow[] = []
      const request = { table: 'flights', query, where: [], limit: 3 }
      for await (const chunk of session.stream('rows', request)) rows.push(...chunk)
      return rows
    },
  },
  {
    text: 'From which airports do flights leave latest? (all flights, joined with airports)',
    command: 'query flights --group origin --avg delay --min-rows 200 --join airports --limit 5',
    answer: async (session) => {
      const groups = await session.call('aggregate', {
        table: 'flights',
        query: {},
        where: [],
        group: 'origin',
        average: 'delay',
        minRows: 200,
        limit: 5,
        join: 'airports',
      })
      return groups.map(({ value, rows, average = 0, joined }) => ({
        origin: value,
        rows,
        avg_delay: Math.round(average * 100) / 100,
        name: joined?.['name'],
        city: joined?.['city'],
        state: joined?.['state'],
      }))
    },
  },
]

/** Answers on stdout, as data. Returns whether every question had an answer. */
export async function answerQuestions(
  shell: Shell,
  session: Session,
  program: string,
): Promise<boolean> {
  let all = true
  const answers: unknown[] = []
  for (const { text, command, answer } of QUESTIONS) {
    const startMs = systemEnv.clock.monotonicMs()
    const rows = await answer(session)
    const ms = systemEnv.clock.monotonicMs() - startMs
    all &&= rows.length > 0
    answers.push({ question: text, command, ms: Math.round(ms * 100) / 100, rows })
    if (shell.json) continue
    await shell.out(`\n${shell.paint.bold(text)}`)
    for (const line of tableLines(rows, { width: shell.columns })) await shell.out(`  ${line}`)
    await shell.out(
      shell.paint.dim(
        `  ${count(rows.length)} ${rows.length === 1 ? 'row' : 'rows'} in ${took(ms)};`,
      ) + ` ask again: ${shell.paint.cyan(`${program} ${command}`)}`,
    )
  }
  if (shell.json) for (const each of answers) await shell.outJson(each)
  return all
}
