/** L5 through crashes: after any sequence of writes, compactions and crashes at any disk operation, a reader finds what the model says. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CompactionModel, type Step } from './compaction-model.ts';
import { type Crash, Machine } from './machine.ts';
import { onSimulatedDisk } from './on-disk.ts';

const write = fc.record({
  do: fc.constant('write' as const),
  records: fc.array(fc.tuple(fc.nat(5), fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 120 }))), {
    minLength: 1,
    maxLength: 5,
  }),
  producer: fc.nat(3),
  compression: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(4) }),
});
const compact = fc.record({
  do: fc.constant('compact' as const),
  waitMs: fc.constantFrom(0, 400, 1_000),
  buffer: fc.constantFrom(150, 1 << 20),
  whileWriting: fc.boolean(),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: write },
  { weight: 4, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 4, arbitrary: compact },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      { do: 'checkpoint' as const },
      { do: 'delete records' as const },
      { do: 'reopen' as const },
    ),
  },
);
const story = fc.record({
  seed: fc.nat(),
  steps: fc.array(step, { minLength: 30, maxLength: 60 }),
  /** What happens after the crash. */
  later: fc.array(step, { minLength: 5, maxLength: 20 }),
  how: fc.constantFrom<Crash>('process', 'power'),
  /** Where in the disk operations of the first life. */
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  /** And again in those of the recovery. */
  again: fc.option(fc.nat(40), { nil: undefined }),
});

type Story = typeof story extends fc.Arbitrary<infer T> ? T : never;

interface Told {
  readonly operations: number;
  readonly compacted: number;
  readonly tombstonesGone: number;
}

/** @param crashAt number of the disk operation; 0: none. */
async function tell({ seed, steps, later, how, again }: Story, crashAt: number): Promise<Told> {
  let told: Told = { operations: 0, compacted: 0, tombstonesGone: 0 };
  await onSimulatedDisk(seed, async (bench) => {
    const model = new CompactionModel();
    const machine = new Machine(bench, how);
    await machine.run((files, host) => model.live(files, host, steps), crashAt);
    const { operations } = bench.disk;
    if (crashAt === 0) machine.crash(how);
    if (again !== undefined) await machine.run(async (files, host) => void (await model.open(files, host)), again);
    await machine.run(async (files, host) => {
      const life = await model.open(files, host);
      model.adopt(life);
      await model.check(life);
      await life.directory.close();
    });
    await machine.run((files, host) => model.live(files, host, later));
    const { compacted, tombstonesGone } = model;
    told = { operations, compacted, tombstonesGone };
  });
  return told;
}

describe('a compacted log', () => {
  test('after any writes, compactions and crashes has the newest value of each key, what is newer than the dirty point, and its producers', async () => {
    let compacted = 0;
    let tombstonesGone = 0;
    await fc.assert(
      fc.asyncProperty(story, async (one) => {
        const whole = await tell(one, 0);
        compacted += whole.compacted;
        tombstonesGone += whole.tombstonesGone;
        await tell(one, 1 + Math.floor(one.at * (whole.operations - 1)));
      }),
      { numRuns: 50 },
    );
    assert.ok(compacted > 25 && tombstonesGone > 5, `${compacted} compactions, ${tombstonesGone} tombstones gone`);
  });

  /** Values that are deleted far behind, over several groups of segments. */
  const deletions: readonly Step[] = [
    ...[0, 1, 2].map((key): Step => ({ do: 'write', records: [[key, 100]], producer: 1, compression: 0 })),
    ...Array.from(
      { length: 12 },
      (_, index): Step => ({
        do: 'write',
        records: [
          [10 + index, 100],
          [30 + index, 100],
        ],
        producer: 2,
        compression: 0,
      }),
    ),
    ...[0, 1, 2].map((key): Step => ({ do: 'write', records: [[key, 0]], producer: 1, compression: 0 })),
    ...[50, 51, 52, 53, 54].map((key): Step => ({ do: 'write', records: [[key, 100]], producer: 0, compression: 0 })),
    { do: 'commit' },
  ];
  const more: readonly Step[] = [60, 61, 62, 63, 64].map((key) => ({
    do: 'write',
    records: [[key, 120]],
    producer: 0,
    compression: 0,
  }));
  const compactNow: Step = { do: 'compact', waitMs: 1_000, buffer: 1 << 20, whileWriting: false };

  /** Crashes the first and the second compaction at these disk operations; 0: not. @returns how many there were, and what was done. */
  async function crashTwice(
    seed: number,
    how: Crash,
    first: number,
    second: number,
    again = 0,
  ): Promise<Told & { readonly first: number }> {
    let told = { operations: 0, compacted: 0, tombstonesGone: 0, first: 0 };
    await onSimulatedDisk(`${seed} ${how} ${first} ${second} ${again}`, async (bench) => {
      const model = new CompactionModel();
      const machine = new Machine(bench, how);
      await machine.run((files, host) => model.live(files, host, deletions));
      const counts: number[] = [];
      for (const crashAt of [first, second, 0]) {
        const before = bench.disk.operations;
        await machine.run((files, host) => model.live(files, host, [compactNow]), crashAt);
        counts.push(bench.disk.operations - before);
        machine.crash(how);
        if (again > 0) await machine.run(async (files, host) => void (await model.open(files, host)), again);
        await machine.run(async (files, host) => {
          const life = await model.open(files, host);
          model.adopt(life);
          await model.check(life);
          await life.directory.close();
        });
        if (crashAt !== first) await machine.run((files, host) => model.live(files, host, more));
      }
      const { compacted, tombstonesGone } = model;
      told = { operations: counts[1] ?? 0, first: counts[0] ?? 0, compacted, tombstonesGone };
    });
    return told;
  }

  for (const how of ['process', 'power'] as const) {
    test(`whose compaction crashes at one disk operation or another (${how}), and once more where that is finished, is whole`, async () => {
      const { first } = await crashTwice(1, how, 0, 0);
      assert.ok(first > 40, `${first} disk operations`);
      for (let at = 1; at <= first; at += 3) await crashTwice(2, how, at, 0, 1 + (at % 9));
    });
  }

  test('whose compactions crash one after the other never loses a tombstone before what it covers', async () => {
    let gone = 0;
    for (let seed = 0; seed < 40; seed++) {
      const { tombstonesGone } = await crashTwice(seed, 'process', 20 + ((seed * 7) % 60), 20 + ((seed * 29) % 70));
      gone += tombstonesGone;
    }
    assert.ok(gone > 10, `${gone} tombstones`);
  });
});
