/** What completion needs of the command tree: names, options, and what each value stands for. */
import type { Argument, Command, Option } from 'commander'

/** A place for a value. */
export interface Slot {
  /** As the tree names it: program/parts.ts says which names are known. */
  readonly kind: string
  /** All there are, where they are known. */
  readonly choices: readonly string[]
  /** Takes every value that follows. */
  readonly variadic: boolean
}

export interface OptionModel {
  /** `--limit` and the like, the long one first. */
  readonly flags: readonly string[]
  readonly description: string
  /** Undefined for one without a value. */
  readonly value: Slot | undefined
}

export interface CommandModel {
  readonly name: string
  readonly description: string
  readonly commands: readonly CommandModel[]
  /** Those of the program included. */
  readonly options: readonly OptionModel[]
  readonly slots: readonly Slot[]
}

const VALUE_NAME = /[<[]([^>\]]+)[>\]]/

/** Hidden commands and options are left out. */
export function commandModel(program: Command): CommandModel {
  return modelOf(program, [])
}

function modelOf(command: Command, inherited: readonly OptionModel[]): CommandModel {
  const help = command.createHelp()
  const own = help.visibleOptions(command).map(optionModel)
  const options = [...own, ...inherited.filter(({ flags }) => !own.some(same(flags)))]
  return {
    name: command.name(),
    description: command.description(),
    commands: help.visibleCommands(command).map((each) => modelOf(each, options)),
    options,
    slots: command.registeredArguments.map(slotOf),
  }
}

function same(flags: readonly string[]): (option: OptionModel) => boolean {
  return (option) => option.flags[0] === flags[0]
}

function optionModel(option: Option): OptionModel {
  const { long, short, description, variadic, argChoices = [] } = option
  const [, name] = VALUE_NAME.exec(option.flags) ?? []
  return {
    flags: [long, short].filter((flag) => flag !== undefined && flag !== null),
    description,
    value: name === undefined ? undefined : { kind: kindOf(name), choices: argChoices, variadic },
  }
}

function slotOf(argument: Argument): Slot {
  const { variadic, argChoices = [] } = argument
  return { kind: kindOf(argument.name()), choices: argChoices, variadic }
}

function kindOf(name: string): string {
  return name.replace(/\.\.\.$/, '')
}
