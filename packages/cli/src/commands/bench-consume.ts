/** Reads records from the beginning, as fast as they come. The latencies are those of single polls: how long the reader waited for the next records. */
import type { Consumer, TopicDescription } from '@tributary/client';
import { inWords, Latencies, rounded } from '../bench/latencies.ts';
import { open } from '../cluster.ts';
import { mebibytes, perSecond } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { describe } from './produce.ts';

interface BenchConsumeOptions extends ConnectionOptions {
  readonly topic: string;
  readonly numRecords?: number;
  readonly timeout: number;
}

/** Handed out at once. */
const pollRecords = 10_000;

export async function benchConsume(options: BenchConsumeOptions): Promise<void> {
  await using cluster = await open(options);
  const topic = await describe(cluster, options.topic);
  await using consumer = cluster.consumer({ autoOffsetReset: 'earliest' });
  const wanted = options.numRecords ?? (await recordsIn(consumer, topic));
  if (wanted === 0) throw new Error(`Topic "${topic.name}" is empty: there is nothing to read.`);
  const polls = new Latencies();
  let records = 0;
  let bytes = 0;
  let firstMs = 0;
  const began = performance.now();
  await consumer.assign([{ topic: topic.name, offset: 'beginning' }]);
  while (records < wanted) {
    const asked = performance.now();
    const groups = await consumer.pollGrouped({
      maxRecords: Math.min(pollRecords, wanted - records),
      timeoutMs: options.timeout,
    });
    polls.record(performance.now() - asked);
    if (groups.length === 0)
      throw new Error(`Nothing arrived for ${options.timeout} ms: ${records} of ${wanted} records were read.`);
    if (records === 0) firstMs = performance.now() - began;
    for (const group of groups) {
      records += group.records.length;
      for (const record of group.records) bytes += record.keySize + record.valueSize;
    }
  }
  const ms = performance.now() - began;
  const recordsPerSecond = perSecond(records, ms);
  const mebibytesPerSecond = mebibytes(perSecond(bytes, ms));
  const percentiles = polls.percentiles();
  if (options.output === 'json') {
    await print(
      JSON.stringify({
        records,
        bytes,
        ms,
        recordsPerSecond,
        mebibytesPerSecond,
        firstRecordMs: firstMs,
        polls: polls.count,
        pollMs: rounded(percentiles),
      }),
    );
    return;
  }
  const rates = `${recordsPerSecond.toFixed(1)} records/sec (${mebibytesPerSecond.toFixed(2)} MiB/sec)`;
  await print(
    `${records} records read, ${rates}, first record after ${firstMs.toFixed(1)} ms; ${polls.count} polls: ${inWords(percentiles)}.`,
  );
}

/** Offsets in use: with gaps in them, more than there are records, so the timeout then ends the reading. */
async function recordsIn(consumer: Consumer, { name, partitions }: TopicDescription): Promise<number> {
  const all = Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition }));
  const begins = await consumer.beginningOffsets(all);
  const ends = await consumer.endOffsets(all);
  return ends.reduce((sum, { offset }, index) => sum + Number(offset - (begins[index]?.offset ?? offset)), 0);
}
