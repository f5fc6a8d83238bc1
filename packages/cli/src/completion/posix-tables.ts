/** The tables that bash and zsh share: functions that print what is known of a command, written so that both understand them. */
import { type CompletedCommand, kindText, quoted } from './model.ts';

export function posixTables(commands: readonly CompletedCommand[]): string {
  const table = (name: string, of: (command: CompletedCommand) => readonly string[]): string => {
    const cases = commands.flatMap((command) => {
      const lines = of(command);
      return lines.length === 0
        ? []
        : [`    ${quoted(command.path)}) printf '%s\\n' ${lines.map(quoted).join(' ')} ;;`];
    });
    return `${name}() {\n  case "$1" in\n${cases.join('\n')}\n  esac\n}\n`;
  };
  const values = commands.flatMap(({ path, options }) =>
    options.flatMap(({ name, value }) =>
      value === undefined ? [] : [`    ${quoted(`${path} ${name}`)}) printf '%s\\n' ${quoted(kindText(value))} ;;`],
    ),
  );
  return [
    '# Lines of word:description.',
    table('__tributary_commands', ({ commands: children }) =>
      children.map(({ name, description }) => `${name}:${plain(description)}`),
    ),
    table('__tributary_options', ({ options }) =>
      options.map(({ name, description }) => `${name}:${plain(description)}`),
    ),
    '# What the arguments of a command are.',
    table('__tributary_argument', ({ argument }) => (argument === undefined ? [] : [kindText(argument)])),
    '# What the value of an option is; nothing: it has none.',
    `__tributary_value() {\n  case "$1 $2" in\n${values.join('\n')}\n  esac\n}\n`,
    '# The topics or groups of the cluster, if it answers at once.',
    `__tributary_names() {
  if [ -n "$3" ]; then command "$1" "__$2" --bootstrap "$3" 2>/dev/null; else command "$1" "__$2" 2>/dev/null; fi
}
`,
  ].join('\n');
}

const plain = (description: string): string => description.replaceAll(':', ' –');
