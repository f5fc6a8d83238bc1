import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConsumerOptions } from '../../src/consumer-options.ts';
import { fill, numbers, take, textConsumer } from '../reading.ts';
import { failsWith } from '../fails-with.ts';
import { type World, world } from '../world.ts';
import { FakeCoordinator } from './fake-coordinator.ts';

async function scene(options: Partial<ConsumerOptions> = {}, brokers: readonly string[] = ['a:1']) {
  const w = await world({ brokers });
  const coordinator = new FakeCoordinator(w);
  const { partitions } = w.cluster.createTopic('t', 3);
  for (const partition of partitions) fill(w, partition, 100);
  const consumer = textConsumer(w, { groupId: 'g', autoOffsetReset: 'earliest', ...options });
  return { w, coordinator, consumer, [Symbol.asyncDispose]: async () => await w[Symbol.asyncDispose]() };
}

const passed = async (w: World): Promise<void> => await w.pass(50);

test('reads what it is given from where the group has committed; what stays goes on while others come and go (G5)', async () => {
  await using s = await scene();
  s.coordinator.offsets.set(`${s.w.cluster.topics.get('t')?.id}/0`, 90n);
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.give('t', [0]);
  assert.deepEqual(await take(s.consumer, 10), numbers(90, 100));
  s.coordinator.give('t', [0, 1]);
  assert.deepEqual(await take(s.consumer, 100), numbers(0, 100));
  const { fetched } = s.w.cluster;
  s.coordinator.give('t', [0]);
  assert.deepEqual(await s.consumer.poll({ timeoutMs: 50 }), []);
  assert.deepEqual(s.consumer.assignment, [{ topic: 't', partition: 0 }]);
  fill(s.w, s.w.cluster.partition('t', 0), 5);
  assert.deepEqual(await take(s.consumer, 5), numbers(100, 105));
  assert.ok(s.w.cluster.fetched - fetched < 400, 'nothing was fetched again');
  assert.deepEqual(s.coordinator.log.slice(0, 3), ['joined t', 'applied 1', 'applied 2']);
});

test('giving up: committed up to what the application came back from, then told, then said to be applied; nothing more of it is handed out', async () => {
  await using s = await scene();
  const { log } = s.coordinator;
  await s.consumer.subscribe({
    topics: ['t'],
    onAssigned: (partitions) => void log.push(`assigned ${partitions.map(({ partition }) => partition).join()}`),
    onRevoked: (partitions) => void log.push(`revoked ${partitions.map(({ partition }) => partition).join()}`),
  });
  s.coordinator.give('t', [0]);
  assert.equal((await s.consumer.poll({ maxRecords: 7, timeoutMs: 1_000 })).length, 7);
  s.coordinator.give('t', []);
  await passed(s.w);
  // The application has the records, and has not come back.
  assert.deepEqual(log.slice(1), ['applied 1', 'assigned 0']);
  assert.deepEqual(await s.consumer.poll({ timeoutMs: 50 }), []);
  assert.deepEqual(log.slice(3), ['committed 0@7', 'revoked 0', 'applied 2']);
});

test('one record after the other: the one that the loop is busy with is not committed', async () => {
  await using s = await scene();
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.give('t', [0]);
  let count = 0;
  for await (const record of s.consumer) {
    count++;
    if (count === 5) assert.equal(record.value, '4');
    if (count === 5) break;
  }
  await s.consumer.close();
  assert.deepEqual(s.coordinator.log.slice(2), ['committed 0@4', 'left -1']);
});

test('commit takes in all that was handed out; in order, repeated while the coordinator moves; backwards too', async () => {
  await using s = await scene({ autoCommit: false }, ['a:1', 'b:1']);
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.give('t', [0]);
  assert.equal((await s.consumer.poll({ maxRecords: 7, timeoutMs: 1_000 })).length, 7);
  s.coordinator.owner = 2;
  await s.consumer.commit();
  await s.consumer.commit([{ topic: 't', partition: 0, offset: 3n, metadata: 'back' }]);
  assert.deepEqual(s.coordinator.log.slice(2), ['committed 0@7', 'committed 0@3']);
  await assert.rejects(
    s.consumer.commit([{ topic: 't', partition: 2, offset: 3n }]),
    failsWith('INVALID_REQUEST', /Partition 2 of "t" is not assigned to this member of group "g"/),
  );
  s.coordinator.commitError = 'OFFSET_METADATA_TOO_LARGE';
  await assert.rejects(s.consumer.commit(), failsWith('OFFSET_METADATA_TOO_LARGE', /Offset 7 of partition 0 of "t"/));
});

