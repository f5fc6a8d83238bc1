import type { Tributary } from '@tributary/client';
import { open } from '../cluster.ts';
import { counted } from '../figures.ts';
import type { ConnectionOptions } from '../program/options.ts';
import { amount } from '../retention-effect.ts';
import { print } from '../standard-output.ts';

interface TopicDeleteOptions extends ConnectionOptions {
  readonly dryRun?: boolean;
}

export async function topicDelete(name: string, options: TopicDeleteOptions): Promise<void> {
  await using cluster = await open(options);
  if (options.dryRun === true) {
    const { isCompacted, ...effect } = await effectOn(cluster, name);
    const { partitions } = effect;
    const most = isCompacted ? 'at most ' : '';
    const sentence = `Dry run: deleting topic ${name} would remove ${counted(partitions, 'partition')} with ${most}${amount(effect)}.`;
    await print(
      options.output === 'json' ? JSON.stringify({ name, deleted: false, dryRun: true, ...effect }) : sentence,
    );
    return;
  }
  await cluster.admin.deleteTopic(name);
  await print(options.output === 'json' ? JSON.stringify({ name, deleted: true }) : `Deleted topic ${name}.`);
}

interface Effect {
  readonly partitions: number;
  /** Offsets: where records have been compacted away, there are fewer. */
  readonly records: number;
  readonly bytes: number;
  readonly isCompacted: boolean;
}

/** Records once, bytes on all brokers. */
async function effectOn({ admin }: Tributary, name: string): Promise<Effect> {
  const { id, partitions, configs } = await admin.describeTopic(name);
  const isCompacted = configs.some((each) => each.name === 'cleanup.policy' && each.value.includes('compact'));
  const directories = await admin.describeLogDirs({ topicIds: [id] });
  const records = new Map<number, number>();
  let bytes = 0;
  for (const log of directories.flatMap((directory) => directory.partitions)) {
    bytes += log.sizeBytes;
    const here = Number(log.highWatermark - log.logStartOffset);
    records.set(log.partition, Math.max(records.get(log.partition) ?? 0, here));
  }
  return { partitions, records: [...records.values()].reduce((sum, each) => sum + each, 0), bytes, isCompacted };
}
