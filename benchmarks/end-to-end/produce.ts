/** Throughput of one producer: acks=all, batches of 128 KiB, linger 10 ms, six partitions. */
import { note, runsOf } from './comparison.ts';
import { settle } from './processes.ts';
import { newTopic, partitions, type Scenario, sizes, type Stage } from './scenario.ts';

async function produceAll({ contenders, comparison, repeat, scale }: Stage, counted: boolean): Promise<void> {
  for (const { recordBytes, title, records } of sizes) {
    for (const run of runsOf(contenders, repeat)) {
      const { contender, policy } = run;
      const topic = newTopic();
      await contender.createTopic(topic, partitions, policy);
      await settle();
      const mibPerSecond = await contender.produce({ topic, recordBytes, records: Math.ceil(records * scale) });
      if (counted) note(comparison, run, `produce ${title}, MiB/s`, mibPerSecond);
      await contender.deleteTopic(topic);
    }
  }
}

export const produce: Scenario = {
  name: 'produce',
  warmUp: (stage) => produceAll({ ...stage, scale: stage.scale / 2 }, false),
  measure: (stage) => produceAll(stage, true),
};
