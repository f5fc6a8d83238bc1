/** The command line: what exists, what it is called, what it accepts. What a command does lies in commands/, loaded when it is asked for. */
import { Command, CommanderError, Option } from 'commander';
import { UsageError } from './failure.ts';
import { acks, escapedText, keyValue, offsetNumber, wholeNumber } from './option-values.ts';

/** What every command takes. */
export interface OutputOption {
  readonly output: 'text' | 'json';
}

export interface ConnectionOptions extends OutputOption {
  readonly bootstrap: string;
}

const defaultBootstrap = '127.0.0.1:9095';
const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

/** Reads the command line and does what it says. @throws UsageError; and whatever the command throws. */
export async function run(argv: readonly string[]): Promise<void> {
  const program = new Command('tributary');
  program
    .description('A distributed commit log: Kafka’s model as small TypeScript services.')
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
  addTopic(program);
  addProduce(program);
  addConsume(program);
  addBench(program);
  const refusals: string[] = [];
  strict(program, refusals);
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    if (thrown.exitCode === 0) return;
    throw usageError(thrown, refusals);
  }
}

/** Commander's own message, as a sentence of ours. */
function usageError(thrown: CommanderError, refusals: readonly string[]): UsageError {
  if (thrown.code === 'commander.help') return new UsageError('Which command? See: tributary --help');
  const text = (refusals.join(' ') || thrown.message)
    .replace(/^error: /, '')
    .replace(/\s+/g, ' ')
    .trim();
  return new UsageError(
    `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?)]$/.test(text) ? '' : '.'} See: tributary --help`,
  );
}

/** No command ends the process or prints an error by itself: report does, in one line. */
function strict(command: Command, refusals: string[]): void {
  command.exitOverride();
  command.configureOutput({
    writeErr: () => undefined,
    outputError: (text) => refusals.push(text),
  });
  command.showHelpAfterError(false);
  for (const child of command.commands) strict(child, refusals);
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ tributary ${line}`).join('\n')}`;
}

function withOutput(command: Command): Command {
  return command.addOption(
    new Option('--output <format>', 'text for people, json for programs').choices(['text', 'json']).default('text'),
  );
}

function withConnection(command: Command): Command {
  const bootstrap = new Option('--bootstrap <host:port>', 'any broker of the cluster')
    .env('TRIBUTARY_BOOTSTRAP')
    .default(defaultBootstrap);
  return withOutput(command.addOption(bootstrap));
}

function addDev(program: Command): void {
  const dev = program
    .command('dev')
    .description('Run every part in one process, with its data in one folder')
    .option('--data-dir <folder>', 'where records and metadata are kept', './data')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port of the gRPC services', wholeNumber(1, 65_435), 9095)
    .option(
      '--http-port <number>',
      'port of /metrics, /healthz and /readyz (default: --port + 100)',
      wholeNumber(0, 65_535),
    )
    .addHelpText('after', examples('dev', 'dev --data-dir /var/tmp/log --port 19095'));
  withOutput(dev).action(async (options) => (await import('./commands/dev.ts')).dev(options));
}

function addTopic(program: Command): void {
  const topic = program.command('topic').description('Create, list, describe and delete topics');
  const create = topic
    .command('create <name>')
    .description('Create a topic')
    .option('--partitions <number>', 'how many partitions (default: the cluster’s)', wholeNumber(1))
    .option('--replication-factor <number>', 'copies of each partition (default: the cluster’s)', wholeNumber(1))
    .option('--config <key=value>', 'a setting by Kafka’s name; may be repeated', keyValue)
    .addHelpText('after', examples('topic create events --partitions 6 --config retention.ms=3600000'));
  withConnection(create).action(async (name, options) =>
    (await import('./commands/topic-create.ts')).topicCreate(name, options),
  );
  const list = topic
    .command('list')
    .description('List the topics')
    .addHelpText('after', examples('topic list', 'topic list --output json'));
  withConnection(list).action(async (options) => (await import('./commands/topic-list.ts')).topicList(options));
  const describe = topic
    .command('describe <name>')
    .description('Show a topic’s partitions and settings')
    .addHelpText('after', examples('topic describe events'));
  withConnection(describe).action(async (name, options) =>
    (await import('./commands/topic-describe.ts')).topicDescribe(name, options),
  );
  const remove = topic
    .command('delete <name>')
    .description('Delete a topic and all its records')
    .addHelpText('after', examples('topic delete events'));
  withConnection(remove).action(async (name, options) =>
    (await import('./commands/topic-delete.ts')).topicDelete(name, options),
  );
}

function withSending(command: Command): Command {
  return command
    .option(
      '--acks <who>',
      'whose acknowledgement counts: 0 nobody’s, 1 the leader’s, all in-sync replicas’',
      acks,
      'all',
    )
    .addOption(new Option('--compression <codec>', 'how batches are compressed').choices(compressions).default('none'))
    .option('--batch-size <bytes>', 'size at which a partition’s batch is sent', wholeNumber(0))
    .option('--linger <ms>', 'how long a batch waits to fill', wholeNumber(0));
}

