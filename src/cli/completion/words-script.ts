/**
 * What the scripts for bash and zsh have in common: the tree as data, and a walk over the words of
 * the line, in what both shells understand. Only names in a database need a process.
 */
import type { CommandModel, Slot } from './command-model.ts'

/** All commands with the words that lead to them. */
export function allCommands(
  command: CommandModel,
  path: readonly string[] = [],
): readonly { readonly path: readonly string[]; readonly command: CommandModel }[] {
  const below = command.commands.flatMap((each) => allCommands(each, [...path, each.name]))
  return [{ path, command }, ...below]
}

/** `'text'` for any shell of the two. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * The functions
 * - `_holdfast_spec PATH` sets `_subs` (names), `_flags` and `_args` (kinds) of a command
 * - `_holdfast_value PATH FLAG` sets `_kind` to what the flag's value is, '' when it takes none
 * - `_holdfast_walk WORD...` sets `_kind` for the last of the words, and `_at` to the command's path
 *
 * A kind is a name of the tree, or `=` and the words to choose from; `*` behind it: any number.
 */
export function wordsScript(program: CommandModel): string {
  const commands = allCommands(program)
  return `_holdfast_spec() {
  _subs='' _flags='' _args=''
  case "$1" in
${commands.map(specCase).join('\n')}
  esac
}

_holdfast_value() {
  _kind=''
  case "$1 $2" in
${commands.flatMap(valueCases).join('\n')}
  esac
}

${WALK}`
}

function specCase({ path, command }: { path: readonly string[]; command: CommandModel }): string {
  const subs = command.commands.map(({ name }) => name).join(' ')
  const flags = command.options.map(({ flags }) => flags[0]).join(' ')
  // Kinds are apart by | since a choice has spaces.
  const args = command.slots.map(kindText).join('|')
  return `    ${shellQuoted(path.join(' '))}) _subs='${subs}' _flags='${flags}' _args=${shellQuoted(args)} ;;`
}

function valueCases({
  path,
  command,
}: {
  path: readonly string[]
  command: CommandModel
}): string[] {
  return command.options.flatMap(({ flags, value }) =>
    value === undefined
      ? []
      : flags.map(
          (flag) =>
            `    ${shellQuoted(`${path.join(' ')} ${flag}`)}) _kind=${shellQuoted(kindText(value))} ;;`,
        ),
  )
}

function kindText({ kind, choices, variadic }: Slot): string {
  const text = choices.length > 0 ? `=${choices.join(' ')}` : kind
  return variadic ? `${text}*` : text
}

const WALK = `_holdfast_walk() {
  local word='' pending='' literal='' count=0
  _at=''
  _holdfast_spec "$_at"
  while [ $# -gt 1 ]; do
    word="$1"
    shift
    if [[ -n "$pending" && ! ( "$pending" == *'*' && "$word" == -* ) ]]; then
      [[ "$pending" == *'*' ]] || pending=''
      continue
    fi
    pending=''
    if [[ -n "$literal" ]]; then
      count=$((count + 1))
    elif [[ "$word" == -- ]]; then
      literal=1
    elif [[ "$word" == --*=* ]]; then
      :
    elif [[ "$word" == -?* ]]; then
      _holdfast_value "$_at" "$word"
      pending="$_kind"
    elif [[ $count -eq 0 && " $_subs " == *" $word "* ]]; then
      _at="\${_at:+$_at }$word"
      _holdfast_spec "$_at"
    else
      count=$((count + 1))
    fi
  done
  word="$1"
  if [[ -n "$pending" && ! ( "$pending" == *'*' && "$word" == -* ) ]]; then
    _kind="$pending"
  elif [[ -z "$literal" && "$word" == --*=* ]]; then
    _holdfast_value "$_at" "\${word%%=*}"
  elif [[ -z "$literal" && "$word" == -* ]]; then
    _kind="=$_flags"
  elif [[ $count -eq 0 && -n "$_subs" ]]; then
    _kind="=$_subs"
  else
    while [[ $count -gt 0 && "$_args" == *'|'* ]]; do
      _args="\${_args#*|}"
      count=$((count - 1))
    done
    _kind="\${_args%%|*}"
    [[ $count -eq 0 || "$_kind" == *'*' ]] || _kind=''
  fi
  _kind="\${_kind%'*'}"
}
`
