/** The process in which `holdfast check` reads: it answers by messages, and may die of the file. */
import type { Value } from '../../core/wire.ts'
import { openStoreToRead } from '../../open.ts'
import { encodeError } from '../../server/protocol.ts'
import { checkStore, type CheckReport } from '../../shard/check.ts'
import { EXIT } from '../exit-codes.ts'

export type CheckAnswer =
  | { readonly kind: 'progress'; readonly done: number }
  | { readonly kind: 'report'; readonly report: CheckReport }
  | { readonly kind: 'error'; readonly error: Value }

const PROGRESS_EVERY = 20_000

export async function checkChildCommand(dir: string): Promise<number> {
  let answer: CheckAnswer
  try {
    answer = { kind: 'report', report: await check(dir) }
  } catch (error) {
    answer = { kind: 'error', error: encodeError(error) }
  }
  await tell(answer)
  process.disconnect?.()
  return EXIT.ok
}

async function check(dir: string): Promise<CheckReport> {
  const store = openStoreToRead(dir)
  let said = 0
  try {
    const snapshot = store.snapshot()
    try {
      return await checkStore(snapshot, {
        progress: (done) => {
          if (done - said < PROGRESS_EVERY) return
          said = done
          process.send?.({ kind: 'progress', done })
        },
      })
    } finally {
      snapshot.close()
    }
  } finally {
    await store.close()
  }
}

function tell(answer: CheckAnswer): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) {
      process.stdout.write(`${JSON.stringify(answer)}\n`)
      resolve()
    } else process.send(answer, () => resolve())
  })
}
