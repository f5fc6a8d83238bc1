import { parentPort } from 'node:worker_threads';
import { RunFailure } from './run-result.ts';
import type { SeedReport, SeedTask } from './seeds.ts';
import { stories } from './stories.ts';

async function outcomeOf({ story, seed }: SeedTask): Promise<SeedReport> {
  try {
    return { kind: 'done', result: await stories[story].run(seed) };
  } catch (thrown) {
    const what = thrown instanceof Error ? thrown.message : String(thrown);
    return { kind: 'failed', failure: { seed, what, tail: thrown instanceof RunFailure ? thrown.tail : [] } };
  }
}

parentPort?.on('message', (task: SeedTask) => {
  outcomeOf(task).then(
    (report) => parentPort?.postMessage(report),
    (thrown: unknown) => {
      throw thrown;
    },
  );
});
