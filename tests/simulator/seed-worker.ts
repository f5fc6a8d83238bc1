import { parentPort } from 'node:worker_threads';
import { logAndProduce, RunFailure } from './scenarios/log-and-produce.ts';
import type { SeedReport } from './seeds.ts';

async function outcomeOf(seed: number): Promise<SeedReport> {
  try {
    return { kind: 'done', result: await logAndProduce(seed) };
  } catch (thrown) {
    const what = thrown instanceof Error ? thrown.message : String(thrown);
    return { kind: 'failed', failure: { seed, what, tail: thrown instanceof RunFailure ? thrown.tail : [] } };
  }
}

parentPort?.on('message', (seed: number) => {
  outcomeOf(seed).then(
    (report) => parentPort?.postMessage(report),
    (thrown: unknown) => {
      throw thrown;
    },
  );
});
