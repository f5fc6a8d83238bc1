/** One partition as a subscription reads it. */
import type { TopicInfo } from '@tributary/metadata';
import { type Offset, offset, TributaryError } from '@tributary/model';
import type { Partition } from '../partition/partition.ts';
import { type LeaderParts, ledPartition } from './named-topic.ts';
import type { SharedChunks } from './shared-chunks.ts';
import type { Start } from './subscribe-request.ts';

/**
 * `begins`: its partition and position are being looked for. `reads`: it has both; `queued` or asleep until more can be read, `thirsty` until
 * there is credit. `over`: it has failed, reached its end, or the subscription is over.
 */
type State = 'begins' | 'reads' | 'thirsty' | 'over';

export class SubscribedPartition {
  readonly topic: TopicInfo;
  readonly index: number;
  state: State = 'begins';
  queued = false;
  /** Reading goes on here. */
  position: Offset = offset(0n);
  /** Where it stops; undefined: nowhere. */
  until: Offset | undefined;
  readonly #wake: () => void;
  #start: Start | undefined;
  #partition: Partition | undefined;
  #unsubscribe: (() => void) | undefined;
  #leave: (() => void) | undefined;

  /** @param wake called whenever more may be readable. */
  constructor(topic: TopicInfo, index: number, start: Start, wake: (reader: SubscribedPartition) => void) {
    this.topic = topic;
    this.index = index;
    this.#start = start;
    this.#wake = () => wake(this);
  }

  /** Only where {@link begin} has resolved. */
  get partition(): Partition {
    if (this.#partition === undefined) throw new TributaryError('NOT_LEADER_OR_FOLLOWER', 'not begun');
    return this.#partition;
  }

  /**
   * Finds the partition and, the first time, the position. @param stopAtEnd it is to stop where the log ends now.
   * @throws TributaryError as `ledPartition`; CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR from the search for a timestamp.
   */
  async begin(parts: LeaderParts, stopAtEnd: boolean, signal: AbortSignal): Promise<void> {
    this.state = 'begins';
    const partition = await ledPartition(parts, this.topic.topicId, this.index, signal);
    if (this.#start !== undefined) {
      // The end first: what is appended while the position is looked for lies behind it.
      if (stopAtEnd) this.until = await latest(partition, signal);
      this.position = await located(partition, this.#start, signal);
      this.#start = undefined;
    }
    if (signal.aborted) return;
    this.#unsubscribe?.();
    this.#partition = partition;
    this.#unsubscribe = partition.onReadable(this.#wake);
    this.state = 'reads';
  }

  /** Still here, as when it began. */
  get isLed(): boolean {
    return this.#partition?.state.role.kind === 'leading';
  }

  /** Where reading may go on if what stands at the position is known to be lost (L3); else the position itself. */
  get behindDamage(): Offset {
    const damaged = this.partition.log.health.damaged;
    return damaged.find(({ from, to }) => from <= this.position && this.position < to)?.to ?? this.position;
  }

  get hasReachedEnd(): boolean {
    return this.until !== undefined && this.position >= this.until;
  }

  /** Others may read it too. */
  share(chunks: SharedChunks): void {
    this.#leave?.();
    this.#leave = this.state === 'reads' ? chunks.join(this.partition) : undefined;
  }

  end(): void {
    this.state = 'over';
    this.#leave?.();
    this.#leave = undefined;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }
}

async function located(partition: Partition, start: Start, signal: AbortSignal): Promise<Offset> {
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
