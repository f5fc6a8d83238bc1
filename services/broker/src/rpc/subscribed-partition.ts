/** One partition as a subscription reads it. */
import type { TopicInfo } from '@tributary/metadata';
import { type ErrorName, limits, type Offset, offset, TributaryError } from '@tributary/model';
import { isMine, type LeaderParts, ledPartition } from './named-topic.ts';
import type { ReadElsewhere } from './read-elsewhere.ts';
import { LedHere, type ReadSource } from './read-source.ts';
import type { SharedChunks } from './shared-chunks.ts';
import type { Start } from './subscribe-request.ts';

/**
 * `begins`: its partition and position are being looked for. `reads`: it has both; `queued` or asleep until more can be read, `thirsty` until
 * there is credit. `over`: it has failed, reached its end, or the subscription is over.
 */
type State = 'begins' | 'reads' | 'thirsty' | 'over';

export interface SourceParts extends LeaderParts {
  /** Absent: only what this broker leads is read. */
  readonly elsewhere?: ReadElsewhere | undefined;
}

/** Another leader, or the same a moment later, may know better. */
const passing: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'BROKER_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'LEADER_NOT_AVAILABLE',
  'NETWORK_EXCEPTION',
  'NOT_LEADER_OR_FOLLOWER',
  'OFFSET_NOT_AVAILABLE',
  'REQUEST_TIMED_OUT',
  'UNKNOWN_LEADER_EPOCH',
  // There it is, as far as this broker knows: the other one has yet to hear of it.
  'UNKNOWN_TOPIC_ID',
]);

export class SubscribedPartition {
  readonly topic: TopicInfo;
  readonly index: number;
  state: State = 'begins';
  queued = false;
  /** It may begin, and sends nothing before it is let go. */
  isHeld = false;
  /** Reading goes on here. */
  position: Offset = offset(0n);
  /** Where it stops; undefined: nowhere. */
  until: Offset | undefined;
  readonly #wake: () => void;
  #start: Start | undefined;
  #source: ReadSource | undefined;
  /** On the monotonic clock, ms: since when one leader after the other has failed, and when the last one did. */
  #failingSince: number | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
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
  get source(): ReadSource {
    if (this.#source === undefined) throw new TributaryError('NOT_LEADER_OR_FOLLOWER', 'not begun');
    return this.#source;
  }

  /**
   * Finds the partition and, the first time, the position. @param stopAtEnd it is to stop where the log ends now.
   * @throws TributaryError as `ledPartition`, CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR from the search for a timestamp; where others may be asked, what was
   * the matter all of `limits.subscribeLeaderMs`.
   */
  async begin(parts: SourceParts, stopAtEnd: boolean, signal: AbortSignal): Promise<void> {
    // It may be given up at any time.
    if (this.#isOver) return;
    this.state = 'begins';
    const { clock } = parts;
    if (clock.monotonicMs() - this.#failedAt < limits.retryBackoffMs) await clock.sleep(limits.retryBackoffMs, signal);
    for (;;) {
      try {
        await this.#begin(parts, stopAtEnd, signal);
        return;
      } catch (thrown) {
        const error = TributaryError.from(thrown);
        if (this.#isOver) return;
        if (signal.aborted || parts.elsewhere === undefined || !this.mayRetry(error, parts)) throw error;
        await clock.sleep(limits.retryBackoffMs, signal);
        if (this.#isOver) return;
      }
    }
  }

  /** A leader has failed. @returns whether another one, or the same, may be tried. */
  mayRetry(error: TributaryError, { clock, source: { current } }: LeaderParts): boolean {
    const now = clock.monotonicMs();
    // What has read for a while has found its leader.
    if (now - this.#failedAt > limits.subscribeLeaderMs / 2) this.#failingSince = undefined;
    this.#failedAt = now;
    this.#failingSince ??= now;
    const isThere = current.topic(this.topic.topicId)?.phase === 'ready' && this.index >= 0;
    return (
      passing.has(error.error) &&
      isThere &&
      this.index < this.topic.partitions &&
      now - this.#failingSince < limits.subscribeLeaderMs
    );
  }

  async #begin(parts: SourceParts, stopAtEnd: boolean, signal: AbortSignal): Promise<void> {
    const source = await this.#find(parts, signal);
    try {
      if (this.#start !== undefined) {
        // The end first: what is appended while the position is looked for lies behind it.
        if (stopAtEnd) this.until = await source.locate({ kind: 'end' }, signal);
        this.position = await source.locate(this.#start, signal);
        this.#start = undefined;
      }
    } catch (thrown) {
      source.close();
      throw thrown;
    }
    if (signal.aborted || this.#isOver) {
      source.close();
      return;
    }
    this.#leaveSource();
    this.#source = source;
    this.#unsubscribe = source.onReadable(this.#wake);
    this.state = 'reads';
  }

  async #find(parts: SourceParts, signal: AbortSignal): Promise<ReadSource> {
    const { topicId } = this.topic;
    // Who is about to lead it waits for that, rather than ask a leader that was.
    const elsewhere =
      parts.elsewhere === undefined || isMine(parts, topicId, this.index)
        ? undefined
        : parts.elsewhere.find(this.topic, this.index);
    return elsewhere ?? new LedHere(await ledPartition(parts, topicId, this.index, signal));
  }

  #leaveSource(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#source?.close();
    this.#source = undefined;
  }

  /** Still there, as when it began. */
  get isLed(): boolean {
    return this.#source?.isLed === true;
  }

  /** Where reading may go on if what stands at the position is known to be lost (L3); else the position itself. */
  get behindDamage(): Offset {
    return this.source.behindDamage(this.position);
  }

  get hasReachedEnd(): boolean {
    return this.until !== undefined && this.position >= this.until;
  }

  get #isOver(): boolean {
    return this.state === 'over';
  }

  /** Where another reader would go on. */
  get resumesAt(): Start {
    return this.#start ?? { kind: 'offset', offset: this.position };
  }

  /** Others may read it too. */
  share(chunks: SharedChunks): void {
    this.#leave?.();
    const here = this.state === 'reads' ? this.source.here : undefined;
    this.#leave = here === undefined ? undefined : chunks.join(here);
  }

  end(): void {
    this.state = 'over';
    this.#leave?.();
    this.#leave = undefined;
    this.#leaveSource();
  }
}
