/** G1: who may write to an internal topic. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { leaderEpoch, limits, millis, nodeId, offset, topicConfig } from '@tributary/model';
import type { BatchHeader } from '@tributary/record';
import fc from 'fast-check';
import { type Acks, PartitionState } from '../../src/partition/partition-state.ts';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { header, type Sent, term } from './batches.ts';

function leading(producers: ProducerState): PartitionState {
  const state = new PartitionState(
    nodeId(1),
    '__consumer_offsets-0',
    topicConfig({}),
    producers,
    offset(0n),
    offset(0n),
    0,
    undefined,
  );
  state.lead(term(3, [nodeId(1)], 1), millis(0));
  return state;
}

function asked(state: PartitionState, sent: Sent, writerEpoch: bigint | undefined = sent.id, acks: Acks = 'all') {
  const decision = state.decideAppend(header(sent), 3, acks, 1_000_000_000, writerEpoch);
  return decision.kind === 'refuse' ? decision.error : decision.kind;
}

const answer = (...given: Parameters<typeof asked>): string => {
  const said = asked(...given);
  return typeof said === 'string' ? said : said.error;
};

function written(state: PartitionState, sent: Sent): void {
  assert.equal(asked(state, sent), 'append');
  state.applyAppend(header({ ...sent, at: state.staged }));
}

const isCommitted = (state: PartitionState): void => {
  state.applyWritten(state.staged);
  state.applyFlushed(state.staged);
  state.advanceHighWatermark();
  assert.equal(state.highWatermark, state.staged);
};

describe('an internal topic', () => {
  test('takes only batches that name their writer epoch, and have it as their producer id', () => {
    const state = leading(new ProducerState(true));
    const sent = { id: 4n };
    assert.equal(answer(state, { id: undefined as never }, undefined), 'INVALID_TOPIC_EXCEPTION');
    assert.equal(
      state.decideAppend(header(sent), 3, 'all', 1_000_000).kind,
      'refuse',
      'an idempotent producer with the id of a writer is none',
    );
    assert.equal(answer(state, sent, 5n), 'INVALID_REQUEST');
    assert.equal(answer(state, sent, 3n), 'INVALID_REQUEST');
    assert.equal(answer(state, { ...sent, epoch: 1 }), 'INVALID_REQUEST');
    assert.equal(answer(state, { id: 0n }), 'INVALID_REQUEST');
    assert.equal(answer(state, sent), 'append');
  });

  test('takes acks=all only', () => {
    const state = leading(new ProducerState(true));
    for (const acks of ['none', 'leader'] as const)
      assert.equal(answer(state, { id: 4n }, 4n, acks), 'INVALID_REQUIRED_ACKS');
  });

  test('refuses whoever has a lower writer epoch than the log has seen, and names both', () => {
    const state = leading(new ProducerState(true));
    written(state, { id: 4n });
    written(state, { id: 6n });
    const refused = asked(state, { id: 4n, sequence: 1 });
    assert.ok(typeof refused !== 'string' && refused.error === 'PRODUCER_FENCED');
    assert.match(refused.message, /writer epoch 6 .* 4/);
    assert.equal(answer(state, { id: 4n }), 'PRODUCER_FENCED', 'what it has written already, too');
    assert.equal(answer(state, { id: 5n }), 'PRODUCER_FENCED');
    assert.equal(answer(state, { id: 6n }), 'duplicate');
    assert.equal(answer(state, { id: 6n, sequence: 1 }), 'append');
  });

  test('takes what a coordinator writes whose clock is a year ahead, which the topics of users do not', () => {
    const timestamp = 1_000_000_000 + 365 * 24 * 60 * 60_000;
    assert.equal(answer(leading(new ProducerState(true)), { id: 4n, timestamp }), 'append');
    const decision = leading(new ProducerState()).decideAppend(header({ id: 4n, timestamp }), 3, 'all', 1_000_000_000);
    assert.equal(decision.kind === 'refuse' && decision.error.error, 'INVALID_TIMESTAMP');
  });

  test('a new writer begins with sequence 0', () => {
    const state = leading(new ProducerState(true));
    written(state, { id: 4n });
    assert.equal(answer(state, { id: 5n, sequence: 1 }), 'UNKNOWN_PRODUCER_ID');
    assert.equal(answer(state, { id: 5n }), 'append');
  });

  test('never forgets its highest writer, however long that is quiet (P3)', () => {
    const producers = new ProducerState(true);
    const state = leading(producers);
    written(state, { id: 4n, timestamp: 1_000 });
    written(state, { id: 4n, sequence: 1, timestamp: 2_000 });
    isCommitted(state);
    // Nobody but a writer writes here; time passes in the log all the same where a control batch or a damaged clock says so.
    producers.batch(header({ at: state.staged, timestamp: 5_000 + 2 * limits.producerExpiryMs }));
    const late = 5_000 + 2 * limits.producerExpiryMs;
    assert.equal(producers.check(header({ id: 4n, sequence: 2, timestamp: 2_000 }), late).kind, 'append');
    assert.equal(producers.check(header({ id: 4n, timestamp: 2_000 }), late).kind, 'duplicate');
    const { bytes, end } = producers.take();
    const again = new ProducerState(true);
    again.restore(bytes, end);
    for (const each of [producers, again]) {
      assert.equal(each.fence, 4n);
      assert.equal(each.check(header({ id: 4n, sequence: 2 }), late).kind, 'append');
      assert.ok(each.remembers(4n as never, offset(1n)), 'compaction leaves its batch');
    }
  });

  test('forgets an older writer only once a newer one is committed', () => {
    const producers = new ProducerState(true);
    const state = leading(producers);
    const later = 1_000 + 2 * limits.producerExpiryMs;
    written(state, { id: 4n, timestamp: 1_000 });
    isCommitted(state);
    written(state, { id: 5n, timestamp: later });
    producers.take();
    assert.equal(producers.size, 2, 'the batch of 5 may yet be cut off, and 4 be the fence again');
    isCommitted(state);
    producers.take();
    assert.equal(producers.size, 1);
    assert.equal(producers.fence, 5n);
  });

  test('a topic of users has no fence: a writer epoch there is refused, and old producers are forgotten as ever', () => {
    const state = leading(new ProducerState());
    assert.equal(answer(state, { id: 4n }, 4n), 'INVALID_REQUEST');
    assert.equal(state.decideAppend(header({ id: 9n }), 3, 'leader', 1_000_000).kind, 'append');
    state.applyAppend(header({ id: 9n }));
    assert.equal(state.decideAppend(header({ id: 4n }), 3, 'all', 1_000_000).kind, 'append');
  });
});

/** A replica as the property below knows it: its log, and the state that a broker would have of it. */
interface Replica {
  log: BatchHeader[];
  /** Of some prefix of the log. */
  snapshot: { readonly bytes: Uint8Array; readonly end: bigint } | undefined;
  state: PartitionState;
}

