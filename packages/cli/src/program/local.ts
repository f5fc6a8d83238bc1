/** `tributary local …`. */
import type { Command } from 'commander';
import {
  brokersMax,
  controllersMax,
  coordinatorsMax,
  defaultBrokers,
  defaultControllers,
  defaultCoordinators,
  defaultFolder,
  defaultPort,
  portMax,
} from '../local/shape.ts';
import { distinctNames, keyValue, names, wholeNumber } from '../option-values.ts';
import { examples, type OutputOption, prose, withOutput } from './options.ts';

/** What every one of them takes. */
export interface LocalOptions extends OutputOption {
  readonly dataDir: string;
}

export interface StartOptions extends LocalOptions {
  /** Seconds. */
  readonly timeout: number;
  readonly wait: boolean;
}

export interface StopOptions {
  /** Seconds. */
  readonly timeout: number;
}

const secondsMax = 3_600;
const startSeconds = 60;
const stopSeconds = 30;

export function addLocal(program: Command): void {
  const local = program
    .command('local')
    .description('A cluster of processes on this machine: start it, and kill, pause, stop and start its parts')
    .addHelpText('after', examples('local up', 'local ps', 'local kill broker-1', 'local down'));
  addUp(local);
  withFolder(
    local
      .command('ps')
      .description('List the parts: their processes, ports, folders and states')
      .addHelpText('after', examples('local ps', 'local ps --output json')),
  ).action(async (options) => (await import('../commands/local-ps.ts')).localPs(options));
  addSignals(local);
  addStarts(local);
  withFolder(
    withTimeout(
      local
        .command('down')
        .description('Stop everything: coordinators first, etcd last')
        .option('--remove-data', 'take all records, metadata and logs away, too')
        .addHelpText('after', examples('local down', 'local down --remove-data')),
      stopSeconds,
      'how long each kind of part may take to stop before it is killed',
    ),
  ).action(async (options) => (await import('../commands/local-stop.ts')).localDown(options));
}

function addUp(local: Command): void {
  const up = local
    .command('up')
    .description('Start a cluster, or what of it does not run')
    .option(
      '--brokers <number>',
      `how many brokers (default: ${defaultBrokers}, or as many as there are)`,
      wholeNumber(1, brokersMax),
    )
    .option(
      '--controllers <number>',
      `how many controllers (default: ${defaultControllers}, or as many as there are)`,
      wholeNumber(1, controllersMax),
    )
    .option(
      '--coordinators <number>',
      `how many coordinators of consumer groups (default: ${defaultCoordinators}, or as many as there are)`,
      wholeNumber(1, coordinatorsMax),
    )
    .option(
      '--port <number>',
      `port of the first broker, if it is free; the others follow (default: ${defaultPort})`,
      wholeNumber(1, portMax),
    )
    .option('--etcd <file>', 'etcd’s program (default: the one on the PATH)')
    .option(
      '--set <key=value>',
      'a setting of a role or of one part, from its next start on: broker.session.timeout.ms=4000, broker-1.rack=a; may be repeated',
      keyValue,
    )
    .option('--delete <key>', 'take such a setting away; may be repeated', names)
    .option('--foreground', 'stay, and stop everything at Ctrl-C')
    .addHelpText(
      'after',
      examples(
        'local up',
        'local up --brokers 5 --controllers 3 --data-dir /var/tmp/cluster',
        'local up --set broker.session.timeout.ms=4000 --set broker-1.rack=a --set broker-2.rack=b',
        'local up --foreground',
      ),
    )
    .addHelpText(
      'after',
      prose(
        'It returns once every part is ready; the processes go on. Ports are chosen once and kept, so that clients find a part that was started again.',
      ),
    );
  withFolder(withStart(up)).action(async (options) => (await import('../commands/local-up.ts')).localUp(options));
}

function addSignals(local: Command): void {
  withFolder(
    local
      .command('kill')
      .argument('<names...>', 'parts: broker-1, controller-2, coordinator-1, etcd …', distinctNames)
      .description('End parts at once, as a crash does (SIGKILL)')
      .addHelpText('after', examples('local kill broker-1')),
  ).action(async (parts, options) => (await import('../commands/local-signal.ts')).localKill(parts, options));
  withFolder(
    local
      .command('pause')
      .argument('<names...>', 'parts: broker-1, controller-2, coordinator-1, etcd …', distinctNames)
      .description('Make parts stand still (SIGSTOP), as a machine that hangs')
      .addHelpText('after', examples('local pause broker-1')),
  ).action(async (parts, options) => (await import('../commands/local-signal.ts')).localPause(parts, options));
  withFolder(
    local
      .command('resume')
      .argument('<names...>', 'parts: broker-1, controller-2, coordinator-1, etcd …', distinctNames)
      .description('Let parts go on that were paused (SIGCONT)')
      .addHelpText('after', examples('local resume broker-1')),
  ).action(async (parts, options) => (await import('../commands/local-signal.ts')).localResume(parts, options));
}

function addStarts(local: Command): void {
  withFolder(
    withTimeout(
      local
        .command('stop')
        .argument('<names...>', 'parts: broker-1, controller-2, coordinator-1, etcd …', distinctNames)
        .description('Stop parts in an orderly way (SIGTERM), and wait for their end')
        .addHelpText('after', examples('local stop broker-1')),
      stopSeconds,
      'how long to wait for their end',
    ),
  ).action(async (parts, options) => (await import('../commands/local-stop.ts')).localStop(parts, options));
  withFolder(
    withStart(
      local
        .command('start')
        .argument('<names...>', 'parts: broker-1, controller-2, coordinator-1, etcd …', distinctNames)
        .description('Start parts that were stopped or killed, and wait until they are ready')
        .addHelpText('after', examples('local start broker-1')),
    ),
  ).action(async (parts, options) => (await import('../commands/local-start.ts')).localStart(parts, options));
  withFolder(
    withStart(
      local
        .command('restart')
        .argument('<names...>', 'parts: broker-1, controller-2, coordinator-1, etcd …', distinctNames)
        .description('Stop parts in an orderly way and start them again, one after the other')
        .addHelpText('after', examples('local restart broker-1', 'local restart broker-1 broker-2 broker-3')),
    ),
  ).action(async (parts, options) => (await import('../commands/local-start.ts')).localRestart(parts, options));
}

function withStart(command: Command): Command {
  return withTimeout(command, startSeconds, 'how long to wait until they are ready').option(
    '--no-wait',
    'do not wait until they are ready',
  );
}

function withTimeout(command: Command, seconds: number, meaning: string): Command {
  return command.option('--timeout <seconds>', meaning, wholeNumber(1, secondsMax), seconds);
}

function withFolder(command: Command): Command {
  return withOutput(command.option('--data-dir <folder>', 'where everything of the cluster is kept', defaultFolder));
}
