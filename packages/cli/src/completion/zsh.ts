import type { CompletedCommand } from './model.ts';
import { posixTables } from './posix-tables.ts';

/** Works as a file called _tributary in $fpath, and sourced after compinit. */
export function zshScript(commands: readonly CompletedCommand[]): string {
  return `#compdef tributary
# Completion of tributary for zsh: tributary completion zsh > "\${fpath[1]}/_tributary", or source <(tributary completion zsh)

${posixTables(commands)}
_tributary() {
  local where='' expects='' bootstrap='' word kind current=\${words[CURRENT]}
  local -a found
  local index
  for ((index = 2; index < CURRENT; index++)); do
    word=\${words[index]}
    if [[ -n $expects ]]; then
      if [[ $expects == --bootstrap ]]; then bootstrap=$word; fi
      expects=''
      continue
    fi
    case $word in
      --bootstrap=*) bootstrap=\${word#*=} ;;
      --*=*) ;;
      -*) if [[ -n $(__tributary_value "$where" "$word") ]]; then expects=$word; fi ;;
      *) if __tributary_commands "$where" | grep -q "^$word:"; then where=\${where:+$where }$word; fi ;;
    esac
  done
  if [[ -z $expects ]]; then
    case $current in
      --*=*)
        expects=\${current%%=*}
        compset -P '*='
        ;;
      -*)
        found=("\${(@f)$(__tributary_options "$where")}")
        _describe -o option found
        return
        ;;
    esac
  fi
  if [[ -n $expects ]]; then
    kind=$(__tributary_value "$where" "$expects")
  else
    found=("\${(@f)$(__tributary_commands "$where")}")
    if [[ -n \${found[1]} ]]; then
      _describe command found
      return
    fi
    kind=$(__tributary_argument "$where")
  fi
  case $kind in
    'choice '*) compadd -- \${=kind#choice } ;;
    topics | groups)
      found=("\${(@f)$(__tributary_names "\${words[1]}" "$kind" "$bootstrap")}")
      compadd -- \${found:#}
      ;;
    files) _files ;;
    folders) _files -/ ;;
  esac
}

if [[ \${funcstack[1]} == _tributary ]]; then _tributary "$@"; else compdef _tributary tributary; fi
`;
}
