/**
 * npm run simulate -- --seed N                     one seed, with its story on failure
 * npm run simulate -- --seeds N [--from M]         so many seeds on all cores; what never happened makes it fail
 * npm run simulate -- --mutations [--mutation X]   planted bugs, each to be found within 500 seeds
 *   --story S   one-broker or cluster; without it both
 *   --trace     every line of the story
 *   --keep-going   do not stop at the first seed that fails
 */
import { parseArgs } from 'node:util';
import { runMutations } from './mutations/run.ts';
import { RunFailure } from './run-result.ts';
import { report, runSeeds } from './seeds.ts';
import { stories, storyNamed, type StoryName, storyNames } from './stories.ts';

const SEEDS_DEFAULT = 300;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    mutations: { type: 'boolean', default: false },
    mutation: { type: 'string' },
    story: { type: 'string' },
  },
});

const chosen = values.story === undefined ? storyNames : [storyNamed(values.story)];
let held = true;
if (values.mutations || values.mutation !== undefined) held = runMutations(values.mutation);
else
  for (const story of chosen) {
    held &&= await (values.seed === undefined
      ? many(story, Number(values.seeds ?? SEEDS_DEFAULT), Number(values.from), values['keep-going'])
      : one(story, Number(values.seed), values.trace));
  }
process.exitCode = held ? 0 : 1;

async function one(story: StoryName, seed: number, trace: boolean): Promise<boolean> {
  const begin = performance.now();
  try {
    const result = await stories[story].run(seed, trace ? { onLine: (line) => process.stdout.write(`${line}\n`) } : {});
    const { events, crashes, virtualMs, acknowledged, hash } = result;
    const seconds = ((performance.now() - begin) / 1_000).toFixed(2);
    process.stdout.write(
      `seed ${seed} of ${story}: ${events} events, ${crashes} crashes, ${acknowledged} records acknowledged, ${virtualMs} ms of virtual time in ${seconds} s; trace ${hash}\n`,
    );
    return true;
  } catch (thrown) {
    if (!(thrown instanceof RunFailure)) throw thrown;
    if (!trace) process.stdout.write(`${thrown.tail.join('\n')}\n`);
    process.stdout.write(`\nseed ${seed} broke a rule. ${thrown.message}\n`);
    return false;
  }
}

async function many(story: StoryName, count: number, from: number, keepGoing: boolean): Promise<boolean> {
  const outcome = await runSeeds({ story, from, count, stopAtFailure: !keepGoing });
  process.stdout.write(report(outcome));
  return outcome.failures.length === 0 && outcome.coverage.missing().length === 0;
}
