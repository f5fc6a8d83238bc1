/** Time from a send to its acknowledgement, one record of 100 B at a time; beside it what one fdatasync of this disk takes by itself. */
import { open } from 'node:fs/promises';
import path from 'node:path';
import { quantile } from '../report.ts';
import { note, runsOf } from './comparison.ts';
import { settle } from './processes.ts';
import { newTopic, type Scenario, type Stage } from './scenario.ts';

const recordBytes = 100;
const usualRecords = 20_000;
const syncs = 2_000;

async function latencies({ contenders, comparison, repeat, scale, folder }: Stage, counted: boolean): Promise<void> {
  for (const run of runsOf(contenders, repeat)) {
    const { contender, policy } = run;
    const topic = newTopic();
    await contender.createTopic(topic, 1, policy);
    await settle();
    const { p50Ms, p99Ms } = await contender.latency({ topic, recordBytes, records: Math.ceil(usualRecords * scale) });
    if (counted) {
      note(comparison, run, 'acknowledged 100 B p50, ms', p50Ms);
      note(comparison, run, 'acknowledged 100 B p99, ms', p99Ms);
    }
    await contender.deleteTopic(topic);
  }
  if (counted) comparison.ours('append and fdatasync by itself p50, ms', await syncMs(folder));
}

/** Median of appending a record and syncing it, awaited as the broker does. */
async function syncMs(folder: string): Promise<number> {
  await using file = await open(path.join(folder, 'synced'), 'a');
  const bytes = new Uint8Array(recordBytes);
  const times: number[] = [];
  for (let i = 0; i < syncs; i++) {
    const begin = performance.now();
    await file.write(bytes);
    await file.datasync();
    times.push(performance.now() - begin);
  }
  return quantile(
    times.sort((a, b) => a - b),
    0.5,
  );
}

export const latency: Scenario = {
  name: 'latency',
  warmUp: (stage) => latencies({ ...stage, scale: stage.scale / 4 }, false),
  measure: (stage) => latencies(stage, true),
};