function addProduce(program: Command): void {
  const produce = program
    .command('produce <topic>')
    .description('Append one record for each line of a file or of standard input')
    .option('--file <path>', 'read this instead of standard input')
    .option(
      '--key-separator <text>',
      'what comes before its first occurrence in a line is the key (\\t is a tab)',
      escapedText,
    )
    .option('--partition <number>', 'append to this partition only', wholeNumber(0))
    .addHelpText(
      'after',
      `${examples('produce events < lines.txt', 'produce events --file users.tsv --key-separator "\\t" --compression zstd')}

A line is everything up to a newline, byte for byte: an empty line is an empty record, a carriage return is kept, and a last line
without a newline counts. With --output json each acknowledged record is printed as {"topic", "partition", "offset", "timestamp"}.`,
    );
  withConnection(withSending(produce)).action(async (topic, options) =>
    (await import('./commands/produce.ts')).produce(topic, options),
  );
}

function addConsume(program: Command): void {
  const consume = program
    .command('consume <topic>')
    .description('Print records as they arrive')
    .option('--partition <number>', 'read this partition only', wholeNumber(0))
    .addOption(new Option('--from-beginning', 'start at the oldest record instead of the next one').conflicts('offset'))
    .option('--offset <number>', 'start at this offset', offsetNumber)
    .option('--max-messages <number>', 'stop after so many records', wholeNumber(0))
    .option('--exit-at-end', 'stop at what was the end of the log at the start')
    .option('--format <text|json|template>', 'how a record is printed', 'text')
    .addHelpText(
      'after',
      `${examples('consume events --from-beginning', 'consume events --from-beginning --exit-at-end --format json', "consume events --format '%p/%o\\t%k\\t%v\\n'")}

Formats:
  text      the value and a newline, byte for byte
  json      {"topic", "partition", "offset", "timestamp", "key", "value", "headers"}, one object a line; text as a string, what is
            no UTF-8 as {"base64": "…"}, what is absent as null; headers as [{"key", "value"}, …]
  template  %t topic  %p partition  %o offset  %T timestamp in ms  %k key  %v value  %h headers as k=v,k=v  %% a percent sign;
            \\t \\n \\r \\0 \\\\ \\xHH as elsewhere; nothing is added at the end
--output json is the same as --format json.`,
    );
  withConnection(consume).action(async (topic, options) =>
    (await import('./commands/consume.ts')).consume(topic, options),
  );
}

function addBench(program: Command): void {
  const bench = program.command('bench').description('Measure, with the options of Kafka’s perf tools');
  const produce = bench
    .command('produce')
    .description('Append records as fast as asked')
    .requiredOption('--topic <name>', 'an existing topic')
    .option('--num-records <number>', 'how many records', wholeNumber(1), 1_000_000)
    .option('--record-size <bytes>', 'size of each value', wholeNumber(0))
    .option('--payload-file <path>', 'take the values from the lines of this file, at random')
    .option('--throughput <records/s>', 'not faster than this; -1: as fast as possible', wholeNumber(-1), -1)
    .addHelpText('after', examples('bench produce --topic events --num-records 5000000 --record-size 100'));
  withConnection(withSending(produce)).action(async (options) =>
    (await import('./commands/bench-produce.ts')).benchProduce(options),
  );
  const consume = bench
    .command('consume')
    .description('Read records from the beginning, as fast as possible')
    .requiredOption('--topic <name>', 'an existing topic')
    .option('--num-records <number>', 'how many records (default: all that are there)', wholeNumber(1))
    .option('--timeout <ms>', 'give up when nothing arrives for so long', wholeNumber(1), 10_000)
    .addHelpText('after', examples('bench consume --topic events --num-records 5000000'));
  withConnection(consume).action(async (options) =>
    (await import('./commands/bench-consume.ts')).benchConsume(options),
  );
  const latency = bench
    .command('latency')
    .description('Time one record at a time: sent → acknowledged, and sent → read')
    .requiredOption('--topic <name>', 'an existing topic')
    .option('--num-records <number>', 'how many records', wholeNumber(1), 10_000)
    .option('--record-size <bytes>', 'size of each value, at least 8', wholeNumber(8), 100)
    .option(
      '--throughput <records/s>',
      'not faster than this; -1: the next as soon as the last was read',
      wholeNumber(-1),
      -1,
    )
    .option('--acks <who>', 'whose acknowledgement counts: 1 the leader’s, all in-sync replicas’', acks, 'all')
    .addHelpText('after', examples('bench latency --topic events --num-records 10000'));
  withConnection(latency).action(async (options) =>
    (await import('./commands/bench-latency.ts')).benchLatency(options),
  );
}
