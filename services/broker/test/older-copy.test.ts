import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BrokerStatus, ClusterImage, type RegistrationInfo, type Value } from '@tributary/metadata';
import { directoryId, type IncarnationId, incarnationId, leaderEpoch, nodeId, topicId } from '@tributary/model';
import { aPartition, aRegistration, aStatus, aTopic } from '../../../packages/metadata/test/samples.ts';
import type { Identity } from '../src/log/identity.ts';
import { refuseOlderEpochs, settleOlderCopy } from '../src/older-copy.ts';
import type { Partition } from '../src/partition/partition.ts';
import { testRandom } from './log/harness.ts';

const me = nodeId(1);
const mine = directoryId('directory-1');
const [first, second, third] = ['first', 'second', 'third'].map(incarnationId);

const imageOf = (...values: readonly Value[]): ClusterImage =>
  ClusterImage.empty.apply(
    5n,
    values.map((value) => ({ kind: 'put', value, createRevision: 3n, modRevision: 3n })),
  ).image;

const registered = (as: Partial<RegistrationInfo>): Value => ({ kind: 'registration', value: aRegistration(me, as) });
const admitted = (as: Partial<BrokerStatus>): Value => ({ kind: 'broker-status', value: aStatus(me, 3n, as) });

/** @returns what was logged, and whether the directory became another one. */
async function settle(image: ClusterImage, incarnations: readonly (IncarnationId | undefined)[]) {
  let isAnother = false;
  const identity = {
    directoryId: mine,
    incarnations: incarnations.filter((each) => each !== undefined),
    becomeAnother: async () => void (isAnother = true),
  } as unknown as Identity;
  const said: string[] = [];
  const logger = {
    info: () => undefined,
    warn: (event: string) => void said.push(event),
    error: () => undefined,
  };
  await settleOlderCopy(image, me, { root: '/data', identity }, { random: testRandom(), logger });
  return { isAnother, said };
}

const same = (id: IncarnationId | undefined) => ({
  directoryId: mine,
  ...(id !== undefined && { incarnationId: id }),
});

test('R6: a directory that metadata knows from a start that it does not know itself is an older copy, and counts as new', async () => {
  const { isAnother, said } = await settle(imageOf(admitted(same(second))), [first]);
  assert.equal(isAnother, true);
  assert.deepEqual(said, ['older-copy-put-aside']);
});

test('R6: it is none where metadata knows it from its last start, from one whose answer was lost, from one before that, or not at all', async () => {
  const images = [
    imageOf(),
    imageOf(admitted(same(first))),
    imageOf(admitted(same(first)), registered(same(third))),
    imageOf(admitted(same(first)), registered(same(second))),
    imageOf(admitted({ directoryId: directoryId('other'), incarnationId: incarnationId('stranger') })),
  ];
  for (const image of images) {
    const { isAnother } = await settle(image, [first, second, third]);
    assert.equal(isAnother, false);
  }
});

test('R6: while the broker that went on from there is registered, its older copy is refused and left as it is', async () => {
  const image = imageOf(admitted(same(first)), registered(same(third)));
  await assert.rejects(settle(image, [first, second]), {
    error: 'DUPLICATE_BROKER_REGISTRATION',
    message: /\/data is an older copy of the one of the running broker 1 at .*stop that broker first/,
  });
});

test('M6: a log with records of a leader that metadata has not elected yet stops the broker', () => {
  const topic = topicId('t');
  const image = imageOf(
    { kind: 'topic', value: aTopic(topic) },
    { kind: 'partition', value: aPartition(topic, 0, { leaderEpoch: leaderEpoch(4) }) },
  );
  const { topicId: id, partition } = aPartition(topic, 0);
  const holding = (latestEpoch: number | undefined) => ({
    *open() {
      const held = { log: { latestEpoch }, state: { name: 'orders-0' } } as unknown as Partition;
      yield { name: { topicId: id, partition }, partition: held };
    },
  });
  for (const epoch of [undefined, 3, 4]) refuseOlderEpochs(image, holding(epoch));
  assert.throws(() => refuseOlderEpochs(image, holding(5)), {
    error: 'KAFKA_STORAGE_ERROR',
    message: /orders-0 has records of leader epoch 5, and metadata is at epoch 4: .*restored from a backup/,
  });
});
