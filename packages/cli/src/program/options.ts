/** What commands share: options, and how examples are shown. */
import { type Command, Option } from 'commander';
import { acks, keyValue, names, wholeNumber } from '../option-values.ts';
import { widthOf } from '../terminal.ts';
import { wrapped } from '../wrapping.ts';

/** What every command takes. */
export interface OutputOption {
  readonly output: 'text' | 'json';
}

export interface ConnectionOptions extends OutputOption {
  readonly bootstrap: string;
}

const defaultBootstrap = '127.0.0.1:9095';
const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ tributary ${line}`).join('\n')}`;
}

export function withOutput(command: Command): Command {
  return command.addOption(
    new Option('--output <format>', 'text for people, json for programs').choices(['text', 'json']).default('text'),
  );
}

export function withConnection(command: Command): Command {
  const bootstrap = new Option('--bootstrap <host:port>', 'any broker of the cluster')
    .env('TRIBUTARY_BOOTSTRAP')
    .default(defaultBootstrap);
  return withOutput(command.addOption(bootstrap));
}

/** What changes settings has these; each may be repeated. */
export function withSettings(command: Command): Command {
  return command
    .option('--set <key=value>', 'give a setting, by Kafka’s name, this value; may be repeated', keyValue)
    .option('--append <key=words>', 'add words to a setting that is a list; may be repeated', keyValue)
    .option('--subtract <key=words>', 'take words from a setting that is a list; may be repeated', keyValue)
    .option('--delete <key>', 'give a setting back to its default; may be repeated', names)
    .option('--dry-run', 'check and say what would change, with the records and bytes that would go; change nothing');
}

export function withSending(command: Command): Command {
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

export function withValueFormat(command: Command): Command {
  return command
    .addOption(
      new Option('--value-format <format>', 'what values are: text (bytes as they are), or avro with --value-schema')
        .choices(['text', 'avro'])
        .default('text'),
    )
    .option('--value-schema <file>', 'the Avro schema (.avsc) with which values are written');
}

/** Of help that goes into a pipe or a file. */
const helpColumns = 100;

/** Columns of help text. */
export const helpWidth = (): number => widthOf(process.stdout) ?? helpColumns;

/** A paragraph below the examples, as wide as the terminal. */
export function prose(text: string): () => string {
  return () => `\n${wrapped(text, helpWidth())}`;
}
