/** The script that `holdfast completion zsh` prints. */
import type { CommandModel } from './command-model.ts'
import { allCommands, shellQuoted, wordsScript } from './words-script.ts'

export function zshScript(program: CommandModel): string {
  return `#compdef holdfast
# Completion of holdfast for zsh. In ~/.zshrc, behind compinit: source <(holdfast completion zsh)

${wordsScript(program)}
# Sets _shown to the names that can stand here, each with what it does.
_holdfast_shown() {
  _shown=()
  case "$1" in
${allCommands(program)
  .flatMap(({ path, command }) => [
    shownCase(path.join(' '), 'flags', command.options.map(optionText)),
    shownCase(path.join(' '), 'subs', command.commands.map(commandText)),
  ])
  .join('\n')}
  esac
}

${ADD}`
}

function shownCase(path: string, what: string, texts: readonly string[]): string {
  return `    ${shellQuoted(`${path} ${what}`)}) _shown=(${texts.map(shellQuoted).join(' ')}) ;;`
}

function optionText({ flags, description }: CommandModel['options'][number]): string {
  return `${flags[0] ?? ''}:${description.replaceAll(':', '\\:')}`
}

function commandText({ name, description }: CommandModel): string {
  return `${name}:${description.replaceAll(':', '\\:')}`
}

const ADD = `_holdfast() {
  local _subs _flags _args _kind _at word
  local -a _shown found typed
  typed=("\${(@Q)words[2,CURRENT]}")
  _holdfast_walk "\${typed[@]}"
  local current="\${typed[-1]}" value="\${typed[-1]}"
  if [[ "$current" == --*=* ]]; then
    value="\${current#*=}"
    compset -P '*='
  fi
  case "$_kind" in
    '') return 1 ;;
    '='*)
      if [[ "$_kind" == "=$_flags" ]]; then
        _holdfast_shown "$_at flags"
        _describe option _shown
      elif [[ "$_kind" == "=$_subs" ]]; then
        _holdfast_shown "$_at subs"
        _describe command _shown
      else
        compadd -- \${=_kind#=}
      fi
      ;;
    file) _files ;;
    folder) _files -/ ;;
    table | index | field | fields | context | field=value | row)
      while IFS=$'\\t' read -r word _; do
        [[ "$word" == :* ]] || found+=("$word")
      done < <("\${words[1]}" __complete "\${typed[@]}" 2>/dev/null)
      [[ "$current" == --*=* ]] && found=("\${found[@]#--*=}")
      if [[ "\${found[1]}" == *= ]]; then compadd -S '' -- "\${found[@]}"
      else compadd -- "\${found[@]}"
      fi
      ;;
  esac
}

# Read by source it registers itself; as a file of fpath it is the function's own body.
if [[ "\${funcstack[1]}" == _holdfast ]]; then _holdfast "$@"
else compdef _holdfast holdfast
fi
`
