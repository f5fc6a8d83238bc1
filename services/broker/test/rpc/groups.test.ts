import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupPartitionOf } from '@tributary/metadata';
import { errorName } from '@tributary/model';
import { methods, OffsetReset } from '@tributary/wire';
import { context, record } from './one-broker.ts';
import { asMember, committed, Member, refused, subscribedTo, withGroups } from './with-groups.ts';

const deadlineMs = 60_000;
const values = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `${index}`);

describe('a member of a group at the record level', () => {
  test('G5: two members at different brokers share a topic; what one gives up the other reads once it was released, from where the group stands', async () => {
    await withGroups(1, 3, 2, async (groups) => {
      await groups.at(1).createTopic('t', 4);
      await groups.leaders('t');
      await groups.at(2).publish(
        't',
        values(40).map((value) => record(value, { partition: Number(value) % 4 })),
      );
      const first = new Member(groups.at(1), 't', asMember('g'));
      await first.has(4);
      await first.read.until(() => first.read.values().length === 40);
      for (let partition = 0; partition < 4; partition++)
        assert.deepEqual((await first.commit('t', partition, 6n, groups.at(3))).results, [
          { errorCode: 0, errorMessage: '' },
        ]);
      const second = new Member(groups.at(2), 't', asMember('g'));
      await first.has(2, 2);
      const before = second.read.values().length;
      await groups.clock.sleep(3_000, new AbortController().signal);
      assert.deepEqual([before, second.partitions, second.read.values()], [0, [], []]);
      // By any broker: the one that the subscription runs through is found.
      await first.release(groups.at(3));
      await second.has(2);
      assert.deepEqual(
        [...first.partitions, ...second.partitions].sort((a, b) => a - b),
        [0, 1, 2, 3],
      );
      await second.read.until(() => second.read.values().length === 8);
      const [mine = 0] = second.partitions;
      assert.deepEqual(
        second.read.values(mine),
        [24, 28, 32, 36].map((each) => `${each + mine}`),
      );
    });
  });

  test('the end of a stream is the end of a membership: who stays has everything at once', async () => {
    await withGroups(2, 2, 1, async (groups) => {
      await groups.at(1).createTopic('t', 4);
      const first = new Member(groups.at(1), 't', asMember('g'));
      await first.has(4);
      const second = new Member(groups.at(2), 't', asMember('g', { autoRelease: true }));
      await first.has(2, 2);
      await first.release();
      await second.has(2);
      const atMs = groups.clock.monotonicMs();
      first.read.stream.cancel();
      await second.has(4);
      assert.ok(groups.clock.monotonicMs() - atMs < 500, `it took ${groups.clock.monotonicMs() - atMs} ms`);
      assert.equal(await refused(first.commit('t', 0, 0n)), 'UNKNOWN_MEMBER_ID');
      assert.equal(await refused(first.release()), 'UNKNOWN_MEMBER_ID');
    });
  });

  test('at least once: with credit, what is committed for a client is what its grants say that it has handled', async () => {
    await withGroups(3, 1, 1, async (groups) => {
      await groups.at(1).createTopic('t', 1);
      await groups.leaders('t');
      await groups.at(1).publish(
        't',
        values(10).map((value) => record(value.padEnd(10))),
      );
      const group = asMember('g', { autoCommitIntervalMs: 200, autoRelease: true });
      const member = new Member(groups.at(1), 't', group, { creditBytes: 50n });
      const handles = async (creditLimit: bigint, received: number): Promise<readonly string[]> => {
        if (creditLimit > 50n) await groups.at(1).grantCredit(member.read.id, creditLimit);
        await member.read.until(() => member.read.values().length === received);
        await groups.clock.sleep(2_000, new AbortController().signal);
        assert.equal(member.read.values().length, received);
        return await committed(groups.at(1), 'g');
      };
      // Where it began; then what is committed are the ends of answers (5, 8, 9, 10) that all but the last 50 bytes granted cover.
      assert.deepEqual(await handles(50n, 5), ['0:0']);
      assert.deepEqual(await handles(80n, 8), ['0:0']);
      assert.deepEqual(await handles(99n, 9), ['0:0']);
      assert.deepEqual(await handles(100n, 10), ['0:5']);
      assert.deepEqual(await handles(129n, 10), ['0:5']);
      assert.deepEqual(await handles(130n, 10), ['0:8']);
      assert.deepEqual(await handles(149n, 10), ['0:9']);
      assert.deepEqual(await handles(150n, 10), ['0:10']);
    });
  });

  test('a grant that comes between the word that a partition is to be released and Release counts: it is committed before anybody else gets it', async () => {
    await withGroups(11, 1, 1, async (groups) => {
      await groups.at(1).createTopic('t', 2);
      await groups.leaders('t');
      const sent = values(10).map((value) => record(value.padEnd(10), { partition: Number(value) % 2 }));
      await groups.at(1).publish('t', sent);
      const group = asMember('g', { autoCommitIntervalMs: 60_000 });
      const first = new Member(groups.at(1), 't', group, { creditBytes: 100n });
      await first.read.until(() => first.read.values().length === 10);
      const second = new Member(groups.at(1), 't', group);
      await first.has(1, 1);
      await groups.at(1).grantCredit(first.read.id, 1_000n);
      await first.release();
      await second.has(1);
      const [given = -1] = second.partitions;
      assert.deepEqual((await committed(groups.at(1), 'g')).includes(`${given}:5`), true);
      await groups.clock.sleep(1_000, new AbortController().signal);
      assert.deepEqual(second.read.values(), []);
    });
  });

  test('at least once: without credit, what has been passed on for an interval is committed, and nothing younger', async () => {
    await withGroups(4, 1, 1, async (groups) => {
      await groups.at(1).createTopic('t', 1);
      await groups.leaders('t');
      await groups.at(1).publish(
        't',
        values(10).map((value) => record(value)),
      );
      const member = new Member(groups.at(1), 't', asMember('g', { autoCommitIntervalMs: 1_000 }));
      await member.read.until(() => member.read.values().length === 10);
      const atMs = groups.clock.monotonicMs();
      while (!(await committed(groups.at(1), 'g')).includes('0:10'))
        await groups.clock.sleep(20, new AbortController().signal);
      const took = groups.clock.monotonicMs() - atMs;
      assert.ok(took >= 1_000 && took < 2_500, `${took} ms`);
    });
  });

  test('without a committed offset auto_offset_reset decides; none ends the stream, naming what is missing', async () => {
    await withGroups(5, 2, 1, async (groups) => {
      await groups.at(1).createTopic('t', 2);
      await groups.leaders('t');
      await groups.at(1).publish('t', [record('old', { partition: 0 }), record('old', { partition: 1 })]);
      const none = new Member(groups.at(1), 't', asMember('n', { autoOffsetReset: OffsetReset.NONE }));
      await assert.rejects(none.read.ended(), {
        error: 'OFFSET_OUT_OF_RANGE',
        message: /"n" has committed no offset of t-[01]/,
      });
      const latest = new Member(groups.at(2), 't', asMember('l', { autoOffsetReset: OffsetReset.UNSPECIFIED }));
      await latest.has(2);
      await groups.at(1).publish('t', [record('new', { partition: 0 }), record('new', { partition: 1 })]);
      await latest.read.until(() => latest.read.values().length === 2);
      assert.deepEqual(latest.read.values(), ['new', 'new']);
      assert.equal((await latest.commit('t', 0, 2n)).results[0]?.errorCode, 0);
    });
  });

  test('a coordinator that is killed takes no partition from a member: it reads on, and commits with the next one', async () => {
    await withGroups(6, 3, 2, async (groups) => {
      await groups.at(1).createTopic('t', 2);
      await groups.leaders('t');
      const member = new Member(groups.at(1), 't', asMember('g'));
      await member.has(2);
      const { nodeId } = await groups
        .at(2)
        .peer.unary(methods.findCoordinator, { context, groupId: 'g' }, { deadlineMs });
      groups.coordinator(nodeId).kill();
      await groups.at(2).publish(
        't',
        values(4).map((value) => record(value, { partition: Number(value) % 2 })),
      );
      await member.read.until(() => member.read.values().length === 4);
      const atMs = groups.clock.monotonicMs();
      for (;;) {
        const answer = await member.commit('t', 0, 2n).catch(() => undefined);
        if (answer?.results[0]?.errorCode === 0) break;
        await groups.clock.sleep(50, new AbortController().signal);
      }
      assert.ok(groups.clock.monotonicMs() - atMs < 10_000);
      await groups.clock.sleep(12_000, new AbortController().signal);
      assert.deepEqual([member.partitions, member.read.isOver], [[0, 1], false]);
    });
  });

  test('what makes no sense is refused by name, and nothing is created for it', async () => {
    await withGroups(7, 1, 1, async (groups) => {
      await groups.at(1).createTopic('t', 1);
      const ends = async (group: Parameters<typeof asMember>, rest = {}): Promise<string> =>
        await refused(new Member(groups.at(1), 't', asMember(...group), rest).read.ended());
      assert.equal(await ends(['']), 'INVALID_GROUP_ID');
      assert.equal(await ends(['x'.repeat(250)]), 'INVALID_GROUP_ID');
      assert.equal(await ends(['g'], { topics: [] }), 'INVALID_REQUEST');
      assert.equal(await ends(['g'], { stopAtEnd: true }), 'INVALID_REQUEST');
      assert.equal(await ends(['g'], { topics: [{ ...subscribedTo('t'), partitions: [0] }] }), 'INVALID_REQUEST');
      assert.equal(await ends(['g', { autoCommitIntervalMs: -1 }]), 'INVALID_REQUEST');
      assert.equal(await ends(['g', { sessionTimeoutMs: 1 }]), 'INVALID_SESSION_TIMEOUT');
      assert.equal(await ends(['g'], { context: { ...context, hops: 1 } }), 'NOT_COORDINATOR');
    });
  });

  test('commits name what they are about: unknown topics and partitions, and a topic that was created anew, are refused one by one', async () => {
    await withGroups(8, 1, 1, async (groups) => {
      await groups.at(1).createTopic('t', 1);
      await groups.leaders('t');
      const offset = { topic: 't', partition: 0, offset: 0n, metadata: '', topicId: '' };
      const commit = async (...offsets: Partial<typeof offset>[]): Promise<readonly string[]> => {
        const request = { context, groupId: 'g', memberId: '', memberEpoch: 0 };
        const all = offsets.map((each) => ({ ...offset, ...each }));
        const { results } = await groups.at(1).peer.unary(methods.commit, { ...request, offsets: all }, { deadlineMs });
        return results.map(({ errorCode }) => errorName(errorCode));
      };
      const old = 'AAAAAAAAAAAAAAAAAAAAAA';
      assert.deepEqual(await commit({ partition: 7 }, { topic: 'u' }, {}, { topicId: old }, { offset: -1n }), [
        'UNKNOWN_TOPIC_OR_PARTITION',
        'UNKNOWN_TOPIC_OR_PARTITION',
        errorName(0),
        'UNKNOWN_TOPIC_ID',
        'INVALID_REQUEST',
      ]);
      assert.deepEqual(await committed(groups.at(1), 'g'), ['0:0']);
    });
  });

  test('a broker that stops sends its members on: they leave at once, and go on at another one', async () => {
    await withGroups(9, 2, 1, async (groups) => {
      await groups.at(1).createTopic('t', 2);
      // Its journal is on the broker that stays: there is one copy of it.
      await groups.at(1).peer.unary(methods.findCoordinator, { context, groupId: 'x' }, { deadlineMs });
      const keepers = await groups.leaders('__consumer_offsets');
      const id = values(100).find((each) => keepers[groupPartitionOf(each, keepers.length)] === 1) ?? '';
      const member = new Member(groups.at(2), 't', asMember(id));
      await member.has(2);
      groups.process(2).askToStop();
      await assert.rejects(member.read.ended(), { error: 'BROKER_NOT_AVAILABLE' });
      const atMs = groups.clock.monotonicMs();
      const next = new Member(groups.at(1), 't', asMember(id));
      await next.has(2);
      assert.ok(groups.clock.monotonicMs() - atMs < 2_000, `${groups.clock.monotonicMs() - atMs} ms`);
    });
  });

  test('a static member that comes back within its session gets its partitions back, and nobody else does meanwhile', async () => {
    await withGroups(10, 2, 1, async (groups) => {
      await groups.at(1).createTopic('t', 2);
      const first = new Member(groups.at(1), 't', asMember('g', { instanceId: 'one' }));
      await first.has(2);
      const second = new Member(groups.at(2), 't', asMember('g', { instanceId: 'two' }));
      await first.has(1, 1);
      await first.release();
      await second.has(1);
      const kept = first.partitions;
      first.read.stream.cancel();
      await groups.clock.sleep(3_000, new AbortController().signal);
      assert.equal(second.partitions.length, 1);
      const again = new Member(groups.at(2), 't', asMember('g', { instanceId: 'one' }));
      await again.has(1);
      assert.deepEqual(again.partitions, kept);
      const rival = new Member(groups.at(1), 't', asMember('g', { instanceId: 'one' }));
      await assert.rejects(again.read.ended(), { error: 'FENCED_INSTANCE_ID' });
      await rival.has(1);
    });
  });
});
