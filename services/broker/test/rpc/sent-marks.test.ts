import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, type Offset, offset } from '@tributary/model';
import * as fc from 'fast-check';
import { SeededRandom } from '../../../../tests/simulator/seeded-random.ts';
import { SentMarks } from '../../src/rpc/sent-marks.ts';

const said = (taken: ReadonlyMap<string, Offset>): readonly string[] => [...taken].map((each) => each.join(':'));

/** What was sent, all of it remembered. */
interface Sent {
  readonly key: string;
  /** Handled once so many bytes are, of all partitions. */
  readonly needs: number;
  readonly next: bigint;
}

type Step =
  | { readonly kind: 'begin' | 'forget'; readonly key: string }
  | { readonly kind: 'send'; readonly key: string; readonly records: number; readonly bytes: number }
  | { readonly kind: 'take'; readonly share: number };

const key = fc.constantFrom('a', 'b', 'c');
const step = fc.oneof(
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('begin' as const, 'forget' as const), key }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      key,
      records: fc.integer({ min: 1, max: 3 }),
      bytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 50 })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('take' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
);

/** Newest place of each partition that is handled with so many bytes. */
function handledOf(sent: readonly Sent[], handled: number): Map<string, bigint> {
  const places = new Map<string, bigint>();
  for (const { key: of, needs, next } of sent) if (needs <= handled) places.set(of, next);
  return places;
}

/** Runs the steps beside a model. @param look at what was taken, and what the model says that could be. */
function played(
  steps: readonly Step[],
  look: (taken: Map<string, Offset>, could: Map<string, bigint>) => void,
): SentMarks {
  const marks = new SentMarks();
  let sent: Sent[] = [];
  let bytes = 0;
  let handled = 0;
  const ends = new Map<string, bigint>();
  for (const each of steps) {
    switch (each.kind) {
      case 'forget':
        marks.forget(new Set([each.key]));
        sent = sent.filter((one) => one.key !== each.key);
        break;
      case 'begin':
        marks.forget(new Set([each.key]));
        sent = sent.filter((one) => one.key !== each.key);
        marks.add(each.key, 0, offset(ends.get(each.key) ?? 0n));
        sent.push({ key: each.key, needs: bytes, next: ends.get(each.key) ?? 0n });
        break;
      case 'send': {
        const next = (ends.get(each.key) ?? 0n) + BigInt(each.records);
        ends.set(each.key, next);
        bytes += each.bytes;
        marks.add(each.key, each.bytes, offset(next), each.records);
        sent.push({ key: each.key, needs: each.bytes === 0 ? bytes + 1 : bytes, next });
        break;
      }
      case 'take':
        handled = Math.max(handled, Math.floor(bytes * each.share));
        look(marks.take(handled), handledOf(sent, handled));
    }
    assert.equal(marks.sent, bytes);
  }
  look(marks.take(bytes + 1), handledOf(sent, bytes + 1));
  return marks;
}