class Journal {
  readonly replicas: Replica[];
  leader = 0;
  epoch = 1;
  committed = 0n;
  /** The next sequence of each writer, as far as it has an answer. */
  readonly next = new Map<bigint, number>();
  now = 1_000;

  constructor(count: number) {
    this.replicas = Array.from({ length: count }, () => ({
      log: [],
      snapshot: undefined,
      state: this.#state(undefined, []),
    }));
    this.fail(0);
  }

  #state(snapshot: Replica['snapshot'], log: readonly BatchHeader[]): PartitionState {
    const producers = new ProducerState(true);
    producers.restore(snapshot?.bytes, offset(snapshot?.end ?? 0n));
    for (const batch of log) producers.batch(batch);
    const end = log.at(-1)?.nextOffset ?? offset(0n);
    const known = this.committed < end ? this.committed : end;
    const config = topicConfig({ 'message.timestamp.after.max.ms': String(10 * limits.producerExpiryMs) });
    return new PartitionState(nodeId(1), 'p', config, producers, end, offset(known), producers.logTimeMs, undefined);
  }

  /** Somebody leads who has all that is committed; the others cut what it lacks. */
  fail(to: number): void {
    const chosen = this.replicas[to % this.replicas.length];
    if (chosen === undefined || chosen.state.staged < this.committed) return;
    this.leader = to % this.replicas.length;
    this.epoch++;
    this.restart(this.leader);
    chosen.state.lead(term(this.epoch, [nodeId(1)], 1), millis(0));
    for (const [id, other] of this.replicas.entries()) {
      if (id === this.leader) continue;
      const shared = other.log.findIndex((batch, at) => chosen.log[at] !== batch);
      if (shared >= 0) other.log = other.log.slice(0, shared);
      if ((other.snapshot?.end ?? 0n) > (other.log.at(-1)?.nextOffset ?? 0n)) other.snapshot = undefined;
      this.restart(id);
    }
  }

  /** From its log, or its snapshot and what follows. */
  restart(id: number): void {
    const replica = this.replicas[id % this.replicas.length];
    if (replica === undefined) return;
    replica.state = this.#state(replica.snapshot, replica.log);
    if (id % this.replicas.length === this.leader) replica.state.lead(term(this.epoch, [nodeId(1)], 1), millis(0));
    else replica.state.follow({ epoch: leaderEpoch(this.epoch), leader: nodeId(1), uncleanEpoch: undefined });
  }

  snapshot(id: number): void {
    const replica = this.replicas[id % this.replicas.length];
    if (replica !== undefined) replica.snapshot = replica.state.producers.take();
  }

  write(writer: bigint): void {
    const { state, log } = this.#lead;
    const sequence = this.next.get(writer) ?? 0;
    const sent = { id: writer, sequence, at: state.staged, timestamp: this.now };
    const decision = state.decideAppend(header(sent), this.epoch, 'all', this.now, writer);
    if (decision.kind !== 'append') return;
    const batch = header(sent);
    state.applyAppend(batch);
    state.applyWritten(state.staged);
    log.push(batch);
  }

  /** Followers take what the leader has; if all do it is committed, and its writers hear so. */
  replicate(id: number, commits: boolean): void {
    for (const [at, replica] of this.replicas.entries()) {
      if (at === this.leader || (!commits && at !== id % this.replicas.length)) continue;
      for (const batch of this.#lead.log.slice(replica.log.length)) {
        replica.log.push(batch);
        replica.state.applyAppend(batch);
        replica.state.applyWritten(batch.nextOffset);
      }
    }
    if (!commits) return;
    this.committed = this.#lead.state.staged;
    for (const { state } of this.replicas) {
      state.applyFlushed(this.committed as never);
      state.producers.committed = offset(this.committed);
    }
    for (const { producerId, baseSequence } of this.#lead.log) this.next.set(producerId, baseSequence + 1);
  }

  get #lead(): Replica {
    const found = this.replicas[this.leader];
    assert.ok(found !== undefined);
    return found;
  }
}

