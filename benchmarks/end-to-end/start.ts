/** From the start of the process to its first answers, on a fresh data directory; memory when idle, and after the load of produce and consume. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Comparison } from './comparison.ts';
import type { Contender } from './contender.ts';
import { newTopic, partitions, type Scenario, sizes, type Stage } from './scenario.ts';

const idleMs = 3_000;

async function begin(contender: Contender, comparison: Comparison, scale: number): Promise<void> {
  const note = (row: string, value: number): void => {
    if (contender.name === 'Tributary') comparison.ours(row, value);
    else comparison.peers(row, value);
  };
  await contender.stop();
  const { metadataSeconds, acknowledgedSeconds } = await contender.start();
  note('start to first metadata, s', metadataSeconds);
  if (acknowledgedSeconds !== undefined) note('start to first acknowledgement, s', acknowledgedSeconds);
  await sleep(idleMs);
  note('memory idle, MiB', contender.memory());
  for (const { recordBytes, records } of sizes) {
    const job = { topic: newTopic(), recordBytes, records: Math.ceil(records * scale) };
    await contender.createTopic(job.topic, partitions, 'async');
    await contender.produce(job);
    await contender.consume(job);
    note(`memory after ${recordBytes} B records, MiB`, contender.memory());
    await contender.deleteTopic(job.topic);
  }
}

export const start: Scenario = {
  name: 'start',
  warmUp: () => Promise.resolve(),
  measure: async ({ contenders, comparison, repeat, scale }: Stage) => {
    const turns = repeat % 2 === 0 ? contenders : contenders.toReversed();
    for (const contender of turns) await begin(contender, comparison, scale);
  },
};
