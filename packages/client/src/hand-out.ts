/** Handing out what has been fetched: whose turn it is, which errors have been told, and what the application has taken and not yet come back from. */
import { assert, limits, type Offset, TributaryError } from '@tributary/model';
import type { ConsumerRecord } from './consumer-record.ts';
import type { Fetcher } from './fetcher.ts';
import type { PartitionFetch } from './partition-fetch.ts';
import type { TopicPartition } from './topic-partition.ts';

/** Records of one partition, in offset order. */
export interface PartitionRecords<K, V> extends TopicPartition {
  readonly records: readonly ConsumerRecord<K, V>[];
}

export class HandOut<K, V> {
  readonly #fetcher: Fetcher<K, V>;
  #fetches: readonly PartitionFetch<K, V>[] = [];
  /** Whose turn it is to hand out records. */
  #turn = 0;
  /** Where iteration takes records from, and how many more before it is another one's turn. */
  #current: PartitionFetch<K, V> | undefined;
  #currentLeft = 0;
  /** Errors of partitions that have been thrown once. */
  readonly #told = new WeakSet<TributaryError>();
  /** The first record of each partition that was handed out since the application last came back, where many were; one after another: the last one. */
  readonly #taken = new Map<PartitionFetch<K, V>, ConsumerRecord<K, V>>();
  #takenOne: ConsumerRecord<K, V> | undefined;

  constructor(fetcher: Fetcher<K, V>) {
    this.#fetcher = fetcher;
  }

  get fetches(): readonly PartitionFetch<K, V>[] {
    return this.#fetches;
  }

  /** From these partitions, and no others, from now on: in their order, beginning with the first. */
  assign(fetches: readonly PartitionFetch<K, V>[]): void {
    this.#fetches = fetches;
    this.#turn = 0;
    this.#current = undefined;
    this.#takenOne = undefined;
    this.#taken.clear();
    this.#fetcher.assign(fetches);
  }

  /** More of them, or fewer: whoever stays does not notice. */
  change(fetches: readonly PartitionFetch<K, V>[]): void {
    const next = this.#fetches[this.#turn];
    this.#fetches = fetches;
    this.#turn = next === undefined ? 0 : Math.max(fetches.indexOf(next), 0);
    if (this.#current !== undefined && !fetches.includes(this.#current)) {
      this.#current = undefined;
      // Its partition may come back, of a topic that was created anew: no record of that has been taken.
      this.#takenOne = undefined;
    }
    this.#fetcher.assign(fetches);
  }

  find({ topic, partition }: TopicPartition): PartitionFetch<K, V> {
    const found = this.#fetches.find((fetch) => fetch.topic === topic && fetch.partition === partition);
    if (found === undefined)
      throw new TributaryError(
        'INVALID_REQUEST',
        `Partition ${partition} of "${topic}" is not assigned to this consumer.`,
      );
    return found;
  }

  /** The application asks for more: it has done with what it took before. */
  cameBack(): void {
    this.#takenOne = undefined;
    if (this.#taken.size > 0) this.#taken.clear();
  }

  /** It goes on elsewhere in the partition: what it took before no longer counts. */
  forgetTaken(fetch: PartitionFetch<K, V>): void {
    this.#taken.delete(fetch);
    if (this.#isLast(fetch)) this.#takenOne = undefined;
  }

  /** It has records of the partition that it has not come back from. */
  isTaken(fetch: PartitionFetch<K, V>): boolean {
    return this.#taken.has(fetch) || this.#isLast(fetch);
  }

  /** Offset up to which the application has had all records, and come back from them; undefined: it is not known where the partition begins. */
  returned(fetch: PartitionFetch<K, V>): Offset | undefined {
    if (this.#takenOne !== undefined && this.#isLast(fetch)) return this.#takenOne.offset;
    return this.#taken.get(fetch)?.offset ?? fetch.position;
  }

  /** One record of the partition that the last one came from, while its turn lasts. */
  takeFromCurrent(): ConsumerRecord<K, V> | undefined {
    const fetch = this.#current;
    if (fetch === undefined || fetch.paused || fetch.held || this.#currentLeft === 0) return undefined;
    this.#currentLeft--;
    const before = fetch.bufferedBytes;
    const record = this.#nextOf(fetch);
    if (fetch.bufferedBytes !== before) this.#fetcher.handedOut(fetch);
    this.#takenOne = record;
    return record;
  }

  /** One record of whichever partition has some. @throws as `take`. */
  takeOne(): ConsumerRecord<K, V> | undefined {
    const record = this.takeFromCurrent();
    if (record !== undefined) return record;
    const group = this.take(1)[0];
    this.#current = this.#fetches.find((fetch) => fetch.topic === group?.topic && fetch.partition === group.partition);
    this.#currentLeft = limits.pollRecords;
    this.#takenOne = group?.records[0];
    return this.#takenOne;
  }

  #isLast(fetch: PartitionFetch<K, V>): boolean {
    const last = this.#takenOne;
    return last !== undefined && last.topic === fetch.topic && last.partition === fetch.partition;
  }

  /** Up to `most` records, from one partition after another. @throws TributaryError of a partition that cannot go on. */
  take(most: number): readonly PartitionRecords<K, V>[] {
    const groups: PartitionRecords<K, V>[] = [];
    const count = this.#fetches.length;
    let left = most;
    let stopped: TributaryError | undefined;
    for (let step = 0; step < count && left > 0; step++) {
      const fetch = this.#fetches[this.#turn];
      assert(fetch !== undefined, 'the turn is one of the partitions');
      this.#turn = (this.#turn + 1) % count;
      if (fetch.held) continue;
      if (!fetch.drained && !fetch.paused) {
        const records: ConsumerRecord<K, V>[] = [];
        this.#takeFrom(fetch, records, left);
        left -= records.length;
        const [first] = records;
        if (first !== undefined) {
          this.#taken.set(fetch, first);
          groups.push({ topic: fetch.topic, partition: fetch.partition, records });
        }
      }
      if (fetch.phase.kind === 'stopped' && fetch.drained) stopped = this.#untold(fetch.phase.error, stopped);
    }
    if (groups.length === 0 && stopped !== undefined) this.#tell(stopped);
    return groups;
  }

  #takeFrom(fetch: PartitionFetch<K, V>, into: ConsumerRecord<K, V>[], most: number): void {
    try {
      fetch.take(into, most);
    } catch (thrown) {
      this.#fetcher.spoilt(fetch, TributaryError.from(thrown));
    }
    this.#fetcher.handedOut(fetch);
  }

  /** Of two errors the one that has not been thrown yet. */
  #untold(error: TributaryError, other: TributaryError | undefined): TributaryError {
    return other !== undefined && !this.#told.has(other) ? other : error;
  }

  /** Throws what has not been thrown; and what has, when nothing goes on any more. */
  #tell(error: TributaryError): void {
    if (this.#told.has(error) && this.#fetches.some(({ phase }) => phase.kind !== 'stopped')) return;
    this.#told.add(error);
    throw error;
  }

  #nextOf(fetch: PartitionFetch<K, V>): ConsumerRecord<K, V> | undefined {
    try {
      return fetch.next();
    } catch (thrown) {
      this.#fetcher.spoilt(fetch, TributaryError.from(thrown));
      return undefined;
    }
  }
}
