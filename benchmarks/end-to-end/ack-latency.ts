/**
 * Time from a send to its acknowledgement, one record at a time and nothing beside it, as AckLatency.java measures the peer:
 *
 *     node benchmarks/end-to-end/ack-latency.ts BOOTSTRAP TOPIC RECORDS BYTES
 */
import { connect } from '@tributary/client';
import { quantile } from '../report.ts';

const warmUp = 5_000;

const [bootstrap = '', topic = '', records, bytes] = process.argv.slice(2);
await using cluster = await connect({ bootstrap });
await using producer = cluster.producer({ acks: 'all', lingerMs: 0 });
const value = new Uint8Array(Number(bytes));
const times: number[] = [];
for (let i = -warmUp; i < Number(records); i++) {
  const begin = performance.now();
  await producer.send({ topic, partition: 0, value });
  if (i >= 0) times.push(performance.now() - begin);
}
times.sort((a, b) => a - b);
process.stdout.write(`${JSON.stringify({ p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) })}\n`);
