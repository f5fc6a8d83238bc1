/**
 * The command line: reads it and says what is wrong with it. What exists, what it is called and what it accepts lies in program/, a file for each
 * group; what a command does lies in commands/, loaded when it is asked for.
 */
import { styleText } from 'node:util';
import { Command, CommanderError } from 'commander';
import { softwareVersion } from '@tributary/model';
import { coloured } from './terminal.ts';
import { UsageError } from './failure.ts';
import { addBench } from './program/bench.ts';
import { addBroker } from './program/broker.ts';
import { addCluster } from './program/cluster.ts';
import { addCompletion } from './program/completion.ts';
import { addDev } from './program/dev.ts';
import { addDoctor } from './program/doctor.ts';
import { addGroup } from './program/group.ts';
import { addLocal } from './program/local.ts';
import { addLog } from './program/log.ts';
import { examples, helpWidth } from './program/options.ts';
import { addPartition } from './program/partition.ts';
import { addConsume, addProduce } from './program/records.ts';
import { addTopic } from './program/topic.ts';

/** Every command, with what it is called and accepts; nothing is read yet. */
export function createProgram(): Command {
  const program = new Command('tributary');
  program
    .description('A distributed commit log: Kafka’s model as small TypeScript services.')
    .configureHelp({ styleTitle: (title) => styleText('bold', title, { validateStream: false }) })
    .version(softwareVersion, '--version', 'print the version')
    .addHelpText(
      'after',
      examples(
        'dev',
        'topic create events --partitions 3',
        'produce events < lines.txt',
        'consume events --from-beginning',
      ),
    )
    .addHelpText(
      'after',
      '\nEvery command has its own: tributary COMMAND --help\nTRIBUTARY_DEBUG=1 shows where an error comes from.',
    );
  addDev(program);
  addLocal(program);
  addCluster(program);
  addTopic(program);
  addPartition(program);
  addBroker(program);
  addProduce(program);
  addConsume(program);
  addGroup(program);
  addLog(program);
  addDoctor(program);
  addCompletion(program);
  addBench(program);
  return program;
}

/** Reads the command line and does what it says. @throws UsageError; and whatever the command throws. */
export async function run(argv: readonly string[]): Promise<void> {
  const program = createProgram();
  const refusals = new Refusals();
  strict(program, program.name(), refusals);
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    if (thrown.exitCode === 0) return;
    throw usageError(thrown, refusals);
  }
}

/** Commander's own message, as a sentence of ours. */
function usageError(thrown: CommanderError, { said, by }: Refusals): UsageError {
  const see = `See: ${by} --help`;
  if (thrown.code === 'commander.help') return new UsageError(`Which command? ${see}`);
  const text = (said.join(' ') || thrown.message)
    .replace(/^error: /, '')
    .replace(/\s+/g, ' ')
    .trim();
  return new UsageError(`${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?)]$/.test(text) ? '' : '.'} ${see}`);
}

/** What Commander has said, and the command that it was said of. */
class Refusals {
  readonly said: string[] = [];
  by = 'tributary';
}

/** No command ends the process or prints an error by itself: report does, in one line. */
function strict(command: Command, path: string, refusals: Refusals): void {
  command.exitOverride();
  command.configureOutput({
    getOutHelpWidth: () => helpWidth(),
    getOutHasColors: () => coloured(process.stdout),
    // The help of a group that was given no command.
    writeErr: () => void (refusals.by = path),
    outputError: (text) => {
      refusals.said.push(text);
      refusals.by = path;
    },
  });
  command.showHelpAfterError(false);
  for (const child of command.commands) strict(child, `${path} ${child.name()}`, refusals);
}
