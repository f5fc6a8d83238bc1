import type { FoundOffset, OffsetQuestion, Tributary } from '@tributary/client';
import { open } from '../cluster.ts';
import { count } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { table } from '../table.ts';

interface PartitionOffsetsOptions extends ConnectionOptions {
  readonly partition?: number;
  readonly spec?: 'earliest' | 'latest' | 'max-timestamp';
  /** Milliseconds since 1970. */
  readonly timestamp?: number;
}

const kinds = { earliest: 'beginning', latest: 'end', 'max-timestamp': 'newest' } as const;

export async function partitionOffsets(topic: string, options: PartitionOffsetsOptions): Promise<void> {
  await using cluster = await open(options);
  const { partition, spec, timestamp } = options;
  const partitions =
    partition === undefined
      ? (await cluster.admin.describeTopic(topic)).partitionDescriptions.map((each) => each.partition)
      : [partition];
  if (spec === undefined && timestamp === undefined) {
    await printRange(cluster, topic, partitions, options);
    return;
  }
  const wanted: OffsetQuestion['wanted'] =
    timestamp !== undefined ? { kind: 'time', timestampMs: timestamp } : { kind: kinds[spec ?? 'latest'] };
  const found = await ask(cluster, topic, partitions, wanted);
  if (options.output === 'json') {
    const rows = partitions.map((each, i) => ({
      partition: each,
      offset: found[i] === undefined ? null : Number(found[i].offset),
      timestamp: found[i]?.timestampMs ?? null,
    }));
    await print(JSON.stringify(rows));
    return;
  }
  const rows = partitions.map((each, i) => [
    each,
    found[i] === undefined ? 'no such record' : String(found[i].offset),
    found[i]?.timestampMs === undefined ? '' : new Date(found[i].timestampMs).toISOString(),
  ]);
  await print(table(['partition', 'offset', 'timestamp'], rows));
}

async function printRange(
  cluster: Tributary,
  topic: string,
  partitions: readonly number[],
  { output }: ConnectionOptions,
): Promise<void> {
  const first = await ask(cluster, topic, partitions, { kind: 'beginning' });
  const end = await ask(cluster, topic, partitions, { kind: 'end' });
  const ranges = partitions.map((partition, i) => {
    return { partition, earliest: first[i]?.offset ?? 0n, latest: end[i]?.offset ?? 0n };
  });
  if (output === 'json') {
    const rows = ranges.map(({ partition, earliest, latest }) => {
      return { partition, earliest: Number(earliest), latest: Number(latest) };
    });
    await print(JSON.stringify(rows));
    return;
  }
  const rows = ranges.map(({ partition, earliest, latest }) => {
    return [partition, String(earliest), String(latest), count(latest - earliest)];
  });
  await print(table(['partition', 'earliest', 'latest', 'offsets'], rows));
}

async function ask(
  { admin }: Tributary,
  topic: string,
  partitions: readonly number[],
  wanted: OffsetQuestion['wanted'],
): Promise<readonly (FoundOffset | undefined)[]> {
  return await admin.listOffsets(partitions.map((partition) => ({ topic, partition, wanted })));
}
