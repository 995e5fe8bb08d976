/**
 * Checkers by name: what is to be judged, and by which checker, as plain data, so that a run can be
 * kept in a file and judged again.
 */
import { checkBank, type Balances } from './bank.ts'
import { checkConvergence } from './convergence.ts'
import { checkEffects, type EffectInput, type EffectOptions } from './effects.ts'
import { checkFeed, type FeedChange, type FeedEvent } from './feeds.ts'
import type { Operation } from './history.ts'
import { checkLinearizable } from './linearizability.ts'
import { casRegister, counter, register, type CounterInput } from './models.ts'
import { checkSerializable } from './serializability.ts'
import { checkSessions, type SessionOperation } from './sessions.ts'
import { checkStaleness, type StalenessOperation } from './staleness.ts'
import type { Transaction } from './transactions.ts'
import { checkUnique, type UniqueView } from './unique.ts'
import type { Verdict } from './verdict.ts'
import type { CasInput, RegisterInput } from './zones.ts'

type History<Input, Output = unknown> = readonly Operation<Input, Output>[]

export type Case =
  | { readonly by: 'registers'; readonly operations: History<RegisterInput> }
  | { readonly by: 'cas-registers'; readonly operations: History<CasInput> }
  | { readonly by: 'counters'; readonly operations: History<CounterInput, number | undefined> }
  | { readonly by: 'serializable'; readonly operations: readonly Transaction[] }
  | {
      readonly by: 'bank'
      readonly operations: History<unknown, Balances | undefined>
      readonly accounts: readonly string[]
      readonly total: number
    }
  | {
      readonly by: 'effects'
      readonly operations: History<EffectInput>
      /** The ids that took effect, in their order. */
      readonly effects: readonly string[]
      readonly order: NonNullable<EffectOptions['order']>
    }
  | { readonly by: 'sessions'; readonly operations: readonly SessionOperation[] }
  | { readonly by: 'staleness'; readonly operations: readonly StalenessOperation[] }
  | { readonly by: 'unique'; readonly operations: History<unknown, UniqueView | undefined> }
  | {
      readonly by: 'feed'
      readonly truth: readonly FeedChange[]
      readonly events: readonly FeedEvent[]
    }
  | {
      readonly by: 'convergence'
      readonly copies: readonly {
        readonly name: string
        readonly rows: readonly (readonly [key: string, row: unknown])[]
      }[]
    }

export function judge(part: Case): Verdict {
  switch (part.by) {
    case 'registers':
      return checkLinearizable(part.operations, register)
    case 'cas-registers':
      return checkLinearizable(part.operations, casRegister)
    case 'counters':
      return checkLinearizable(part.operations, counter)
    case 'serializable':
      return checkSerializable(part.operations)
    case 'bank':
      return checkBank(part.operations, part)
    case 'effects':
      return checkEffects(part.operations, part.effects, part)
    case 'sessions':
      return checkSessions(part.operations, { scope: 'key' })
    case 'staleness':
      return checkStaleness(part.operations)
    case 'unique':
      return checkUnique(part.operations)
    case 'feed':
      return checkFeed(part.truth, part.events)
    case 'convergence':
      return checkConvergence(part.copies)
  }
}
