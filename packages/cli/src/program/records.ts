/** `tributary produce` and `tributary consume`. */
import { type Command, Option } from 'commander';
import { escapedText, offsetNumber, wholeNumber } from '../option-values.ts';
import { examples, prose, withConnection, withSending, withValueFormat } from './options.ts';

export function addProduce(program: Command): void {
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
      examples(
        'produce events < lines.txt',
        'produce events --file users.tsv --key-separator "\\t" --compression zstd',
        'produce users --value-format avro --value-schema user.avsc < users.jsonl',
      ),
    )
    .addHelpText(
      'after',
      prose(
        'A line is everything up to a newline, byte for byte: an empty line is an empty record, a carriage return is kept, and a last line without a newline counts.',
      ),
    )
    .addHelpText(
      'after',
      prose(
        'With --value-format avro a line (or what comes after the key) is one JSON value that is written as the schema says: a long as a number with all its digits, bytes and fixed as a string of characters up to U+00FF, a decimal as "12.50", times as "2026-01-31T12:00:00.000Z", "2026-01-31" and "12:00:00.000", a branch of a union as {"branch": value} where the value alone does not tell. Fields with a default may be left out.',
      ),
    )
    .addHelpText(
      'after',
      prose('With --output json each acknowledged record is printed as {"topic", "partition", "offset", "timestamp"}.'),
    );
  withConnection(withSending(withValueFormat(produce))).action(async (topic, options) =>
    (await import('../commands/produce.ts')).produce(topic, options),
  );
}

export function addConsume(program: Command): void {
  const consume = program
    .command('consume [topics...]')
    .description('Print records as they arrive')
    .option(
      '--group <id>',
      'as a member of this consumer group: it shares the partitions out, and goes on from what is committed',
    )
    .option('--group-instance-id <name>', 'with --group: who comes back under this name soon gets its partitions back')
    .option(
      '--pattern <regexp>',
      'with --group: also all topics whose whole name matches, those that are created later too',
    )
    .option('--partition <number>', 'read this partition only', wholeNumber(0))
    .addOption(
      new Option(
        '--from-beginning',
        'start at the oldest record instead of the next one; with --group: where nothing is committed',
      ).conflicts('offset'),
    )
    .option('--offset <number>', 'start at this offset', offsetNumber)
    .option('--max-messages <number>', 'stop after so many records', wholeNumber(0))
    .option(
      '--exit-at-end',
      'stop at what was the end of the log at the start; with --group: of the partitions that it was given',
    )
    .option('--format <text|json|template>', 'how a record is printed', 'text')
    .addHelpText(
      'after',
      `${examples('consume events --from-beginning', 'consume events --from-beginning --exit-at-end --format json', "consume events --format '%p/%o\\t%k\\t%v\\n'", 'consume users --from-beginning --value-format avro --value-schema user.avsc', 'consume events payments --group billing --from-beginning', "consume --group audit --pattern 'events-.*'")}

Formats:
  text      the value and a newline, byte for byte
  json      {"topic", "partition", "offset", "timestamp", "key", "value", "headers"}, one object a line; text as a string, what is
            no UTF-8 as {"base64": "…"}, what is absent as null; headers as [{"key", "value"}, …]
  template  %t topic  %p partition  %o offset  %T timestamp in ms  %k key  %v value  %h headers as k=v,k=v  %% a percent sign;
            \\t \\n \\r \\0 \\\\ \\xHH as elsewhere; nothing is added at the end
--output json is the same as --format json. With --value-format avro a value is shown as JSON.
With --group Ctrl-C commits what was printed and leaves the group; it is committed every 5 s, too.`,
    );
  withValueFormat(consume).option('--reader-schema <file>', 'another Avro schema, as which values are read');
  withConnection(consume).action(async (topics, options) =>
    (await import('../commands/consume.ts')).consume(topics, options),
  );
}
