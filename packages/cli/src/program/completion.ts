/** `tributary completion …`, and what its scripts ask while somebody types. */
import { Argument, type Command } from 'commander';
import { completedCommands } from '../completion/model.ts';
import { prose, withConnection } from './options.ts';

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>', 'for which shell').choices(['bash', 'zsh', 'fish']))
    .description('Print a script that completes commands, options, values, topic and group names')
    .addHelpText(
      'after',
      `
Examples:
  $ source <(tributary completion bash)                    # this shell; put it into ~/.bashrc for all
  $ tributary completion zsh > "\${fpath[1]}/_tributary"
  $ tributary completion fish > ~/.config/fish/completions/tributary.fish`,
    )
    .addHelpText(
      'after',
      prose(
        'Names of topics and groups come from the cluster of --bootstrap or TRIBUTARY_BOOTSTRAP when it answers within 300 ms (TRIBUTARY_COMPLETION_MS).',
      ),
    )
    .action(async (shell: 'bash' | 'zsh' | 'fish') =>
      (await import('../commands/completion.ts')).completion(shell, completedCommands(program)),
    );
  withConnection(program.command('__topics', { hidden: true })).action(async (options) =>
    (await import('../commands/topic-names.ts')).topicNames(options),
  );
  withConnection(program.command('__groups', { hidden: true })).action(async (options) =>
    (await import('../commands/topic-names.ts')).groupNames(options),
  );
}
