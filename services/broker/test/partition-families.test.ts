import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokerEpoch, leaderEpoch, millis, nodeId, offset, partitionEpoch } from '@tributary/model';
import { Leadership } from '../src/partition/leadership.ts';
import type { Partition } from '../src/partition/partition.ts';
import { replicationLag, replicationTotals } from '../src/partition-families.ts';

const [one, two, three] = [nodeId(1), nodeId(2), nodeId(3)];

function led(
  isr: readonly (typeof one)[],
  minIsr: number,
): { readonly partition: Partition; readonly leadership: Leadership } {
  const term = { epoch: leaderEpoch(4), partitionEpoch: partitionEpoch(1), isr, replicas: [one, two, three], minIsr };
  const leadership = new Leadership(one, term, offset(10n), millis(0));
  const log = { startOffset: offset(5n), endOffset: offset(30n) };
  return { leadership, partition: { log, state: { leadership } } as unknown as Partition };
}

const followed = { partition: { state: {} } as unknown as Partition };

test('partitions below their replicas and below min.insync.replicas are counted where they are led, and nowhere else', () => {
  const all = [led([one, two, three], 2), led([one, two], 2), led([one], 2), followed];
  assert.deepEqual(replicationTotals(all), { replicas: 4, led: 3, underReplicated: 2, underMinIsr: 1 });
});

test('a follower lags by what it has not acknowledged in this epoch; one that said nothing yet, by all of the log', () => {
  const { partition, leadership } = led([one, two], 2);
  leadership.attach({ node: two, brokerEpoch: brokerEpoch(2n), attachment: 1 });
  leadership.acknowledge(two, 1, offset(28n), offset(5n), offset(30n), millis(1));
  assert.deepEqual(
    [...replicationLag(partition)],
    [
      { replica: two, records: 2 },
      { replica: three, records: 25 },
    ],
  );
  leadership.acknowledge(two, 1, offset(31n), offset(5n), offset(31n), millis(2));
  assert.equal([...replicationLag(partition)][0]?.records, 0);
});
