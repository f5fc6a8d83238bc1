import assert from 'node:assert/strict';
import { test } from 'node:test';
import { millis, nodeId, offset, topicConfig } from '@tributary/model';
import type { Clock } from '@tributary/ports';
import { encodeBatch } from '@tributary/record';
import type { PartitionLog } from '../../src/log/partition-log.ts';
import { Partition, type ProduceOutcome } from '../../src/partition/partition.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { batch, term } from './batches.ts';

const clock: Clock = { monotonicMs: () => 0, wallMs: () => 1_000, sleep: () => new Promise(() => undefined) };

/** A log whose writes and epochs end when the test says so. */
class HeldLog {
  readonly startOffset = offset(0n);
  readonly endOffset = offset(0n);
  readonly highWatermark = offset(0n);
  readonly began: (readonly [epoch: number, start: bigint])[] = [];
  readonly written: bigint[] = [];
  readonly tail = { isKept: true };

  beginEpoch(epoch: number, start: bigint): void {
    this.began.push([epoch, start]);
  }

  async append(batches: readonly { readonly baseOffset: bigint }[]): Promise<void> {
    for (const { baseOffset } of batches) this.written.push(baseOffset);
  }

  sync(): Promise<bigint> {
    return new Promise(() => undefined);
  }

  noteHighWatermark(): void {}

  configure(): void {}
}

test('R2: a newer epoch begins behind the batches of the older one, none of which is taken any more, and who waits is told to look again', async () => {
  const log = new HeldLog();
  const partition = new Partition(
    nodeId(1),
    't-0',
    topicConfig({}),
    log as unknown as PartitionLog,
    new ProducerState(),
    clock,
  );
  const first = partition.lead(term(1, [nodeId(1)], 1));
  await first;
  const outcomes: ProduceOutcome[] = [];
  const produce = (): number =>
    partition.produce(batch({}), 1, 'all', millis(9_000), (outcome) => outcomes.push(outcome));
  assert.equal(produce(), 1);
  const second = partition.lead(term(2, [nodeId(1)], 1));
  assert.equal(produce(), 0);
  // Not before the batch of the older epoch is written, which begins that one.
  assert.deepEqual([log.began.length, log.written], [1, []]);
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.kind === 'failed' ? outcome.error.error : outcome.kind)),
    ['NOT_LEADER_OR_FOLLOWER', 'NOT_LEADER_OR_FOLLOWER'],
  );
  await second;
  assert.deepEqual([log.began[1], log.written], [[2, 1n], [0n]]);
});

test('L5: a compacted topic takes no record without a key, says which one, and takes tombstones', async () => {
  const log = new HeldLog();
  const config = topicConfig({ 'cleanup.policy': 'compact' });
  const partition = new Partition(nodeId(1), 't-0', config, log as unknown as PartitionLog, new ProducerState(), clock);
  const leading = partition.lead(term(1, [nodeId(1)], 1));
  await leading;
  const answers: string[] = [];
  const produce = (keys: readonly (string | null)[], compression: 'none' | 'zstd'): number =>
    partition.produce(
      encodeBatch(
        keys.map((key) => ({ timestamp: 1_000, key, value: null })),
        { compression },
      ),
      1,
      'leader',
      millis(9_000),
      (outcome) => answers.push(outcome.kind === 'failed' ? `${outcome.error.error} ${outcome.error.message}` : 'ok'),
    );
  for (const compression of ['none', 'zstd'] as const) {
    assert.equal(produce(['a', 'b', null], compression), 0);
    assert.match(answers.pop() ?? '', /^INVALID_RECORD record 2 of the batch has no key.*so each needs one\.$/);
    assert.equal(produce(['a', '', 'b'], compression), 3);
  }
  await Promise.resolve();
  assert.deepEqual(log.written, [0n, 3n]);
});

test('L2: what was written under `async` is flushed and counts as durable once the policy is `commit`, though nothing more is written', async () => {
  const log = new HeldLog();
  log.sync = async () => 1n;
  const config = topicConfig({ 'flush.policy': 'async' });
  const partition = new Partition(nodeId(1), 't-0', config, log as unknown as PartitionLog, new ProducerState(), clock);
  const leading = partition.lead(term(1, [nodeId(1)], 1));
  await leading;
  const answered = Promise.withResolvers<ProduceOutcome>();
  partition.produce(batch({}), 1, 'leader', millis(9_000), answered.resolve);
  await answered.promise;
  partition.configure(topicConfig({ 'flush.policy': 'commit' }));
  await partition.quiet();
  await Promise.resolve();
  assert.deepEqual([partition.state.written, partition.state.durable], [1n, 1n]);
});
