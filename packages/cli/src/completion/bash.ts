import type { CompletedCommand } from './model.ts';
import { posixTables } from './posix-tables.ts';

/** Needs bash 4 and nothing else: not the package bash-completion either. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  return `# Completion of tributary for bash: source <(tributary completion bash)

${posixTables(commands)}
_tributary() {
  # Split at blanks only: bash itself would split host:port, too.
  local line=\${COMP_LINE:0:COMP_POINT} where='' expects='' bootstrap='' word kind current prefix='' index
  local -a words
  read -ra words <<<"$line"
  case $line in *[[:space:]]) words+=('') ;; esac
  local last=$((\${#words[@]} - 1))
  current=\${words[last]}
  for ((index = 1; index < last; index++)); do
    word=\${words[index]}
    if [ -n "$expects" ]; then
      if [ "$expects" = --bootstrap ]; then bootstrap=$word; fi
      expects=''
      continue
    fi
    case $word in
      --bootstrap=*) bootstrap=\${word#*=} ;;
      --*=*) ;;
      -*) if [ -n "$(__tributary_value "$where" "$word")" ]; then expects=$word; fi ;;
      *) if __tributary_commands "$where" | grep -q "^$word:"; then where=\${where:+$where }$word; fi ;;
    esac
  done
  COMPREPLY=()
  if [ -z "$expects" ]; then
    case $current in
      --*=*)
        expects=\${current%%=*}
        prefix=$expects=
        current=\${current#*=}
        ;;
      -*)
        mapfile -t COMPREPLY < <(compgen -W "$(__tributary_options "$where" | cut -d: -f1)" -- "$current")
        return
        ;;
    esac
  fi
  if [ -n "$expects" ]; then
    kind=$(__tributary_value "$where" "$expects")
  else
    mapfile -t COMPREPLY < <(compgen -W "$(__tributary_commands "$where" | cut -d: -f1)" -- "$current")
    if [ \${#COMPREPLY[@]} -gt 0 ]; then return; fi
    kind=$(__tributary_argument "$where")
  fi
  case $kind in
    'choice '*) mapfile -t COMPREPLY < <(compgen -W "\${kind#choice }" -- "$current") ;;
    topics | groups) mapfile -t COMPREPLY < <(compgen -W "$(__tributary_names "\${words[0]}" "$kind" "$bootstrap")" -- "$current") ;;
    files)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      ;;
    folders)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      ;;
  esac
  # What follows the = is a word of its own to bash, unless it was told otherwise.
  if [ -n "$prefix" ]; then
    case $COMP_WORDBREAKS in *=*) ;; *) COMPREPLY=("\${COMPREPLY[@]/#/$prefix}") ;; esac
  fi
}

complete -F _tributary tributary
`;
}
