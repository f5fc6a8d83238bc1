/** Runs of many seeds, shared out over the cores: each run is a world of its own, so nothing is shared but the counting. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Coverage } from './coverage.ts';
import type { RunResult } from './run-result.ts';
import { stories, type StoryName } from './stories.ts';

export interface SeedFailure {
  readonly seed: number;
  readonly what: string;
  readonly tail: readonly string[];
}

/** What a worker says after each seed. */
export type SeedReport =
  | { readonly kind: 'done'; readonly result: RunResult }
  | { readonly kind: 'failed'; readonly failure: SeedFailure };

/** What a worker is asked for. */
export interface SeedTask {
  readonly story: StoryName;
  readonly seed: number;
}

export interface SeedsPlan {
  readonly story: StoryName;
  readonly from: number;
  readonly count: number;
  readonly stopAtFailure: boolean;
}

export interface SeedsOutcome {
  readonly story: StoryName;
  readonly results: readonly RunResult[];
  readonly failures: readonly SeedFailure[];
  readonly coverage: Coverage;
  readonly seconds: number;
}

export async function runSeeds(plan: SeedsPlan): Promise<SeedsOutcome> {
  const begin = performance.now();
  const coverage = new Coverage();
  stories[plan.story].expect(coverage);
  const results: RunResult[] = [];
  const failures: SeedFailure[] = [];
  let next = plan.from;
  const end = plan.from + plan.count;
  const take = (): SeedTask | undefined =>
    next < end && !(plan.stopAtFailure && failures.length > 0) ? { story: plan.story, seed: next++ } : undefined;
  const workers = Array.from({ length: Math.min(availableParallelism(), plan.count) }, () =>
    runWorker(take, (report) => {
      if (report.kind === 'failed') {
        failures.push(report.failure);
        return;
      }
      results.push(report.result);
      coverage.add(report.result.coverage);
    }),
  );
  await Promise.all(workers);
  results.sort((a, b) => a.seed - b.seed);
  return { story: plan.story, results, failures, coverage, seconds: (performance.now() - begin) / 1_000 };
}

/** Longer than any seed takes on a slow machine, ms: beyond it, something goes round without virtual time passing. */
const SEED_MS_MAX = 120_000;

function runWorker(take: () => SeedTask | undefined, onReport: (report: SeedReport) => void): Promise<void> {
  const first = take();
  if (first === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./seed-worker.ts', import.meta.url));
    let watchdog: NodeJS.Timeout | undefined;
    const give = (task: SeedTask): void => {
      watchdog = setTimeout(() => {
        const what = `It did not end within ${SEED_MS_MAX / 1_000} s: something goes round without virtual time passing.`;
        onReport({ kind: 'failed', failure: { seed: task.seed, what, tail: [] } });
        void worker.terminate().then(() => runWorker(take, onReport).then(resolve, reject));
      }, SEED_MS_MAX);
      worker.postMessage(task);
    };
    give(first);
    worker.on('message', (report: SeedReport) => {
      clearTimeout(watchdog);
      onReport(report);
      const task = take();
      if (task !== undefined) give(task);
      else void worker.terminate().then(() => resolve());
    });
    worker.on('error', (thrown) => {
      clearTimeout(watchdog);
      reject(thrown);
    });
  });
}

/** For people: totals, what happened how often, what never did, and how to see a failure again. */
export function report({ story, results, failures, coverage, seconds }: SeedsOutcome): string {
  const lines: string[] = [];
  for (const [name, times] of coverage.entries()) lines.push(`${String(times).padStart(9)}  ${name}`);
  const events = results.reduce((sum, each) => sum + each.events, 0);
  const least = Math.min(...results.map((each) => each.events));
  const fewest = Math.min(...results.map((each) => each.crashes));
  lines.push(
    `${results.length} seeds of ${story} held: ${events} events (at least ${least} each), at least ${fewest} crashes each, ` +
      `${results.reduce((sum, each) => sum + each.acknowledged, 0)} records acknowledged; ${seconds.toFixed(1)} s, ${Math.round(events / seconds)} events/s`,
  );
  for (const name of coverage.missing()) lines.push(`never happened: ${name}`);
  for (const { seed, what } of failures)
    lines.push(
      '',
      `seed ${seed} broke a rule. ${what}`,
      `see it again: npm run simulate -- --story ${story} --seed ${seed}`,
    );
  return `${lines.join('\n')}\n`;
}
