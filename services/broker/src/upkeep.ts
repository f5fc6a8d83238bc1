/** What a broker does on its own time: checkpoints, retention, deadlines, and the flushing of `async` logs. */
import { type BrokerSettings, limits, millis, TributaryError } from '@tributary/model';
import { LinkedAbort } from '@tributary/metadata';
import type { Clock, Logger } from '@tributary/ports';
import type { DataDirectory } from './log/data-directory.ts';
import type { Partition } from './partition/partition.ts';
import type { Replicas } from './replicas.ts';
import type { LiveSettings } from './settings.ts';

interface UpkeepConfig {
  readonly settings: Pick<LiveSettings, 'current' | 'onChange'>;
  readonly checkpointMs: number;
}

interface UpkeepPorts {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Runs until the signal aborts; then resolves. */
export async function upkeep(
  replicas: Pick<Replicas, 'open' | 'retry'>,
  directory: Pick<DataDirectory, 'checkpoint' | 'lookAtDisk'>,
  config: UpkeepConfig,
  ports: UpkeepPorts,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = ports;
  await Promise.all([
    every(clock, limits.parkedTickMs, signal, async () => {
      for (const { partition } of replicas.open()) partition.tick(millis(clock.monotonicMs()));
    }),
    every(clock, limits.diskCheckMs, signal, async () => {
      await directory.lookAtDisk(config.settings.current);
    }),
    every(clock, config.checkpointMs, signal, async () => {
      for (const { partition } of replicas.open()) partition.flushBehind();
      await replicas.retry();
      await directory.checkpoint();
    }),
    whenever(
      clock,
      config.settings,
      ({ retentionCheckMs }) => retentionCheckMs,
      signal,
      async () => {
        for (const { partition } of replicas.open()) await retain(partition, ports);
      },
    ),
  ]);
}

/** A disk that is too full for the new log start to be written down is no reason to end a broker that others still read from. */
async function retain(partition: Partition, { clock, logger }: UpkeepPorts): Promise<void> {
  const { name, role } = partition.state;
  // L4: where a log begins is the leader's to say; followers hear of it with what they replicate.
  if (role.kind !== 'leading') return;
  try {
    const segments = await partition.log.enforceRetention(clock.wallMs());
    if (segments === 0) return;
    logger.info('retention', { partition: name, segments, logStart: partition.startOffset.toString() });
    partition.startMoved();
  } catch (thrown) {
    if (!(thrown instanceof TributaryError) || thrown.error !== 'KAFKA_STORAGE_ERROR') throw thrown;
    logger.warn('retention-put-off', { partition: name, why: thrown.message });
  }
}

/** As {@link every}, at an interval that may change meanwhile: a shorter one counts at once. */
export async function whenever(
  clock: Clock,
  settings: UpkeepConfig['settings'],
  intervalMs: (settings: BrokerSettings) => number,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  let worked = clock.monotonicMs();
  while (!signal.aborted) {
    const left = worked + intervalMs(settings.current) - clock.monotonicMs();
    if (left > 0) {
      using waiting = new LinkedAbort(signal);
      const forget = settings.onChange(() => waiting.abort(new Error('The settings changed.')));
      try {
        await clock.sleep(left, waiting.signal);
      } catch {
        continue;
      } finally {
        forget();
      }
    }
    await work();
    worked = clock.monotonicMs();
  }
}

async function every(clock: Clock, intervalMs: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await clock.sleep(intervalMs, signal);
    } catch {
      return;
    }
    await work();
  }
}