test('G1: however two writers, failovers, cuts, snapshots and restarts interleave, no log has a batch of the older one behind the first of the newer', () => {
  const operation = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), id: fc.constantFrom(4, 5) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('replicate' as const), id: fc.nat(2) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('commit' as const), id: fc.constant(0) }) },
    fc.record({ kind: fc.constant('fail' as const), id: fc.nat(2) }),
    fc.record({ kind: fc.constant('snapshot' as const), id: fc.nat(2) }),
    fc.record({ kind: fc.constant('restart' as const), id: fc.nat(2) }),
    fc.record({ kind: fc.constant('days' as const), id: fc.constant(0) }),
  );
  let met = 0;
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const journal = new Journal(3);
      for (const { kind, id } of operations) {
        if (kind === 'write') journal.write(BigInt(id));
        else if (kind === 'replicate') journal.replicate(id, false);
        else if (kind === 'commit') journal.replicate(0, true);
        else if (kind === 'fail') journal.fail(id);
        else if (kind === 'snapshot') journal.snapshot(id);
        else if (kind === 'restart') journal.restart(id);
        else journal.now += 2 * limits.producerExpiryMs;
        for (const { log, state } of journal.replicas) {
          const newer = log.findIndex(({ producerId }) => producerId === 5n);
          if (newer < 0) continue;
          met++;
          assert.equal(state.producers.fence, 5n);
          assert.deepEqual(
            log.slice(newer).filter(({ producerId }) => producerId === 4n),
            [],
          );
        }
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(met > 1_000, `${met} logs with both`);
});
