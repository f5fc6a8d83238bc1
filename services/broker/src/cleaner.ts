/**
 * The cleaner: compacts one log after the other, the dirtiest first, and rests when none is dirty enough (L5). What goes wrong with one log is said and keeps
 * neither the others nor the broker from their work.
 */
import { type TopicConfig, TributaryError } from '@tributary/model';
import type { Clock, Logger, Random } from '@tributary/ports';
import type { CompactionReport } from './log/compaction.ts';
import type { Cleanable } from './log/compaction-plan.ts';
import type { PartitionLog } from './log/partition-log.ts';
import type { Partition } from './partition/partition.ts';
import type { Replicas } from './replicas.ts';
import type { LiveSettings } from './settings.ts';
import { whenever } from './upkeep.ts';

export interface CleanerObserver {
  compacted(report: CompactionReport): void;
  /** A log is given up until its settings change or the broker starts again. */
  stopped(): void;
}

/** Logs looked at between two turns for others: some 100 µs. */
const logsPerTurn = 32;

interface CleanerPorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
}

type Cleaned = Pick<Partition, 'state' | 'log' | 'passedByAll'>;

interface Candidate {
  readonly partition: Cleaned;
  readonly cleanable: Cleanable;
}

/** Runs until the signal aborts; then resolves. */
export async function keepClean(
  replicas: Pick<Replicas, 'open'>,
  settings: Pick<LiveSettings, 'current' | 'onChange'>,
  observer: CleanerObserver,
  ports: CleanerPorts,
  signal: AbortSignal,
): Promise<void> {
  const cleaner = new Cleaner(replicas, settings, observer, ports, signal);
  await whenever(
    ports.clock,
    settings,
    ({ cleanerBackoffMs }) => cleanerBackoffMs,
    signal,
    () => cleaner.sweep(),
  );
}

class Cleaner {
  readonly #replicas: Pick<Replicas, 'open'>;
  readonly #settings: Pick<LiveSettings, 'current'>;
  readonly #observer: CleanerObserver;
  readonly #ports: CleanerPorts;
  readonly #signal: AbortSignal;
  /** Logs that cannot be compacted, with the settings under which that was found. */
  readonly #stopped = new WeakMap<PartitionLog, TopicConfig>();

  constructor(
    replicas: Pick<Replicas, 'open'>,
    settings: Pick<LiveSettings, 'current'>,
    observer: CleanerObserver,
    ports: CleanerPorts,
    signal: AbortSignal,
  ) {
    this.#replicas = replicas;
    this.#settings = settings;
    this.#observer = observer;
    this.#ports = ports;
    this.#signal = signal;
  }

  /** Until nothing is due any more. */
  async sweep(): Promise<void> {
    const putOff = new Set<PartitionLog>();
    for (let due = await this.#due(putOff); due.length > 0; due = await this.#due(putOff)) {
      for (const { partition } of due) {
        if (this.#signal.aborted) return;
        if (!(await this.#compact(partition))) putOff.add(partition.log);
      }
    }
  }

  /** The dirtiest first. */
  async #due(putOff: ReadonlySet<PartitionLog>): Promise<readonly Candidate[]> {
    const due: Candidate[] = [];
    let looked = 0;
    for (const { partition } of [...this.#replicas.open()]) {
      const { log, state } = partition;
      if (!state.config.cleanup.compact || putOff.has(log) || this.#stopped.get(log) === state.config) continue;
      // Thousands of logs are no reason to keep the event loop.
      if (++looked % logsPerTurn === 0) await this.#ports.clock.sleep(0, this.#signal).catch(() => {});
      if (this.#signal.aborted) return [];
      const cleanable = await this.#cleanable(partition);
      if (cleanable?.isDue === true) due.push({ partition, cleanable });
    }
    return due.sort((a, b) => byDirt(a.cleanable, b.cleanable));
  }

  async #cleanable(partition: Cleaned): Promise<Cleanable | undefined> {
    try {
      return await partition.log.cleanable(this.#ports.clock.wallMs());
    } catch (thrown) {
      this.#failed(partition, thrown);
      return undefined;
    }
  }

  /** @returns whether the log got cleaner. */
  async #compact(partition: Cleaned): Promise<boolean> {
    const { cleanerBuffer, cleanerBytesPerSecond } = this.#settings.current;
    try {
      const report = await partition.log.compact({
        buffer: cleanerBuffer,
        bytesPerSecond: cleanerBytesPerSecond,
        random: this.#ports.random,
        passed: () => partition.passedByAll,
        signal: this.#signal,
      });
      if (report === undefined) return false;
      this.#ports.logger.info('compaction', { partition: partition.state.name, ...shown(report) });
      this.#observer.compacted(report);
      return true;
    } catch (thrown) {
      if (!this.#signal.aborted) this.#failed(partition, thrown);
      return false;
    }
  }

  #failed({ state, log }: Cleaned, thrown: unknown): void {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    if (thrown instanceof TributaryError && thrown.error === 'KAFKA_STORAGE_ERROR') {
      this.#ports.logger.warn('compaction-put-off', { partition: state.name, why });
      return;
    }
    this.#stopped.set(log, state.config);
    this.#observer.stopped();
    const mend = 'it is tried again when the settings of the topic change or the broker starts';
    this.#ports.logger.error('compaction-stopped', { partition: state.name, why, mend });
  }
}

/** What has waited too long comes first, then the larger dirty share. */
const byDirt = (one: Cleanable, other: Cleanable): number =>
  Number(other.isOverdue) - Number(one.isOverdue) || other.ratio - one.ratio;

const shown = ({ from, to, longestSliceMs, ...figures }: CompactionReport): Readonly<Record<string, unknown>> => ({
  from: from.toString(),
  to: to.toString(),
  ...figures,
  longestSliceMs: Math.round(longestSliceMs * 10) / 10,
});
