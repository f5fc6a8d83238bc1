/**
 * Many subscriptions at the end of one log ask for the same records at the same moment: what the first of them had decoded and encoded goes to all.
 * Kept for partitions with several readers only, the newest chunk of each, and of so many partitions.
 */
import { limits, type Offset } from '@tributary/model';
import type { SubscribedRecords } from '@tributary/wire';
import type { Partition } from '../partition/partition.ts';
import { currentEpoch } from './named-topic.ts';

export interface SharedChunk {
  /** Encoded when it was first sent; its records may be gone since. */
  readonly answer: SubscribedRecords;
  readonly from: Offset;
  readonly next: Offset;
  /** What credit counts. */
  readonly bytes: number;
}

interface Kept {
  readonly chunk: SharedChunk;
  readonly epoch: number;
}

export class SharedChunks {
  readonly #readers = new Map<Partition, number>();
  /** The least recently kept first. */
  readonly #kept = new Map<Partition, Kept>();

  /** One more subscription reads it. @returns leaves again. */
  join(partition: Partition): () => void {
    this.#readers.set(partition, (this.#readers.get(partition) ?? 0) + 1);
    return () => {
      const left = (this.#readers.get(partition) ?? 1) - 1;
      if (left > 0) this.#readers.set(partition, left);
      else {
        this.#readers.delete(partition);
        this.#kept.delete(partition);
      }
    };
  }

  isShared(partition: Partition): boolean {
    return (this.#readers.get(partition) ?? 0) > 1;
  }

  keep(partition: Partition, chunk: SharedChunk): void {
    this.#kept.delete(partition);
    this.#kept.set(partition, { chunk, epoch: currentEpoch(partition) });
    if (this.#kept.size <= limits.sharedChunks) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      return;
    }
  }

  /** What stands at `from`, if it says just what reading would say now. */
  find(partition: Partition, from: Offset): SharedChunk | undefined {
    const kept = this.#kept.get(partition);
    if (kept === undefined || kept.chunk.from !== from || partition.startOffset > from) return undefined;
    const isOfNow =
      partition.state.role.kind === 'leading' &&
      kept.epoch === currentEpoch(partition) &&
      kept.chunk.answer.highWatermark === partition.highWatermark;
    return isOfNow ? kept.chunk : undefined;
  }
}