describe('what may be committed for a client', () => {
  test('is how far each partition had been sent when as much had been sent as is handled, said once', () => {
    const marks = new SentMarks();
    marks.add('a', 0, offset(100n));
    marks.add('a', 10, offset(103n), 3);
    marks.add('b', 5, offset(7n), 2);
    marks.add('a', 10, offset(105n), 2);
    assert.equal(marks.sent, 25);
    assert.deepEqual(said(marks.take(0)), ['a:100']);
    assert.deepEqual(said(marks.take(9)), []);
    assert.deepEqual(said(marks.take(10)), ['a:103']);
    assert.deepEqual(said(marks.take(24)), ['b:7']);
    assert.deepEqual(said(marks.take(24)), []);
    assert.deepEqual(said(marks.take(1_000)), ['a:105']);
  });

  test('records without a byte count as handled with what comes behind them, never with what went before', () => {
    const marks = new SentMarks();
    marks.add('a', 10, offset(1n), 1);
    marks.add('a', 0, offset(2n), 1);
    marks.add('b', 0, offset(9n), 1);
    assert.deepEqual(said(marks.take(10)), ['a:1']);
    marks.add('a', 1, offset(3n), 1);
    assert.deepEqual(said(marks.take(11)), ['a:3', 'b:9']);
  });

  test('what is forgotten is not said again; the others are', () => {
    const marks = new SentMarks();
    marks.add('a', 1, offset(1n), 1);
    marks.add('b', 1, offset(1n), 1);
    marks.forget(new Set(['a']));
    assert.deepEqual(said(marks.take(2)), ['b:1']);
  });

  test('never lies beyond what was sent and is handled, whatever comes in whatever order, and is all of that below the limit', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const so = new Map<string, bigint>();
        played(steps, (taken, could) => {
          for (const [of, next] of taken) {
            assert.ok(next <= (could.get(of) ?? -1n), `${of}:${next}, handled is ${could.get(of)}`);
            so.set(of, next);
          }
          for (const [of, next] of could) {
            // What was begun behind records without a byte waits with them.
            const known = so.get(of) ?? -1n;
            assert.ok(known >= next || hasEmpty(steps), `${of} is handled to ${next}, told was ${known}`);
          }
        });
      }),
      { numRuns: 300 },
    );
  });

  test('above the limit fewer places are remembered: what is said is lower, never higher, and the newest of each partition stays', () => {
    for (const seed of [1, 2, 3]) {
      const random = new SeededRandom(`marks ${seed}`);
      const marks = new SentMarks();
      const sent: Sent[] = [];
      let bytes = 0;
      for (let index = 0; index < 5 * limits.autoCommitMarks; index++) {
        const of = random.pick(['a', 'b', 'c']);
        const each = random.between(1, 50);
        bytes += each;
        marks.add(of, each, offset(BigInt(index)), 1);
        sent.push({ key: of, needs: bytes, next: BigInt(index) });
      }
      for (let part = 1; part <= 50; part++) {
        const could = handledOf(sent, (bytes * part) / 50);
        for (const [of, next] of marks.take((bytes * part) / 50)) {
          const best = could.get(of) ?? -1n;
          // A fiftieth of all at most, in records: places stay evenly apart.
          assert.ok(next <= best && best - next < 100n, `${of}:${next} of ${best}`);
          if (part === 50) assert.equal(next, best);
        }
      }
    }
  });

  test('as many partitions as the limit and more: the newest place of each is remembered', () => {
    const marks = new SentMarks();
    const partitions = 2 * limits.autoCommitMarks;
    for (let index = 0; index < 4 * partitions; index++)
      marks.add(`${index % partitions}`, 1, offset(BigInt(index)), 1);
    const taken = marks.take(marks.sent);
    assert.equal(taken.size, partitions);
    for (const [of, next] of taken) assert.equal(next, BigInt(3 * partitions + Number(of)));
  });

  test('a client that stays far behind is committed for all the same: at every step, about as far as it has handled', () => {
    for (const partitions of [1, 20, 5_000]) {
      const marks = new SentMarks();
      const perStep = 4 * Math.max(partitions, limits.autoCommitMarks);
      const said = new Map<string, bigint>();
      for (let step = 1; step <= 8; step++) {
        for (let index = 0; index < perStep; index++) {
          const nth = (step - 1) * perStep + index;
          marks.add(`${nth % partitions}`, 100, offset(BigInt(nth)), 1);
          assert.ok(marks.size <= Math.max(limits.autoCommitMarks, 4 * partitions));
        }
        // One step behind.
        const handled = (step - 1) * perStep;
        for (const [of, next] of marks.take(handled * 100)) {
          assert.ok(Number(next) < handled);
          said.set(of, next);
        }
        for (let of = 0; step > 2 && of < partitions; of++) {
          const behind = handled - Number(said.get(`${of}`) ?? 0n);
          assert.ok(behind < perStep, `step ${step}: ${of} of ${partitions} is ${behind} behind ${handled}`);
        }
      }
    }
  });
});

const hasEmpty = (steps: readonly Step[]): boolean => steps.some((each) => each.kind === 'send' && each.bytes === 0);
