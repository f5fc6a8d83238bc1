/** Records on standard output, which sets the pace: nothing more is fetched while nobody reads it. */
import type { PartitionRecords, TopicPartition } from '@tributary/client';
import type { RecordFormat } from './record-format.ts';
import { StandardOutput } from './standard-output.ts';

/** Handed out at once. */
const pollRecords = 5_000;

export const placeOf = ({ topic, partition }: TopicPartition): string => `${topic}/${partition}`;

export class RecordPrinter {
  readonly #format: RecordFormat;
  readonly #most: number;
  readonly #output = new StandardOutput();
  #printed = 0;

  /** @param most no more than these. */
  constructor(format: RecordFormat, most: number) {
    this.#format = format;
    this.#most = most;
  }

  get printed(): number {
    return this.#printed;
  }

  get done(): boolean {
    return this.#printed >= this.#most;
  }

  /** How many to ask for. */
  get wanted(): number {
    return Math.min(pollRecords, this.#most - this.#printed);
  }

  /** @param ends by `topic/partition`: the rest, and what of others, is left out. @throws OutputClosedError; what a format throws, after what comes before has been written. */
  async print(
    groups: readonly PartitionRecords<Uint8Array, Uint8Array>[],
    ends?: ReadonlyMap<string, bigint>,
  ): Promise<void> {
    try {
      for (const group of groups) await this.#print(group, ends);
    } catch (thrown) {
      // A record that cannot be shown: those before it are.
      if (!this.#output.failed) await this.#output.flush();
      throw thrown;
    }
    if (this.#output.failed || this.#output.full) await this.#output.flush();
    else this.#output.push();
  }

  async flush(): Promise<void> {
    await this.#output.flush();
  }

  async #print(
    group: PartitionRecords<Uint8Array, Uint8Array>,
    ends: ReadonlyMap<string, bigint> | undefined,
  ): Promise<void> {
    const end = ends?.get(placeOf(group));
    if (ends !== undefined && end === undefined) return;
    for (const record of group.records) {
      if (end !== undefined && record.offset >= end) return;
      this.#format(record, this.#output);
      this.#printed++;
      if (this.#output.full) await this.#output.flush();
    }
  }
}