test('closing takes nothing back from a commit of all that was handed out', async () => {
  await using s = await scene();
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.give('t', [0]);
  assert.equal((await s.consumer.poll({ maxRecords: 7, timeoutMs: 1_000 })).length, 7);
  await s.consumer.commit();
  await s.consumer.close();
  assert.deepEqual(s.coordinator.log.slice(2), ['committed 0@7', 'left -1']);
});

test('onRevoked commits on close too; whoever closes again meanwhile waits for that (await using, and a signal)', async () => {
  await using s = await scene({ autoCommit: false });
  await s.consumer.subscribe({
    topics: ['t'],
    onRevoked: async ([first]) => {
      if (first !== undefined) await s.consumer.commit([{ ...first, offset: await s.consumer.position(first) }]);
      // Nobody waits for himself.
      await s.consumer.close();
    },
  });
  s.coordinator.give('t', [0]);
  assert.equal((await s.consumer.poll({ maxRecords: 7, timeoutMs: 1_000 })).length, 7);
  void s.consumer.close();
  await assert.rejects(s.consumer.poll(), failsWith('INVALID_REQUEST', /closed/));
  await s.consumer.close();
  assert.deepEqual(s.coordinator.log.slice(2), ['committed 0@7', 'left -1']);
  await assert.rejects(s.consumer.commit(), failsWith('INVALID_REQUEST', /closed/));
});

test('closing waits for a rebalance callback that runs, and says so where that does not end', async () => {
  await using s = await scene();
  const end = Promise.withResolvers<void>();
  await s.consumer.subscribe({ topics: ['t'], onAssigned: async () => await end.promise });
  s.coordinator.give('t', [0]);
  const polled = s.consumer.poll({ timeoutMs: 60_000 }).catch(() => undefined);
  await passed(s.w);
  const refused = assert.rejects(
    s.consumer.close(),
    failsWith('INVALID_REQUEST', /callback runs for more than 5000 ms/),
  );
  await s.w.pass(6_000);
  await refused;
  const closed = s.consumer.close();
  await passed(s.w);
  end.resolve();
  await Promise.all([closed, polled]);
  assert.equal(s.coordinator.log.at(-1), 'left -1');
});

test('the record that a loop is busy with says nothing of a partition that was lost and comes back, maybe of another topic of that name', async () => {
  await using s = await scene();
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.give('t', [0]);
  let count = 0;
  for await (const _ of s.consumer) if (++count === 50) break;
  s.coordinator.fence('UNKNOWN_MEMBER_ID');
  await s.w.pass(3_000);
  s.coordinator.give('t', [0]);
  await s.w.pass(6_000);
  assert.equal(
    s.coordinator.log.find((line) => line.startsWith('committed')),
    'committed 0@0',
  );
});

test('fenced: everything is lost at once, the application is told, and another membership begins under another id', async () => {
  await using s = await scene();
  const lost: number[] = [];
  await s.consumer.subscribe({ topics: ['t'], onLost: (partitions) => void lost.push(partitions.length) });
  const { memberId } = s.consumer.groupMetadata ?? {};
  s.coordinator.give('t', [0, 1]);
  await take(s.consumer, 20);
  s.coordinator.fence('UNKNOWN_MEMBER_ID');
  for (let turn = 0; turn < 20 && lost.length === 0; turn++) await s.consumer.poll({ maxRecords: 1, timeoutMs: 200 });
  await s.w.pass(1_500);
  assert.deepEqual(await s.consumer.poll({ timeoutMs: 50 }), []);
  assert.deepEqual(lost, [2]);
  assert.deepEqual(s.consumer.assignment, []);
  assert.notEqual(s.consumer.groupMetadata?.memberId, memberId);
  s.coordinator.give('t', [2]);
  assert.deepEqual(await take(s.consumer, 100), numbers(0, 100));
});

test('who has taken the place of a static member is not put out again: the error says what is wrong, each time', async () => {
  await using s = await scene({ groupInstanceId: 'x' });
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.fence('FENCED_INSTANCE_ID');
  await s.w.pass(1_500);
  for (let turn = 0; turn < 2; turn++)
    await assert.rejects(
      s.consumer.poll({ timeoutMs: 10 }),
      failsWith('FENCED_INSTANCE_ID', /place of "x" in group "g"/),
    );
  assert.equal(s.coordinator.members.size, 0);
});

