/** Where a subscription reads a partition: its log here, if this broker leads it, else its leader. */
import { limits, type Offset, TributaryError } from '@tributary/model';
import type { Partition, Slice } from '../partition/partition.ts';
import { currentEpoch } from './named-topic.ts';
import type { Start } from './subscribe-request.ts';

export interface ReadSource {
  readonly highWatermark: Offset;
  /** Still led where it was found: reading may go on. */
  readonly isLed: boolean;
  /** The log, where it is here. */
  readonly here: Partition | undefined;
  /** @throws TributaryError OFFSET_OUT_OF_RANGE; CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR from the search for a timestamp. */
  locate(start: Start, signal: AbortSignal): Promise<Offset>;
  /** Batches from there on, about a chunk. @throws TributaryError as Fetch answers. */
  read(from: Offset): Slice | Promise<Slice>;
  /** @param listener called when more may be readable, or nothing any more. @returns unsubscribes. */
  onReadable(listener: () => void): () => void;
  /** Where reading may go on if what stands at the position is known to be lost (L3); else the position itself. */
  behindDamage(position: Offset): Offset;
  close(): void;
}

/** The log is here. */
export class LedHere implements ReadSource {
  readonly here: Partition;

  constructor(partition: Partition) {
    this.here = partition;
  }

  get highWatermark(): Offset {
    return this.here.highWatermark;
  }

  get isLed(): boolean {
    return this.here.state.role.kind === 'leading';
  }

  async locate(start: Start, signal: AbortSignal): Promise<Offset> {
    const partition = this.here;
    switch (start.kind) {
      case 'beginning':
        return partition.startOffset;
      case 'end':
        return await latest(partition, signal);
      case 'offset':
        return within(partition, start.offset);
      case 'timestamp': {
        const found = await partition.log.offsetForTimestamp(start.timestampMs);
        if (found !== undefined && found.offset < partition.highWatermark) return found.offset;
        return await latest(partition, signal);
      }
    }
  }

  read(from: Offset): Slice | Promise<Slice> {
    // A batch larger than the target is read whole: no bound but max.message.bytes.
    return this.here.read(from, limits.fetchChunk, Number.MAX_SAFE_INTEGER, currentEpoch(this.here));
  }

  onReadable(listener: () => void): () => void {
    return this.here.onReadable(listener);
  }

  behindDamage(position: Offset): Offset {
    const { damaged } = this.here.log.health;
    return damaged.find(({ from, to }) => from <= position && position < to)?.to ?? position;
  }

  close(): void {
    // Nothing is kept for it.
  }
}

/** Before anything else is said of it: a position beyond the end is an error, not an end. */
function within({ state, startOffset }: Partition, wanted: Offset): Offset {
  if (wanted >= startOffset && wanted <= state.staged) return wanted;
  throw new TributaryError(
    'OFFSET_OUT_OF_RANGE',
    `${state.name} has offsets ${startOffset} to ${state.highWatermark}; asked for was ${wanted}.`,
  );
}

/** R8: a new leader knows where the log ends once its epoch's start is committed; until then it is waited for. */
async function latest(partition: Partition, signal: AbortSignal): Promise<Offset> {
  for (;;) {
    try {
      return partition.latest();
    } catch (thrown) {
      if (!(thrown instanceof TributaryError) || thrown.error !== 'OFFSET_NOT_AVAILABLE') throw thrown;
    }
    signal.throwIfAborted();
    await moved(partition, signal);
  }
}

function moved(partition: Partition, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      unsubscribe();
      signal.removeEventListener('abort', settle);
      resolve();
    };
    const unsubscribe = partition.onReadable(settle);
    signal.addEventListener('abort', settle, { once: true });
  });
}
