/**
 * Prints records as they arrive. Without a group, Ctrl-C ends the command as it ends any other: there is nothing to bring to an end.
 */
import type { Consumer, TopicDescription, TopicPartition } from '@tributary/client';
import { TributaryError } from '@tributary/model';
import { open } from '../cluster.ts';
import { UsageError } from '../failure.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { recordFormat } from '../record-format.ts';
import { placeOf, RecordPrinter } from '../record-printer.ts';
import { type ValueFormatOptions, valueFormat } from '../value-format.ts';
import { consumeInGroup } from './consume-group.ts';
import { checkPartition, describe } from './produce.ts';

export interface ConsumeOptions extends ConnectionOptions, ValueFormatOptions {
  readonly group?: string;
  readonly groupInstanceId?: string;
  readonly pattern?: string;
  readonly partition?: number;
  readonly fromBeginning?: true;
  readonly offset?: bigint;
  readonly maxMessages?: number;
  readonly exitAtEnd?: true;
  readonly format: string;
}

const see = 'See: tributary consume --help';

export async function consume(names: readonly string[], options: ConsumeOptions): Promise<void> {
  if (names.length === 0 && options.pattern === undefined) throw new UsageError(`Of which topic? ${see}`);
  const format = recordFormat(options.output === 'json' ? 'json' : options.format, await valueFormat(options));
  const printer = new RecordPrinter(format, options.maxMessages ?? Number.POSITIVE_INFINITY);
  if (options.group !== undefined) {
    await consumeInGroup(names, options.group, options, printer);
    return;
  }
  if (options.pattern !== undefined || options.groupInstanceId !== undefined)
    throw new UsageError(
      `--${options.pattern === undefined ? 'group-instance-id' : 'pattern'} needs --group: groups subscribe. ${see}`,
    );
  await using cluster = await open(options);
  const topics: TopicDescription[] = [];
  for (const name of names) topics.push(await describe(cluster, name));
  const partitions = partitionsOf(topics, options);
  const position = options.offset ?? (options.fromBeginning ? 'beginning' : 'end');
  await using consumer = cluster.consumer({
    autoOffsetReset: position === 'beginning' ? 'earliest' : position === 'end' ? 'latest' : 'none',
  });
  const ends = options.exitAtEnd ? await endsOf(consumer, partitions) : undefined;
  if (options.offset !== undefined) await checkOffset(consumer, partitions, options.offset);
  await consumer.assign(partitions.map((partition) => ({ ...partition, offset: position })));
  await run(consumer, printer, ends);
}

/** @param ends of partitions that are not at their end, and where that is; undefined: they have none. */
async function run(consumer: Consumer, printer: RecordPrinter, ends: Map<string, bigint> | undefined): Promise<void> {
  await dropFinished(consumer, ends);
  const timeoutMs = ends === undefined ? Number.POSITIVE_INFINITY : 1_000;
  while (!printer.done && ends?.size !== 0) {
    await printer.print(await consumer.pollGrouped({ maxRecords: printer.wanted, timeoutMs }), ends);
    await dropFinished(consumer, ends);
  }
  await printer.flush();
}

/** By position, not by record: the last offsets before the end may hold nothing that is handed out. */
async function dropFinished(consumer: Consumer, ends: Map<string, bigint> | undefined): Promise<void> {
  if (ends === undefined) return;
  for (const partition of consumer.assignment) {
    const end = ends.get(placeOf(partition));
    if (end !== undefined && (await consumer.position(partition)) >= end) ends.delete(placeOf(partition));
  }
}

function partitionsOf(
  topics: readonly TopicDescription[],
  { partition, offset }: ConsumeOptions,
): readonly TopicPartition[] {
  const [topic, ...others] = topics;
  if (partition !== undefined && topic !== undefined) {
    if (others.length > 0) throw new UsageError(`--partition is of one topic, and ${topics.length} are named. ${see}`);
    checkPartition(topic, partition);
    return [{ topic: topic.name, partition }];
  }
  const all = topics.flatMap(({ name, partitions }) =>
    Array.from({ length: partitions }, (_, index) => ({ topic: name, partition: index })),
  );
  if (offset === undefined || all.length <= 1 || topic === undefined) return all;
  throw new UsageError(
    others.length > 0
      ? `--offset is of one partition of one topic, and ${topics.length} topics are named. ${see}`
      : `Topic "${topic.name}" has ${topic.partitions} partitions: --offset needs --partition to say of which.`,
  );
}

/** Where each partition ends now. */
async function endsOf(consumer: Consumer, partitions: readonly TopicPartition[]): Promise<Map<string, bigint>> {
  return new Map((await consumer.endOffsets(partitions)).map((each) => [placeOf(each), each.offset]));
}

async function checkOffset(consumer: Consumer, partitions: readonly TopicPartition[], wanted: bigint): Promise<void> {
  const [begin] = await consumer.beginningOffsets(partitions);
  const [end] = await consumer.endOffsets(partitions);
  if (begin === undefined || end === undefined || (wanted >= begin.offset && wanted <= end.offset)) return;
  const range = `it has ${begin.offset === end.offset ? 'none' : `${begin.offset} to ${end.offset - 1n}`}, the next one will be ${end.offset}`;
  throw new TributaryError(
    'OFFSET_OUT_OF_RANGE',
    `Partition ${begin.partition} of "${begin.topic}" has no offset ${wanted}: ${range}.`,
  );
}
