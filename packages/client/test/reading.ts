/** Topics filled with numbered records, and reading them back. */
import assert from 'node:assert/strict';
import { encodeBatch } from '@tributary/record';
import type { Consumer } from '../src/consumer.ts';
import { serializers } from '../src/serializers.ts';
import type { FakePartition } from './fake-partition.ts';
import type { World } from './world.ts';

/** Values `0 … count − 1` from where the partition ends, `perBatch` in a batch, timestamps 1000 × offset. */
export function fill(w: World, partition: FakePartition | undefined, count: number, perBatch = 10, size = 0): void {
  assert.ok(partition);
  const until = partition.end + BigInt(count);
  while (partition.end < until) {
    const records = Array.from({ length: Math.min(perBatch, Number(until - partition.end)) }, (_, index) => {
      const at = Number(partition.end) + index;
      return { value: `${at}`.padStart(size), timestamp: at * 1000 };
    });
    partition.append(encodeBatch(records));
  }
  w.cluster.wake();
}

export const textConsumer = (w: World, options = {}): Consumer<Uint8Array, string> =>
  w.client.consumer({ valueDeserializer: serializers.string, ...options });

export async function take(consumer: Consumer<Uint8Array, string>, count: number): Promise<string[]> {
  const values: string[] = [];
  while (values.length < count) {
    const records = await consumer.poll({ maxRecords: Math.min(7, count - values.length), timeoutMs: 30_000 });
    assert.ok(records.length > 0, `only ${values.length} of ${count} came`);
    values.push(...records.map(({ value }) => value?.trim() ?? ''));
  }
  return values;
}

export const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${from + index}`);