test('a callback that throws is told once by poll, and the group goes on', async () => {
  await using s = await scene();
  await s.consumer.subscribe({
    topics: ['t'],
    onAssigned: () => {
      throw new Error('no room');
    },
  });
  s.coordinator.give('t', [0]);
  await assert.rejects(
    s.consumer.poll({ timeoutMs: 1_000 }),
    failsWith('UNKNOWN_SERVER_ERROR', /onAssigned threw: no room/),
  );
  assert.deepEqual(await take(s.consumer, 100), numbers(0, 100));
});

test('a broken stream, and a coordinator that is silent, cost no partition', async () => {
  await using s = await scene();
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.give('t', [0]);
  assert.deepEqual(await take(s.consumer, 50), numbers(0, 50));
  const { memberId } = s.consumer.groupMetadata ?? {};
  s.w.network.breakStreams();
  assert.deepEqual(await take(s.consumer, 50), numbers(50, 100));
  s.coordinator.isSilent = true;
  await s.w.pass(4_000);
  s.coordinator.isSilent = false;
  await s.w.pass(1_000);
  assert.deepEqual([s.consumer.groupMetadata?.memberId, s.consumer.assignment.length], [memberId, 1]);
  assert.ok(s.coordinator.lookUps >= 3);
});

test('strict ownership stops handing out a session timeout after the last proof of it, and goes on with the next (G3)', async () => {
  for (const strictOwnership of [true, false]) {
    await using s = await scene({ strictOwnership });
    s.coordinator.sessionTimeoutMs = 3_000;
    await s.consumer.subscribe({ topics: ['t'] });
    s.coordinator.give('t', [0]);
    assert.deepEqual(await take(s.consumer, 10), numbers(0, 10));
    s.coordinator.isSilent = true;
    await s.w.pass(4_500);
    assert.equal((await s.consumer.poll({ maxRecords: 5, timeoutMs: 10 })).length, strictOwnership ? 0 : 5);
    s.coordinator.isSilent = false;
    await s.w.pass(3_000);
    assert.equal((await s.consumer.poll({ maxRecords: 5, timeoutMs: 1_000 })).length, 5);
  }
});

test('without a commit: none is an error that names the gap; a static member that closes keeps its place', async () => {
  await using s = await scene({ autoOffsetReset: 'none', groupInstanceId: 'x' });
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.give('t', [1]);
  await assert.rejects(
    s.consumer.poll({ timeoutMs: 1_000 }),
    failsWith('OFFSET_OUT_OF_RANGE', /Group "g" has committed no offset of partition 1 of "t"/),
  );
  await s.consumer.close();
  assert.deepEqual(s.coordinator.log.slice(2), ['left -2']);
});

test('what is committed by itself is what is new, every few seconds', async () => {
  await using s = await scene();
  await s.consumer.subscribe({ topics: ['t'] });
  s.coordinator.give('t', [0]);
  await s.consumer.poll({ maxRecords: 7, timeoutMs: 1_000 });
  await s.w.pass(6_000);
  await s.consumer.poll({ maxRecords: 3, timeoutMs: 1_000 });
  await s.w.pass(11_000);
  assert.deepEqual(s.coordinator.log.slice(2), ['committed 0@0', 'committed 0@7']);
});

test('bad input is refused by name before anything is sent', async () => {
  await using s = await scene();
  await assert.rejects(s.consumer.subscribe({}), failsWith('INVALID_REQUEST', /one to nothing/));
  assert.throws(() => textConsumer(s.w, { groupId: '' }), failsWith('INVALID_GROUP_ID', /empty/));
  assert.throws(() => textConsumer(s.w, { groupId: 'x'.repeat(300) }), failsWith('INVALID_GROUP_ID', /300 characters/));
  assert.throws(
    () => textConsumer(s.w, { groupId: 'g', sessionTimeoutMs: -1 }),
    failsWith('INVALID_CONFIG', /sessionTimeoutMs/),
  );
  await assert.rejects(textConsumer(s.w).subscribe({ topics: ['t'] }), failsWith('INVALID_REQUEST', /no groupId/));
  assert.equal(s.coordinator.lookUps, 0);
});
