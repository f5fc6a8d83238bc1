/** One replica on one stream, as its leader sees it: how far it was sent, what is on the way, and what it was told last (R1). */
import type { PartitionName } from '@tributary/metadata';
import { type NodeId, type Offset, TributaryError } from '@tributary/model';
import type { ReplicaPush } from '@tributary/wire';
import type { Leadership } from '../partition/leadership.ts';
import type { Partition } from '../partition/partition.ts';

interface OnTheWay {
  readonly end: Offset;
  readonly bytes: number;
}

export class LeaderSession {
  /** The follower's. */
  readonly number: number;
  readonly name: PartitionName;
  readonly partition: Partition;
  readonly leadership: Leadership;
  /** This broker's. */
  readonly attachment: number;
  /** Sent up to here. */
  position: Offset;
  bytesInFlight = 0;
  /** In the queue, or being sent something right now. */
  queued = false;
  unsubscribe: readonly (() => void)[] = [];
  #isOver = false;
  readonly #from: Offset;
  readonly #first: Offset;
  readonly #tombstonesGone: Offset;
  #onTheWay: OnTheWay[] = [];
  #saidHighWatermark: bigint = -1n;
  #saidStart: bigint = -1n;
  #saidPassed: bigint = -1n;

  constructor(
    number: number,
    name: PartitionName,
    partition: Partition,
    leadership: Leadership,
    attachment: number,
    from: Offset,
    first: Offset,
  ) {
    this.number = number;
    this.name = name;
    this.partition = partition;
    this.leadership = leadership;
    this.attachment = attachment;
    this.position = from;
    this.#from = from;
    this.#first = first;
    this.#tombstonesGone = partition.log.tombstonesGone;
  }

  /** Of a replica that begins anew, with a batch across the start of the log, not where it ends. */
  get readFrom(): Offset {
    return this.position === this.#from ? this.#first : this.position;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** @throws TributaryError why the session is over. */
  checkStillValid(node: NodeId): void {
    const { leadership, partition } = this;
    if (partition.state.leadership !== leadership) {
      throw new TributaryError(
        'NOT_LEADER_OR_FOLLOWER',
        `Broker ${partition.state.me} no longer leads ${partition.state.name} in epoch ${leadership.epoch}.`,
      );
    }
    if (!leadership.isCurrent(node, this.attachment)) {
      throw new TributaryError('STALE_BROKER_EPOCH', `Another session of ${partition.state.name} has taken over.`);
    }
    // L5: tombstones went that this replica has not had yet; it hears of them by beginning anew.
    const { tombstonesGone } = partition.log;
    if (tombstonesGone > this.#tombstonesGone && this.position < tombstonesGone) {
      throw new TributaryError(
        'OFFSET_NOT_AVAILABLE',
        `${partition.state.name}: tombstones below ${tombstonesGone} are gone, this replica was sent up to ${this.position}.`,
      );
    }
  }

  /** @returns bytes that are no longer on the way. */
  took(end: Offset): number {
    let bytes = 0;
    let count = 0;
    for (const each of this.#onTheWay) {
      if (each.end > end) break;
      bytes += each.bytes;
      count++;
    }
    if (count > 0) this.#onTheWay.splice(0, count);
    this.bytesInFlight -= bytes;
    return bytes;
  }

  sent(next: Offset, bytes: number): void {
    this.position = next;
    this.bytesInFlight += bytes;
    this.#onTheWay.push({ end: next, bytes });
  }

  #numbers() {
    const { partition } = this;
    return {
      highWatermark: partition.highWatermark,
      logStartOffset: partition.startOffset,
      passedByAll: partition.passedByAll,
    };
  }

  /** The follower was told other numbers last. */
  hasNews(): boolean {
    const { highWatermark, logStartOffset, passedByAll } = this.#numbers();
    return (
      highWatermark !== this.#saidHighWatermark ||
      logStartOffset !== this.#saidStart ||
      // Nobody waits for it: that it is told now and then is enough.
      passedByAll - this.#saidPassed > 100_000n
    );
  }

  push(from: Offset, records: Uint8Array): ReplicaPush {
    const numbers = this.#numbers();
    this.#saidHighWatermark = numbers.highWatermark;
    this.#saidStart = numbers.logStartOffset;
    this.#saidPassed = numbers.passedByAll;
    return { session: this.number, from, ...numbers, records };
  }

  /** @returns bytes that are no longer on the way. */
  end(): number {
    this.#isOver = true;
    for (const unsubscribe of this.unsubscribe) unsubscribe();
    const bytes = this.bytesInFlight;
    this.bytesInFlight = 0;
    this.#onTheWay = [];
    return bytes;
  }
}
