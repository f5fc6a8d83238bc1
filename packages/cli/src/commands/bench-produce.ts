/**
 * Appends records as fast as asked, or as fast as the cluster takes them. Timing each of millions of records would slow down what is measured: at
 * full speed one record of sixteen is timed, from `send` to its acknowledgement; at a chosen throughput every one. One more
 * record goes before all others and does not count.
 */
import type { DeliveryFailure } from '@tributary/client';
import { inWords, Latencies, rounded } from '../bench/latencies.ts';
import { Pace } from '../bench/pace.ts';
import { filePayloads, randomPayloads } from '../bench/payloads.ts';
import { open } from '../cluster.ts';
import { say, UsageError } from '../failure.ts';
import { count, counted, mebibytes, perSecond } from '../figures.ts';
import { print } from '../standard-output.ts';
import { describe, producerOptions, type SendingOptions } from './produce.ts';

interface BenchProduceOptions extends SendingOptions {
  readonly topic: string;
  readonly numRecords: number;
  readonly recordSize?: number;
  readonly payloadFile?: string;
  readonly throughput: number;
}

const timedOneIn = 16;
const recordSizeDefault = 100;
/** An interim result on standard error, ms, as Kafka's tool has it. */
const interimMs = 5_000;

export async function benchProduce(options: BenchProduceOptions): Promise<void> {
  const { numRecords, recordSize, payloadFile, throughput } = options;
  if (recordSize !== undefined && payloadFile !== undefined)
    throw new UsageError('--record-size and --payload-file exclude each other.');
  const payloads =
    payloadFile === undefined ? randomPayloads(recordSize ?? recordSizeDefault) : await filePayloads(payloadFile);
  await using cluster = await open(options);
  const topic = await describe(cluster, options.topic);
  let failure: DeliveryFailure | undefined;
  const producer = cluster.producer({
    ...producerOptions(options, topic),
    onError: (each) => {
      failure ??= each;
    },
  });
  const pace = new Pace(throughput);
  const latencies = new Latencies();
  const timed = throughput > 0 ? 1 : timedOneIn;
  // Finding the partitions and their leaders is not what is measured, and records would pile up for it.
  await producer.send({ topic: topic.name, value: payloads[0] ?? null });
  const began = performance.now();
  let bytes = 0;
  let interimAt = began + interimMs;
  let interimCount = 0;
  for (let sent = 0; sent < numRecords; sent++) {
    const value = payloads[sent % payloads.length] ?? null;
    const record = { topic: topic.name, value };
    if (sent % timed === 0) {
      const sentAt = performance.now();
      producer.send(record).then(
        () => latencies.record(performance.now() - sentAt),
        () => undefined,
      );
      if (sentAt > interimAt) {
        say(
          `${counted(sent, 'record')} sent, ${count(perSecond(sent - interimCount, sentAt - interimAt + interimMs))} records/s, ${inWords(latencies.percentiles())}`,
        );
        interimAt = sentAt + interimMs;
        interimCount = sent;
      }
    } else {
      producer.send(record);
    }
    bytes += value?.length ?? 0;
    const full = producer.ready() ?? pace.turn();
    if (full !== undefined) await full;
    if (failure !== undefined) break;
  }
  await producer.close().catch((thrown: unknown) => {
    if (failure === undefined) throw thrown;
  });
  if (failure !== undefined) throw failure.error;
  await printResult(options, performance.now() - began, bytes, latencies);
}

async function printResult(
  { numRecords, output, throughput }: BenchProduceOptions,
  ms: number,
  bytes: number,
  latencies: Latencies,
): Promise<void> {
  const recordsPerSecond = perSecond(numRecords, ms);
  const mebibytesPerSecond = mebibytes(perSecond(bytes, ms));
  const percentiles = latencies.percentiles();
  if (output === 'json') {
    const result = {
      records: numRecords,
      bytes,
      ms,
      recordsPerSecond,
      mebibytesPerSecond,
      timedRecords: latencies.count,
      latencyMs: rounded(percentiles),
    };
    await print(JSON.stringify(result));
    return;
  }
  const timed = throughput > 0 ? '' : ` (one record in ${timedOneIn} timed)`;
  await print(
    `${numRecords} records sent, ${recordsPerSecond.toFixed(1)} records/sec (${mebibytesPerSecond.toFixed(2)} MiB/sec), ${inWords(percentiles)}${timed}.`,
  );
}
