import { type CompletedCommand, type CompletedOption, quoted, type ValueKind } from './model.ts';

/** fish reads words and descriptions from rules of its own kind: one line for each. */
export function fishScript(commands: readonly CompletedCommand[]): string {
  const valued = [
    ...new Set(
      commands.flatMap(({ options }) => options.flatMap(({ name, value }) => (value === undefined ? [] : [name]))),
    ),
  ];
  const names = commands.filter(({ path }) => path !== '').map(({ path }) => path);
  return `# Completion of tributary for fish: tributary completion fish > ~/.config/fish/completions/tributary.fish

set -g __tributary_valued ${valued.join(' ')}
set -g __tributary_paths ${names.map(fishQuoted).join(' ')}

# The command that is being typed, as far as it is there: "topic create".
function __tributary_where
    set -l where
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if string match -q -- '-*' $word
            contains -- $word $__tributary_valued; and set skip 1
        else if contains -- (string join ' ' $where $word) $__tributary_paths
            set -a where $word
        end
    end
    string join ' ' $where
end

function __tributary_at
    test "$(__tributary_where)" = "$argv[1]"
end

# The topics or groups of the cluster, if it answers at once.
function __tributary_names
    set -l words (commandline -opc)
    set -l at (contains -i -- --bootstrap $words)
    if test -n "$at"; and test (count $words) -gt $at
        command $words[1] __$argv[1] --bootstrap $words[(math $at + 1)] 2>/dev/null
    else
        command $words[1] __$argv[1] 2>/dev/null
    end
end

complete -c tributary -f
${commands.flatMap(rulesOf).join('\n')}
`;
}

function rulesOf({ path, commands, options, argument }: CompletedCommand): readonly string[] {
  const rule = `complete -c tributary -n ${fishQuoted(`__tributary_at ${fishQuoted(path)}`)}`;
  return [
    ...commands.map(({ name, description }) => `${rule} -a ${name} -d ${fishQuoted(description)}`),
    ...options.map(
      (option) => `${rule} -l ${option.name.slice(2)}${valuePart(option)} -d ${fishQuoted(option.description)}`,
    ),
    ...(argument === undefined || argument.kind === 'text' ? [] : [`${rule}${candidates(argument)}`]),
  ];
}

function valuePart({ value }: CompletedOption): string {
  if (value === undefined) return '';
  return value.kind === 'files' ? ' -r -F' : ` -x${candidates(value)}`;
}

function candidates(value: ValueKind): string {
  switch (value.kind) {
    case 'choice':
      return ` -a ${quoted(value.words.join(' '))}`;
    case 'topics':
      return " -a '(__tributary_names topics)'";
    case 'groups':
      return " -a '(__tributary_names groups)'";
    case 'files':
      return ' -F';
    case 'folders':
      return " -a '(__fish_complete_directories)'";
    case 'text':
      return '';
  }
}

/** fish has an escape for its quotes, which the other shells have not. */
function fishQuoted(text: string): string {
  return `'${text.replace(/\s+/g, ' ').replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
