// Consumer groups of the TypeScript client against `tributary dev`: members share, come, go and come back.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type Consumer,
  type ConsumerOptions,
  connect,
  serializers,
  type Tributary,
  TributaryError,
} from '@tributary/client';
import { DevProcess } from './dev-process.ts';

type Member = Consumer<string, string>;

describe('consumer groups', () => {
  let dev: DevProcess;
  let cluster: Tributary;
  before(async () => {
    dev = await DevProcess.begin();
    cluster = await connect({ bootstrap: dev.bootstrap });
  });
  after(async () => {
    await cluster.close();
    await dev[Symbol.asyncDispose]();
  });

  const member = (groupId: string, options: Partial<ConsumerOptions<string, string>> = {}): Member =>
    cluster.consumer({
      ...{ groupId, autoOffsetReset: 'earliest' },
      ...{ keyDeserializer: serializers.string, valueDeserializer: serializers.string },
      ...options,
    });
  const produce = async (topic: string, partitions: number, from: number, count: number): Promise<void> => {
    await using producer = cluster.producer();
    const numbers = Array.from({ length: count }, (_, index) => from + index);
    await producer.sendAll(numbers.map((each) => ({ topic, partition: each % partitions, value: `${each}` })));
  };
  const filled = async (topic: string, partitions: number, count: number): Promise<void> => {
    await cluster.admin.createTopic({ name: topic, partitions });
    await produce(topic, partitions, 0, count);
  };
  /** All are polled until it is so. */
  const until = async (members: readonly Member[], isSo: (seen: readonly number[]) => boolean): Promise<number[]> => {
    const seen: number[] = [];
    for (let turn = 0; !isSo(seen); turn++) {
      assert.ok(turn < 500, `not so: ${members.map((each) => each.assignment.length).join(', ')} partitions`);
      for (const each of members) seen.push(...(await each.poll({ timeoutMs: 20 })).map(({ value }) => Number(value)));
    }
    return seen.toSorted((a, b) => a - b);
  };
  const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, index) => from + index);

  test('one member has everything; who comes after it goes on where it has committed', async () => {
    await filled('first', 3, 300);
    const one = member('g-first');
    await one.subscribe({ topics: ['first'] });
    assert.deepEqual(await until([one], (seen) => seen.length >= 300), upTo(300));
    // It comes back from the last of them.
    await one.poll({ timeoutMs: 10 });
    await one.close();
    await produce('first', 3, 300, 30);
    await using two = member('g-first');
    await two.subscribe({ topics: ['first'] });
    assert.deepEqual(await until([two], (seen) => seen.length >= 30), upTo(30, 300));
    const offset = async () => (await two.committed([{ topic: 'first', partition: 0 }]))[0]?.offset;
    assert.equal(await offset(), 100n);
    await two.commit();
    assert.equal(await offset(), 110n);
    await two.commit([{ topic: 'first', partition: 0, offset: 5n, metadata: 'again' }]);
    assert.equal(await offset(), 5n);
    await assert.rejects(two.commit([{ topic: 'first', partition: 0, offset: 1_000n }]), (thrown: unknown) => {
      assert.ok(thrown instanceof TributaryError);
      assert.match(thrown.message, /Offset 1000 of partition 0 of "first"/);
      return true;
    });
  });

  test('two share, each partition with one of them; who leaves gives its partitions to the other; callbacks tell', async () => {
    await filled('shared', 4, 100);
    const story: string[] = [];
    const told = (name: string) => ({
      topics: ['shared'],
      onAssigned: (partitions: readonly unknown[]) => void story.push(`${name} +${partitions.length}`),
      onRevoked: (partitions: readonly unknown[]) => void story.push(`${name} -${partitions.length}`),
    });
    await using one = member('g-shared');
    const two = member('g-shared');
    await one.subscribe(told('one'));
    await until([one], () => one.assignment.length === 4);
    const joined = two.subscribe(told('two'));
    await until([one, two], () => one.assignment.length === 2 && two.assignment.length === 2);
    await joined;
    const owned = [...one.assignment, ...two.assignment].map(({ partition }) => partition);
    assert.deepEqual(
      owned.toSorted((a, b) => a - b),
      [0, 1, 2, 3],
    );
    await produce('shared', 4, 100, 40);
    await until([one, two], (seen) => new Set(seen.filter((each) => each >= 100)).size === 40);
    await two.close();
    await until([one], () => one.assignment.length === 4);
    assert.deepEqual(story, ['one +4', 'one -2', 'two +2', 'two -2', 'one +2']);
    const [described] = (await cluster.admin.groups.describe('g-shared')).members;
    assert.equal(described?.memberId, one.groupMetadata?.memberId);
  });

  test('a static member that comes back has its partitions again, and nobody else has had them', async () => {
    await filled('static', 2, 20);
    let assigned = 0;
    await using other = member('g-static', { groupInstanceId: 'other' });
    const first = member('g-static', { groupInstanceId: 'x' });
    await other.subscribe({ topics: ['static'], onAssigned: () => void assigned++ });
    const joined = first.subscribe({ topics: ['static'] });
    await until([other, first], () => other.assignment.length === 1 && first.assignment.length === 1);
    await joined;
    const had = first.assignment;
    const before = assigned;
    await first.close();
    await using second = member('g-static', { groupInstanceId: 'x' });
    await second.subscribe({ topics: ['static'] });
    await until([other, second], () => second.assignment.length === 1);
    assert.deepEqual(second.assignment, had);
    assert.equal(assigned, before);
  });

  test('a pattern takes in what is created later, and partitions that are added', async () => {
    await filled('pat-a', 1, 10);
    await using one = member('g-pattern');
    await one.subscribe({ pattern: /pat-.*/ });
    await until([one], () => one.assignment.length === 1);
    await filled('pat-b', 2, 10);
    await until([one], () => one.assignment.length === 3);
    await cluster.admin.createPartitions('pat-a', 3);
    await until([one], () => one.assignment.length === 5);
  });

  test('an assignor of the application gives out what it likes', async () => {
    await filled('own', 4, 4);
    const assign = (members: readonly { readonly memberId: string }[]) =>
      new Map(
        members.map(({ memberId }, index) => {
          const partitions = index === 0 ? [0, 1, 2] : index === 1 ? [3] : [];
          const all = members.length === 1 ? [0, 1, 2, 3] : partitions;
          return [memberId, all.map((partition) => ({ topic: 'own', partition }))];
        }),
      );
    await using one = member('g-own', { assignor: { name: 'lopsided', assign } });
    await using two = member('g-own', { assignor: { name: 'lopsided', assign } });
    await one.subscribe({ topics: ['own'] });
    await until([one], () => one.assignment.length === 4);
    await two.subscribe({ topics: ['own'] });
    const sizes = () => [one.assignment.length, two.assignment.length].toSorted((a, b) => a - b).join();
    await until([one, two], () => sizes() === '1,3');
  });

  test('an assignor that leaves a partition out, gives one twice or throws changes nothing: the group says why, and goes on', async () => {
    await filled('wrong', 4, 4);
    type Given = readonly (readonly number[])[];
    let given: Given | 'throws' = [[0, 1, 2, 3]];
    const assign = (members: readonly { readonly memberId: string }[]) => {
      if (given === 'throws') throw new Error('it has had enough');
      const shares: Given = given;
      return new Map(
        members.map(({ memberId }, index) => [
          memberId,
          (shares[index] ?? []).map((partition) => ({ topic: 'wrong', partition })),
        ]),
      );
    };
    const assignor = { name: 'wrong', assign };
    await using one = member('g-wrong', { assignor });
    await one.subscribe({ topics: ['wrong'] });
    await until([one], () => one.assignment.length === 4);
    const mistakes: readonly (readonly [Given | 'throws', RegExp])[] = [
      [[[0], [1, 2]], /1 of 4 partitions have no owner/],
      [
        [
          [0, 1],
          [1, 2, 3],
        ],
        /wrong-1 is given twice/,
      ],
      ['throws', /it has had enough/],
    ];
    for (const [mistake, why] of mistakes) {
      given = mistake;
      await using two = member('g-wrong', { assignor });
      await two.subscribe({ topics: ['wrong'] });
      const saysWhy = async () => why.test((await cluster.admin.groups.describe('g-wrong')).assignorError ?? '');
      for (let turn = 0; !(await saysWhy()); turn++) {
        assert.ok(turn < 100, `never said: ${(await cluster.admin.groups.describe('g-wrong')).assignorError}`);
        await until([one, two], () => true);
        for (const each of [one, two]) await each.poll({ timeoutMs: 20 });
      }
      assert.deepEqual([one.assignment.length, two.assignment.length], [4, 0]);
    }
    given = [[0, 1, 2, 3]];
    await produce('wrong', 4, 4, 4);
    await until([one], (seen) => seen.includes(7));
  });

  test('a callback that takes longer than maxPollIntervalMs is not waited for: poll says so, once, and the group goes on', async () => {
    await filled('slow', 2, 2);
    await using slow = member('g-slow', { maxPollIntervalMs: 300 });
    const { promise: never } = Promise.withResolvers<void>();
    await slow.subscribe({ topics: ['slow'], onAssigned: () => never });
    const said: string[] = [];
    const seen: number[] = [];
    for (let turn = 0; turn < 100 && seen.length < 2; turn++) {
      try {
        seen.push(...(await slow.poll({ timeoutMs: 50 })).map(({ value }) => Number(value)));
      } catch (thrown) {
        said.push(TributaryError.from(thrown).message);
      }
    }
    assert.deepEqual(
      seen.toSorted((a, b) => a - b),
      [0, 1],
    );
    assert.equal(said.length, 1);
    assert.match(said[0] ?? '', /onAssigned takes longer than maxPollIntervalMs, 300 ms/);
  });

  test('a topic that is made anew is read from its beginning: its offsets are not those of the old one', async () => {
    await filled('anew', 1, 50);
    await using one = member('g-anew');
    await one.subscribe({ topics: ['anew'] });
    await until([one], (seen) => seen.length >= 50);
    await one.commit();
    await cluster.admin.deleteTopic('anew');
    await filled('anew', 1, 20);
    assert.deepEqual(await until([one], (seen) => seen.length >= 20), upTo(20));
  });

  test('a subscription that the coordinator does not take is refused by name', async () => {
    const refusal = async (joining: Promise<void>): Promise<string> => {
      try {
        await joining;
      } catch (thrown) {
        return TributaryError.from(thrown).error;
      }
      return 'taken';
    };
    await using one = member('g-bad');
    assert.equal(await refusal(one.subscribe({ pattern: '(' })), 'INVALID_REGULAR_EXPRESSION');
    await using hasty = member('g-bad', { sessionTimeoutMs: 1 });
    assert.equal(await refusal(hasty.subscribe({ topics: ['t'] })), 'INVALID_SESSION_TIMEOUT');
  });
});
