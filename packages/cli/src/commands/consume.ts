/**
 * Prints records as they arrive. Standard output sets the pace: nothing more is fetched while nobody reads it. Ctrl-C ends the command as it ends
 * any other: there is nothing to bring to an end.
 */
import type { Consumer, PartitionRecords, TopicDescription, TopicPartition } from '@tributary/client';
import { TributaryError } from '@tributary/model';
import { open } from '../cluster.ts';
import { UsageError } from '../failure.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { type RecordFormat, recordFormat } from '../record-format.ts';
import { StandardOutput } from '../standard-output.ts';
import { type ValueFormatOptions, valueFormat } from '../value-format.ts';
import { checkPartition, describe } from './produce.ts';

interface ConsumeOptions extends ConnectionOptions, ValueFormatOptions {
  readonly partition?: number;
  readonly fromBeginning?: true;
  readonly offset?: bigint;
  readonly maxMessages?: number;
  readonly exitAtEnd?: true;
  readonly format: string;
}

/** Handed out at once. */
const pollRecords = 5_000;

export async function consume(name: string, options: ConsumeOptions): Promise<void> {
  const format = recordFormat(options.output === 'json' ? 'json' : options.format, await valueFormat(options));
  await using cluster = await open(options);
  const topic = await describe(cluster, name);
  const partitions = partitionsOf(topic, options);
  const position = options.offset ?? (options.fromBeginning ? 'beginning' : 'end');
  await using consumer = cluster.consumer({
    autoOffsetReset: position === 'beginning' ? 'earliest' : position === 'end' ? 'latest' : 'none',
  });
  const ends = options.exitAtEnd ? await endsOf(consumer, partitions) : undefined;
  if (options.offset !== undefined) await checkOffset(consumer, partitions, options.offset);
  await consumer.assign(partitions.map((partition) => ({ ...partition, offset: position })));
  await new Printing(consumer, format, options.maxMessages ?? Number.POSITIVE_INFINITY, ends).run();
}

function partitionsOf(topic: TopicDescription, { partition, offset }: ConsumeOptions): readonly TopicPartition[] {
  if (partition !== undefined) {
    checkPartition(topic, partition);
    return [{ topic: topic.name, partition }];
  }
  if (offset !== undefined && topic.partitions > 1) {
    throw new UsageError(
      `Topic "${topic.name}" has ${topic.partitions} partitions: --offset needs --partition to say of which.`,
    );
  }
  return Array.from({ length: topic.partitions }, (_, index) => ({ topic: topic.name, partition: index }));
}

/** Where each partition ends now. */
async function endsOf(consumer: Consumer, partitions: readonly TopicPartition[]): Promise<Map<number, bigint>> {
  return new Map((await consumer.endOffsets(partitions)).map(({ partition, offset }) => [partition, offset]));
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

class Printing {
  readonly #consumer: Consumer;
  readonly #format: RecordFormat;
  /** Partitions that are not at their end, and where that is; undefined: they have none. */
  readonly #ends: Map<number, bigint> | undefined;
  readonly #output = new StandardOutput();
  #left: number;

  constructor(consumer: Consumer, format: RecordFormat, most: number, ends: Map<number, bigint> | undefined) {
    this.#consumer = consumer;
    this.#format = format;
    this.#left = most;
    this.#ends = ends;
  }

  async run(): Promise<void> {
    await this.#dropFinished();
    while (this.#left > 0 && this.#ends?.size !== 0) {
      const maxRecords = Math.min(pollRecords, this.#left);
      const groups = await this.#consumer.pollGrouped({
        maxRecords,
        timeoutMs: this.#ends === undefined ? Number.POSITIVE_INFINITY : 1_000,
      });
      try {
        for (const group of groups) await this.#print(group);
      } catch (thrown) {
        // A record that cannot be shown: those before it are.
        if (!this.#output.failed) await this.#output.flush();
        throw thrown;
      }
      if (this.#output.failed || this.#output.full) await this.#output.flush();
      else this.#output.push();
      await this.#dropFinished();
    }
    await this.#output.flush();
  }

  async #print({ partition, records }: PartitionRecords<Uint8Array, Uint8Array>): Promise<void> {
    const end = this.#ends?.get(partition);
    if (this.#ends !== undefined && end === undefined) return;
    for (const record of records) {
      if (end !== undefined && record.offset >= end) return;
      this.#format(record, this.#output);
      this.#left--;
      if (this.#output.full) await this.#output.flush();
    }
  }

  /** By position, not by record: the last offsets before the end may hold nothing that is handed out. */
  async #dropFinished(): Promise<void> {
    if (this.#ends === undefined) return;
    for (const { topic, partition } of this.#consumer.assignment) {
      const end = this.#ends.get(partition);
      if (end !== undefined && (await this.#consumer.position({ topic, partition })) >= end)
        this.#ends.delete(partition);
    }
  }
}
