import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, offset } from '@tributary/model';
import fc from 'fast-check';
import { ProducerState } from '../../src/partition/producer-state.ts';
import { header } from './batches.ts';

const refusal = (state: ProducerState, sent: Parameters<typeof header>[0], committedMs = 0): string => {
  const verdict = state.check(header(sent), committedMs);
  return verdict.kind === 'refuse' ? verdict.error.error : verdict.kind;
};

test('P1: sequences of a producer are dense; a gap is refused', () => {
  const state = new ProducerState();
  assert.equal(refusal(state, { id: 1n }), 'append');
  state.batch(header({ id: 1n, count: 3, at: 0n }));
  assert.equal(refusal(state, { id: 1n, sequence: 3 }), 'append');
  assert.equal(refusal(state, { id: 1n, sequence: 4 }), 'OUT_OF_ORDER_SEQUENCE_NUMBER');
});

test('P1: each of the last five batches of a producer is recognised as a duplicate, with the offsets of its original', () => {
  const state = new ProducerState();
  for (let i = 0; i < 7; i++) state.batch(header({ id: 1n, sequence: i * 2, count: 2, at: BigInt(i * 2) }));
  for (let i = 2; i < 7; i++) {
    const verdict = state.check(header({ id: 1n, sequence: i * 2, count: 2 }), 0);
    assert.equal(verdict.kind, 'duplicate');
    assert.equal(verdict.kind === 'duplicate' && verdict.baseOffset, BigInt(i * 2));
    assert.equal(verdict.kind === 'duplicate' && verdict.lastOffset, BigInt(i * 2 + 1));
  }
  assert.equal(refusal(state, { id: 1n, sequence: 2, count: 2 }), 'OUT_OF_ORDER_SEQUENCE_NUMBER');
});

test('P3: an unknown producer must begin with sequence 0', () => {
  assert.equal(refusal(new ProducerState(), { id: 9n, sequence: 5 }), 'UNKNOWN_PRODUCER_ID');
});

test('P4: a newer epoch begins with sequence 0 and shuts out the older one', () => {
  const state = new ProducerState();
  state.batch(header({ id: 1n, epoch: 3, count: 2 }));
  assert.equal(refusal(state, { id: 1n, epoch: 4, sequence: 2 }), 'OUT_OF_ORDER_SEQUENCE_NUMBER');
  assert.equal(refusal(state, { id: 1n, epoch: 4 }), 'append');
  state.batch(header({ id: 1n, epoch: 4, at: 2n }));
  assert.equal(refusal(state, { id: 1n, epoch: 3, sequence: 2 }), 'INVALID_PRODUCER_EPOCH');
});

test('P3: a producer is forgotten a day of committed log time after its last batch, not before', () => {
  const state = new ProducerState();
  state.batch(header({ id: 1n, timestamp: 1_000 }));
  assert.equal(refusal(state, { id: 1n, sequence: 1 }, 1_000 + limits.producerExpiryMs), 'append');
  assert.equal(refusal(state, { id: 1n, sequence: 1 }, 1_001 + limits.producerExpiryMs), 'UNKNOWN_PRODUCER_ID');
});

test('P3: a producer of old records is known for a day of log time like any other, after a snapshot too', () => {
  const now = 10 * limits.producerExpiryMs;
  const state = new ProducerState();
  state.batch(header({ id: 1n, timestamp: now }));
  state.batch(header({ id: 2n, at: 1n, timestamp: 1_000 }));
  const resumed = new ProducerState();
  const { bytes, end } = state.take();
  resumed.restore(bytes, end);
  for (const each of [state, resumed]) {
    // A retry that is not recognised is a second copy.
    assert.equal(refusal(each, { id: 2n, timestamp: 1_000 }, now), 'duplicate');
    assert.equal(refusal(each, { id: 2n, sequence: 1, timestamp: 1_000 }, now), 'append');
    assert.equal(refusal(each, { id: 2n, sequence: 1 }, now + limits.producerExpiryMs + 1), 'UNKNOWN_PRODUCER_ID');
  }
});

test('sequences wrap from 2^31 - 1 to 0', () => {
  const state = new ProducerState();
  state.batch(header({ id: 1n, sequence: 2 ** 31 - 2, count: 2 }));
  assert.equal(refusal(state, { id: 1n, sequence: 0 }), 'append');
});

test('P3: a snapshot and the batches after it give the same verdicts as all batches', () => {
  const step = fc.record({
    id: fc.bigInt(0n, 3n),
    epoch: fc.nat(2),
    sequence: fc.nat(6),
    count: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(40), (steps, cut) => {
      const whole = new ProducerState();
      const resumed = new ProducerState();
      let end = 0n;
      for (const [i, sent] of steps.entries()) {
        if (i === cut) {
          const { bytes, end: at } = whole.take();
          assert.equal(at, end);
          resumed.restore(bytes, at);
        }
        const stored = header({ ...sent, at: end, timestamp: 1_000 + i });
        if (whole.check(stored, 0).kind !== 'append') continue;
        whole.batch(stored);
        if (i >= cut) resumed.batch(stored);
        end = stored.nextOffset;
      }
      if (cut >= steps.length) return;
      for (const probe of steps) assert.deepEqual(resumed.check(header(probe), 0), whole.check(header(probe), 0));
    }),
    { numRuns: 300 },
  );
});

test('restoring forgets what was there', () => {
  const state = new ProducerState();
  state.batch(header({ id: 1n }));
  state.restore(undefined, offset(0n));
  assert.equal(state.size, 0);
});
