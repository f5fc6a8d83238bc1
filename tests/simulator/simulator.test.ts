import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { logAndProduce } from './scenarios/log-and-produce.ts';
import { report, runSeeds } from './seeds.ts';

const SEEDS = 300;
const EVENTS_MIN = 2_000;
const CRASHES_MIN = 3;

describe('log, produce and fetch under every fault', () => {
  test('the same seed twice is the same story, another seed another one', async () => {
    for (const seed of [1, 2, 3]) {
      const first = await logAndProduce(seed);
      const second = await logAndProduce(seed);
      assert.equal(second.hash, first.hash);
      assert.equal(second.events, first.events);
    }
    assert.notEqual((await logAndProduce(4)).hash, (await logAndProduce(5)).hash);
  });

  test(`keep every promise through ${SEEDS} seeds, which meet every fault`, async (context) => {
    const outcome = await runSeeds({ from: 1, count: SEEDS, stopAtFailure: true });
    context.diagnostic(report(outcome).trimEnd().split('\n').at(-1) ?? '');
    const [failure] = outcome.failures;
    assert.equal(
      failure,
      undefined,
      `seed ${failure?.seed}: ${failure?.what}\nsee it again: npm run simulate -- --seed ${failure?.seed}`,
    );
    for (const { seed, events, crashes } of outcome.results) {
      assert.ok(events >= EVENTS_MIN, `seed ${seed} has only ${events} events`);
      assert.ok(crashes >= CRASHES_MIN, `seed ${seed} has only ${crashes} crashes`);
    }
    assert.deepEqual(outcome.coverage.missing(), [], 'these never happened in any seed');
  });
});
