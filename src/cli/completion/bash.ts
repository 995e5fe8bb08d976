/** The script that `holdfast completion bash` prints: for bash 3.2 and later, without its extras. */
import type { CommandModel } from './command-model.ts'
import { wordsScript } from './words-script.ts'

export function bashScript(program: CommandModel): string {
  return `# Completion of holdfast for bash. In ~/.bashrc: source <(holdfast completion bash)

${wordsScript(program)}
${ADD}`
}

const ADD = `_holdfast() {
  local _subs _flags _args _kind _at IFS=$' \\t\\n'
  local line="\${COMP_LINE:0:COMP_POINT}" typed word current cut i
  # Bash takes words apart at = and :, which belong to them here.
  typed=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ $i -gt 0 && "$line" == "$word"* && ( -n "$word" || -z "$line" ) ]]; then
      typed[\${#typed[@]} - 1]+="$word"
    else
      line="\${line#"\${line%%[![:space:]]*}"}"
      typed+=("$word")
    fi
    line="\${line#"$word"}"
  done
  current="\${typed[\${#typed[@]} - 1]}"
  _holdfast_walk "\${typed[@]:1}"
  COMPREPLY=()
  local value="$current" before=''
  if [[ "$current" == --*=* ]]; then
    before="\${current%%=*}="
    value="\${current#*=}"
  fi
  case "$_kind" in
    '') return ;;
    '='*)
      for word in \${_kind#=}; do
        [[ "$word" == "$value"* ]] && COMPREPLY+=("$before$word")
      done
      ;;
    file | folder)
      compopt -o filenames 2>/dev/null
      local action=-f
      [[ "$_kind" == folder ]] && action=-d
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen $action -- "$value")
      return
      ;;
    table | index | field | fields | context | field=value | row)
      while IFS=$'\\t' read -r word _; do
        [[ "$word" == "$current"* ]] && COMPREPLY+=("$word")
        [[ "$word" == *= ]] && compopt -o nospace 2>/dev/null
      done < <("\${COMP_WORDS[0]}" __complete "\${typed[@]:1}" 2>/dev/null)
      ;;
  esac
  # What stands before the last break is not part of the word that bash replaces.
  cut="\${current%"\${current##*[=:]}"}"
  if [[ -n "$cut" ]]; then
    for i in "\${!COMPREPLY[@]}"; do COMPREPLY[i]="\${COMPREPLY[i]#"$cut"}"; done
  fi
}

complete -F _holdfast holdfast
`
