/** The script that `holdfast completion fish` prints. */
import type { CommandModel, OptionModel, Slot } from './command-model.ts'
import { allCommands } from './words-script.ts'

/** Kinds that `__complete` knows names for. */
const NAMED = new Set(['table', 'index', 'field', 'fields', 'context', 'field=value', 'row'])

export function fishScript(program: CommandModel): string {
  const globals = new Set(program.options.map(({ flags: [flag = ''] }) => flag))
  const valued = program.options.filter(({ value }) => value !== undefined)
  const flags = valued.flatMap((option) => option.flags).join(' ')
  return `# Completion of holdfast for fish. Into ~/.config/fish/completions/holdfast.fish

# Whether the words so far lead to this command: only its names, options and values left out.
function __holdfast_at
    set -l found
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word ${flags}
            set skip 1
        else if not string match -q -- '-*' $word
            set -a found $word
        end
    end
    set -l wanted (count $argv)
    if test "$argv[-1]" = --end
        set wanted (math $wanted - 1)
        test (count $found) = $wanted; or return 1
        set -e argv[-1]
    end
    test $wanted = 0; and return 0
    test (count $found) -ge $wanted; or return 1
    test "$found[1..$wanted]" = "$argv"
end

function __holdfast_names
    set -l words (commandline -opc)
    $words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null |
        string match -v -r '^:' | string replace -r '^--[^=]+=' ''
end

complete -c holdfast -f
${allCommands(program)
  .flatMap(({ path, command }) => linesOf(path, command, globals))
  .join('\n')}
`
}

function linesOf(
  path: readonly string[],
  command: CommandModel,
  globals: ReadonlySet<string>,
): string[] {
  const here = `complete -c holdfast -n ${quoted(['__holdfast_at', ...path].join(' '))}`
  const ends = `complete -c holdfast -n ${quoted(['__holdfast_at', ...path, '--end'].join(' '))}`
  // The options of the program are declared once, at its own path, which every line leads to.
  const options = command.options.filter(
    (option) => path.length === 0 || !globals.has(option.flags[0] ?? ''),
  )
  return [
    ...command.commands.map(
      ({ name, description }) => `${ends} -a ${quoted(name)} -d ${quoted(description)}`,
    ),
    ...options.map((option) => `${here} ${optionArguments(option)}`),
    ...command.slots.flatMap((slot) => {
      const values = valuesOf(slot)
      return values === undefined ? [] : [`${here} ${values}`]
    }),
  ]
}

function optionArguments({ flags, description, value }: OptionModel): string {
  const names = flags.map((flag) =>
    flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
  )
  const takes = value === undefined ? [] : ['-r', valuesOf(value) ?? '-f']
  return [...names, ...takes, '-d', quoted(description)].join(' ')
}

function valuesOf({ kind, choices }: Slot): string | undefined {
  if (choices.length > 0) return `-f -a ${quoted(choices.join(' '))}`
  if (kind === 'file') return '-F'
  if (kind === 'folder') return `-f -a '(__fish_complete_directories)'`
  return NAMED.has(kind) ? `-f -a '(__holdfast_names)'` : undefined
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", `\\'`)}'`
}
