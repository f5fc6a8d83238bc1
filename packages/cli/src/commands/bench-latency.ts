/**
 * One record at a time through partition 0, with nothing else on its way: from `send` to the acknowledgement, and from `send` to having read it. The
 * first tenth, up to a thousand, warms up both ends and does not count.
 */
import { randomFillSync } from 'node:crypto';
import type { Consumer } from '@tributary/client';
import { inWords, Latencies, rounded } from '../bench/latencies.ts';
import { Pace } from '../bench/pace.ts';
import { open } from '../cluster.ts';
import { UsageError } from '../failure.ts';
import type { AcksOption } from '../option-values.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { print } from '../standard-output.ts';
import { describe } from './produce.ts';

interface BenchLatencyOptions extends ConnectionOptions {
  readonly topic: string;
  readonly numRecords: number;
  readonly recordSize: number;
  readonly throughput: number;
  readonly acks: AcksOption;
}

const warmUpMost = 1_000;
/** A record that is not read back after this, ms, is lost. */
const readMsMost = 30_000;

export async function benchLatency(options: BenchLatencyOptions): Promise<void> {
  const { numRecords, recordSize, throughput, acks } = options;
  if (acks === 0) throw new UsageError('With --acks 0 nothing is acknowledged: allowed is 1 or all.');
  await using cluster = await open(options);
  const topic = await describe(cluster, options.topic);
  await using producer = cluster.producer({ acks, lingerMs: 0 });
  await using consumer = cluster.consumer({ autoOffsetReset: 'latest' });
  const place = { topic: topic.name, partition: 0 };
  await consumer.assign([{ ...place, offset: 'end' }]);
  await consumer.position(place);
  const acknowledged = new Latencies();
  const endToEnd = new Latencies();
  const pace = new Pace(throughput);
  const warmUp = Math.min(warmUpMost, Math.floor(numRecords / 10));
  const value = Buffer.alloc(recordSize, 'x');
  for (let index = -warmUp; index < numRecords; index++) {
    randomFillSync(value, 0, 8);
    const arrival = readBack(consumer, value);
    const sentAt = performance.now();
    const delivery = producer.send({ ...place, value }).then(() => performance.now());
    const [acknowledgedAt, readAt] = await Promise.all([delivery, arrival]);
    if (index >= 0) {
      acknowledged.record(acknowledgedAt - sentAt);
      endToEnd.record(readAt - sentAt);
    }
    const early = pace.turn();
    if (early !== undefined) await early;
  }
  const [ack, both] = [acknowledged.percentiles(), endToEnd.percentiles()];
  if (options.output === 'json') {
    await print(
      JSON.stringify({ records: numRecords, recordSize, acknowledgedMs: rounded(ack), endToEndMs: rounded(both) }),
    );
  } else {
    await print(
      `${numRecords} records of ${recordSize} bytes, one at a time.\nsent → acknowledged: ${inWords(ack)}.\nsent → read:         ${inWords(both)}.`,
    );
  }
}

/** Waits for the record with this value, past any that others write. @returns when it was there. */
async function readBack(consumer: Consumer, value: Buffer): Promise<number> {
  const until = performance.now() + readMsMost;
  while (performance.now() < until) {
    const records = await consumer.poll({ timeoutMs: readMsMost });
    const now = performance.now();
    for (const record of records) if (record.value !== null && value.equals(record.value)) return now;
  }
  throw new Error(`A record was not read back within ${readMsMost} ms.`);
}
