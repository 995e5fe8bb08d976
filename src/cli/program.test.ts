// The tree of commands holds what others take from it, and what is advised is there.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ERRORS, HoldfastError, type ErrorCode } from '../core/errors.ts'
import { nextCommand } from './next-command.ts'
import { buildProgram } from './program.ts'

const program = buildProgram(() => Promise.resolve(), [])
const commands = program.commands.flatMap((each) => [each, ...each.commands])

const longOptions = ({ options }: Pick<typeof program, 'options'>): unknown[] =>
  options.map(({ long }) => long)

/** Errors of programs alone: no command line leads to them. */
const NOT_AT_A_SHELL: readonly ErrorCode[] = [
  ...(['InvalidRequest', 'BodyTooLarge', 'TransactionTooLarge', 'TransactionClosed'] as const),
  ...(['Aborted', 'EsmOnly', 'AppNotBundled'] as const),
]
/** No command helps: their advice is about other programs, or about us. */
const NO_COMMAND: readonly ErrorCode[] = [
  ...(['NoResponder', 'LogUnavailable', 'LogFull', 'LogTrimmed', 'NewerFormat', 'Bug'] as const),
  ...(['HistoryDiverged', 'EngineUnsupported', 'EngineForbidden', 'DurabilityTooLow'] as const),
]

describe('the next command', () => {
  it('is there for every error that a command line leads to', () => {
    const without = (Object.keys(ERRORS) as ErrorCode[]).filter(
      (code) => nextCommand(new HoldfastError(code, 'x')) === undefined,
    )
    expect(without.toSorted()).toEqual([...NOT_AT_A_SHELL, ...NO_COMMAND].toSorted())
  })

  it('names commands and options that there are', () => {
    const names = program.commands.map((command) => command.name())
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const next = nextCommand(new HoldfastError(code, 'x')) ?? ''
      const named = [...next.matchAll(/holdfast ([a-z]+)/g)].map(([, name]) => name)
      expect(names).toEqual(expect.arrayContaining(named))
      const isTheirs = (name: string): boolean => named.length === 0 || named.includes(name)
      const theirs = program.commands.filter((each) => isTheirs(each.name()))
      const all = [program, ...theirs, ...theirs.flatMap((each) => each.commands)]
      const options = all.flatMap(longOptions)
      for (const [option] of next.matchAll(/--[a-z-]+/g)) {
        expect([...options, '--help']).toContain(option)
      }
    }
  })
})

describe('the tree', () => {
  it('describes every command and option, and names what arguments stand for', () => {
    for (const command of commands) {
      const hidden = (command as unknown as { readonly _hidden?: boolean })._hidden === true
      if (!hidden) expect([command.name(), command.description()]).not.toContain('')
      for (const { flags, description } of command.options) {
        expect([command.name(), flags, description]).not.toContain('')
      }
    }
    const tables = commands.filter((each) =>
      each.registeredArguments.some((argument) => argument.name() === 'table'),
    )
    expect(tables.map((each) => each.name())).toEqual(
      expect.arrayContaining(['get', 'query', 'scan', 'watch', 'put', 'update', 'drop', 'alter']),
    )
  })

  it('lets every command that goes to a cluster say who it is there', () => {
    const going = commands.filter((each) => longOptions(each).includes('--cluster'))
    expect(going.map((each) => each.name()).toSorted()).toEqual(['adopt', 'refound', 'start'])
    for (const each of going) {
      expect(longOptions(each)).toEqual(expect.arrayContaining(['--nats-creds', '--nats-ca']))
    }
  })

  it('has every command on the page', () => {
    const page = readFileSync('docs/CLI.md', 'utf8')
    const missing = program.commands.filter((command) => {
      const { _hidden: hidden } = command as unknown as { readonly _hidden?: boolean }
      return hidden !== true && !page.includes(`holdfast ${command.name()}`)
    })
    expect(missing.map((command) => command.name())).toEqual([])
  })
})
