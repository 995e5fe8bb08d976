/** Sequential objects, which a linearizable history must look like. */
import { canonical, same } from './canonical.ts'
import type { Operation } from './history.ts'
import { registerConflict, type CasInput, type RegisterInput } from './zones.ts'

/** `known: false`: the operation was not answered, and any answer would do. */
export type Reply<Output> =
  | { readonly known: true; readonly output: Output }
  | { readonly known: false }

export interface Model<State, Input, Output> {
  readonly init: State
  /**
   * The state after `input`, or undefined when this state cannot give that reply. With an unknown
   * reply there is always a state, the same one if nothing else. States are never changed in place.
   */
  readonly step: (
    state: State,
    input: Input,
    reply: Reply<Output>,
  ) => { readonly state: State } | undefined
  /** Whether `input` never changes the state. */
  readonly reads: (input: Input) => boolean
  /** Whether the state after `input` is the same from every state. Saves time. Default: never. */
  readonly overwrites?: (input: Input) => boolean
  /**
   * A shorter way than trying every order: operations that cannot be put in order, none when all can,
   * or undefined when it does not know. `unknown` ones may be left out. Default: there is none.
   */
  readonly conflict?: (
    known: readonly Operation<Input, Output>[],
    unknown: readonly Operation<Input, Output>[],
  ) => readonly Operation[] | undefined
  /** Equal for equal states. Default: by content. */
  readonly stateKey?: (state: State) => string
}

export type CounterInput =
  | { readonly kind: 'read'; readonly key: string }
  /** The reply is the new count, or undefined when it was not told. */
  | { readonly kind: 'add'; readonly key: string; readonly by: number }

/** Undefined until it is written. Values are compared by content. */
export const casRegister: Model<unknown, CasInput, unknown> = {
  init: undefined,
  step: (state, input, reply) => {
    if (input.kind === 'write') return { state: input.value }
    if (input.kind === 'read')
      return !reply.known || same(state, reply.output) ? { state } : undefined
    if (input.kind === 'swap') {
      if (reply.known && !same(state, reply.output)) return undefined
      return { state: state === undefined ? undefined : input.value }
    }
    if (input.kind === 'remove') {
      return reply.known && reply.output !== (state !== undefined)
        ? undefined
        : { state: undefined }
    }
    const matches = same(state, input.expected)
    if (reply.known && reply.output !== matches) return undefined
    return { state: matches ? input.value : state }
  },
  reads: ({ kind }) => kind === 'read',
  overwrites: ({ kind }) => kind === 'write',
  conflict: registerConflict,
  stateKey: canonical,
}

export const register: Model<unknown, RegisterInput, unknown> = { ...casRegister }

/** Zero until it is added to. */
export const counter: Model<number, CounterInput, number | undefined> = {
  init: 0,
  step: (state, input, reply) => {
    const next = input.kind === 'add' ? state + input.by : state
    const silent = input.kind === 'add' && reply.known && reply.output === undefined
    return !reply.known || silent || reply.output === next ? { state: next } : undefined
  },
  reads: ({ kind }) => kind === 'read',
  stateKey: String,
}
