/** A log that is compacted, for tests: records in, a round of compaction, and what somebody who has nothing in memory then reads. */
import type { TopicConfig } from '@tributary/model';
import type { FileSystem } from '@tributary/ports';
import type { Compression } from '@tributary/record';
import type { CompactionOptions } from '../../src/log/compaction.ts';
import { type Broker, config, type StartOptions, start, testClock, testRandom } from './harness.ts';
import { at, keyedBatch, readKeyed } from './keyed.ts';

export const compacted = (settings: Readonly<Record<string, string>> = {}): TopicConfig =>
  config({
    'cleanup.policy': 'compact',
    'segment.bytes': '1024',
    'index.interval.bytes': '100',
    'delete.retention.ms': '1000',
    'min.cleanable.dirty.ratio': '0.01',
    ...settings,
  });

/** Sleeps are over at once. */
export function clockAt(now: number) {
  const clock = testClock(now);
  return Object.assign(clock, { sleep: () => Promise.resolve() });
}

export const options = (changes: Partial<CompactionOptions> = {}): CompactionOptions => ({
  buffer: 1 << 20,
  bytesPerSecond: undefined,
  random: testRandom(),
  passed: () => at(1_000_000),
  signal: new AbortController().signal,
  ...changes,
});

export interface Line {
  readonly key: string;
  readonly value: string | null;
  readonly timestamp?: number;
}

/** Appends one batch, flushes it and commits it. */
export async function write(broker: Broker, lines: readonly Line[], compression: Compression = 'none'): Promise<void> {
  const records = lines.map(({ key, value, timestamp = 1_000 }) => ({ key, value, timestamp }));
  await broker.append(keyedBatch({ at: broker.log.endOffset, records, compression }));
  broker.log.noteHighWatermark(await broker.log.sync());
}

const padding = 'p'.repeat(200);
/** Values large enough for four batches to fill a segment. */
export const line = (key: string, value: string): Line => ({ key, value: `${value} ${padding}` });
export const shown = async ({ log }: Broker): Promise<string[]> =>
  (await readKeyed(log)).map(
    ({ offset, key, value }) => `${offset} ${key}=${value === null ? 'null' : value.split(' ')[0]}`,
  );

export async function opened(files: FileSystem, more: StartOptions = {}): Promise<Broker> {
  return await start(files, { config: compacted(), clock: clockAt(10_000), ...more });
}

/** As somebody who has nothing in memory sees it. */
export async function reopened(broker: Broker, files: FileSystem, more: StartOptions = {}): Promise<Broker> {
  await broker.directory.close();
  return await opened(files, more);
}
