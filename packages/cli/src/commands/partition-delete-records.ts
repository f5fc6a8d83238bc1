import { open } from '../cluster.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { amount, goneJson } from '../retention-effect.ts';
import { print } from '../standard-output.ts';

interface DeleteRecordsOptions extends ConnectionOptions {
  readonly partition: number;
  readonly beforeOffset: bigint | 'end';
  readonly dryRun?: boolean;
}

export async function partitionDeleteRecords(topic: string, options: DeleteRecordsOptions): Promise<void> {
  const { partition, beforeOffset: before, dryRun = false } = options;
  await using cluster = await open(options);
  const [gone] = await cluster.admin.deleteRecords([{ topic, partition, before }], { validateOnly: dryRun });
  if (gone === undefined) return;
  if (options.output === 'json') {
    await print(JSON.stringify({ ...goneJson(gone), dryRun }));
    return;
  }
  const done = dryRun ? 'Dry run: this would delete' : 'Deleted';
  const left = dryRun ? 'the first offset left would be' : 'the first offset left is';
  await print(`${done} ${amount(gone)} of whole segments from ${topic}-${partition}; ${left} ${gone.logStartOffset}.`);
}
