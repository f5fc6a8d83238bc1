/** Throughput of one consumer that reads six partitions from the beginning; the page cache has them. */
import type { Contender } from './contender.ts';
import { settle } from './processes.ts';
import { newTopic, partitions, type Scenario, sizes, type Stage } from './scenario.ts';

async function consumeAll({ contenders, comparison, repeat, scale }: Stage, counted: boolean): Promise<void> {
  const turns: readonly Contender[] = repeat % 2 === 0 ? contenders : contenders.toReversed();
  for (const { recordBytes, title, records } of sizes) {
    for (const contender of turns) {
      const job = { topic: newTopic(), recordBytes, records: Math.ceil(records * scale) };
      await contender.createTopic(job.topic, partitions, 'async');
      await contender.produce(job);
      await settle();
      const mibPerSecond = await contender.consume(job);
      const row = `consume ${title}, MiB/s`;
      if (counted && contender.name === 'Tributary') comparison.ours(row, mibPerSecond);
      else if (counted) comparison.peers(row, mibPerSecond);
      await contender.deleteTopic(job.topic);
    }
  }
}

export const consume: Scenario = {
  name: 'consume',
  warmUp: (stage) => consumeAll({ ...stage, scale: stage.scale / 2 }, false),
  measure: (stage) => consumeAll(stage, true),
};
