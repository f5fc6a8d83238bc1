/** `tributary bench …`. */
import { limits } from '@tributary/model';
import type { Command } from 'commander';
import { acks, wholeNumber } from '../option-values.ts';
import { examples, withConnection, withSending } from './options.ts';

export function addBench(program: Command): void {
  const bench = program
    .command('bench')
    .description('Measure, with the options of Kafka’s perf tools')
    .addHelpText(
      'after',
      examples('bench produce --topic events --num-records 1000000 --record-size 100', 'bench consume --topic events'),
    );
  const produce = bench
    .command('produce')
    .description('Append records as fast as asked')
    .requiredOption('--topic <name>', 'an existing topic')
    .option('--num-records <number>', 'how many records', wholeNumber(1), 1_000_000)
    .option('--record-size <bytes>', 'size of each value', wholeNumber(0, limits.batchBytesMax))
    .option('--payload-file <path>', 'take the values from the lines of this file, at random')
    .option('--throughput <records/s>', 'not faster than this; -1: as fast as possible', wholeNumber(-1), -1)
    .addHelpText('after', examples('bench produce --topic events --num-records 5000000 --record-size 100'));
  withConnection(withSending(produce)).action(async (options) =>
    (await import('../commands/bench-produce.ts')).benchProduce(options),
  );
  const consume = bench
    .command('consume')
    .description('Read records from the beginning, as fast as possible')
    .requiredOption('--topic <name>', 'an existing topic')
    .option('--num-records <number>', 'how many records (default: all that are there)', wholeNumber(1))
    .option('--timeout <ms>', 'give up when nothing arrives for so long', wholeNumber(1), 10_000)
    .addHelpText('after', examples('bench consume --topic events --num-records 5000000'));
  withConnection(consume).action(async (options) =>
    (await import('../commands/bench-consume.ts')).benchConsume(options),
  );
  const latency = bench
    .command('latency')
    .description('Time one record at a time: sent → acknowledged, and sent → read')
    .requiredOption('--topic <name>', 'an existing topic')
    .option('--num-records <number>', 'how many records', wholeNumber(1), 10_000)
    .option('--record-size <bytes>', 'size of each value, at least 8', wholeNumber(8, limits.batchBytesMax), 100)
    .option(
      '--throughput <records/s>',
      'not faster than this; -1: the next as soon as the last was read',
      wholeNumber(-1),
      -1,
    )
    .option('--acks <who>', 'whose acknowledgement counts: 1 the leader’s, all in-sync replicas’', acks, 'all')
    .addHelpText('after', examples('bench latency --topic events --num-records 10000'));
  withConnection(latency).action(async (options) =>
    (await import('../commands/bench-latency.ts')).benchLatency(options),
  );
}
