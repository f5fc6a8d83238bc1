/** Runs of many seeds, shared out over the cores: each run is a world of its own, so nothing is shared but the counting. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Coverage } from './coverage.ts';
import { expectEverything, type RunResult } from './scenarios/log-and-produce.ts';

export interface SeedFailure {
  readonly seed: number;
  readonly what: string;
  readonly tail: readonly string[];
}

/** What a worker says after each seed. */
export type SeedReport =
  | { readonly kind: 'done'; readonly result: RunResult }
  | { readonly kind: 'failed'; readonly failure: SeedFailure };

export interface SeedsPlan {
  readonly from: number;
  readonly count: number;
  readonly stopAtFailure: boolean;
}

export interface SeedsOutcome {
  readonly results: readonly RunResult[];
  readonly failures: readonly SeedFailure[];
  readonly coverage: Coverage;
  readonly seconds: number;
}

export async function runSeeds(plan: SeedsPlan): Promise<SeedsOutcome> {
  const begin = performance.now();
  const coverage = new Coverage();
  expectEverything(coverage);
  const results: RunResult[] = [];
  const failures: SeedFailure[] = [];
  let next = plan.from;
  const end = plan.from + plan.count;
  const take = (): number | undefined =>
    next < end && !(plan.stopAtFailure && failures.length > 0) ? next++ : undefined;
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
  return { results, failures, coverage, seconds: (performance.now() - begin) / 1_000 };
}

function runWorker(take: () => number | undefined, onReport: (report: SeedReport) => void): Promise<void> {
  const first = take();
  if (first === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./seed-worker.ts', import.meta.url));
    worker.postMessage(first);
    worker.on('message', (report: SeedReport) => {
      onReport(report);
      const seed = take();
      if (seed !== undefined) worker.postMessage(seed);
      else void worker.terminate().then(() => resolve());
    });
    worker.on('error', reject);
  });
}

/** For people: totals, what happened how often, what never did, and how to see a failure again. */
export function report({ results, failures, coverage, seconds }: SeedsOutcome): string {
  const lines: string[] = [];
  for (const [name, times] of coverage.entries()) lines.push(`${String(times).padStart(9)}  ${name}`);
  const events = results.reduce((sum, each) => sum + each.events, 0);
  const least = Math.min(...results.map((each) => each.events));
  const fewest = Math.min(...results.map((each) => each.crashes));
  lines.push(
    `${results.length} seeds held: ${events} events (at least ${least} each), at least ${fewest} crashes each, ` +
      `${results.reduce((sum, each) => sum + each.acknowledged, 0)} records acknowledged; ${seconds.toFixed(1)} s, ${Math.round(events / seconds)} events/s`,
  );
  for (const name of coverage.missing()) lines.push(`never happened: ${name}`);
  for (const { seed, what } of failures)
    lines.push('', `seed ${seed} broke a rule. ${what}`, `see it again: npm run simulate -- --seed ${seed}`);
  return `${lines.join('\n')}\n`;
}
