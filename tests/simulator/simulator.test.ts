import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { report, runSeeds } from './seeds.ts';
import { stories, storyNames } from './stories.ts';

/** What two minutes allow. */
const seedsOf = { 'one-broker': 300, cluster: 300, groups: 100 } as const;
const EVENTS_MIN = 2_000;
const CRASHES_MIN = 3;

for (const story of storyNames) {
  const { run } = stories[story];
  describe(`the story of ${story}, under every fault`, () => {
    test('the same seed twice is the same story, another seed another one', async () => {
      for (const seed of [1, 2]) {
        const first = await run(seed);
        const second = await run(seed);
        assert.equal(second.hash, first.hash);
        assert.equal(second.events, first.events);
      }
      assert.notEqual((await run(4)).hash, (await run(5)).hash);
    });

    test(`keeps every promise through ${seedsOf[story]} seeds, which meet every fault`, async (context) => {
      const outcome = await runSeeds({ story, from: 1, count: seedsOf[story], stopAtFailure: true });
      context.diagnostic(report(outcome).trimEnd().split('\n').at(-1) ?? '');
      const [failure] = outcome.failures;
      assert.equal(
        failure,
        undefined,
        `seed ${failure?.seed}: ${failure?.what}\nsee it again: npm run simulate -- --story ${story} --seed ${failure?.seed}`,
      );
      for (const { seed, events, crashes } of outcome.results) {
        assert.ok(events >= EVENTS_MIN, `seed ${seed} has only ${events} events`);
        assert.ok(crashes >= CRASHES_MIN, `seed ${seed} has only ${crashes} crashes`);
      }
      assert.deepEqual(outcome.coverage.missing(), [], 'these never happened in any seed');
    });
  });
}
