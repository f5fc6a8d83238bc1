// pure
import { assert, type Offset, type TributaryError } from '@tributary/model';

/** What became of a record. */
export interface RecordMetadata {
  readonly topic: string;
  readonly partition: number;
  /** Undefined with `acks: 0`, where nobody says; and where the broker knows the record only as one it has already. */
  readonly offset: Offset | undefined;
  /** Milliseconds since 1970: the record's own, or the broker's if the topic has `message.timestamp.type=LogAppendTime`. */
  readonly timestamp: number;
}

/** The end of a batch, for all its records at once. */
export type BatchOutcome =
  | {
      readonly kind: 'acknowledged';
      readonly baseOffset: Offset | undefined;
      readonly logAppendTimeMs: number | undefined;
    }
  | { readonly kind: 'failed'; readonly error: TributaryError };

interface Waiter {
  readonly delivery: RecordDelivery;
  readonly resolve: (metadata: RecordMetadata) => void;
  readonly reject: (error: TributaryError) => void;
}

/**
 * What the records of one batch share: where they go, and how it ended. It outlives the batch's bytes for as long as somebody holds a
 * {@link Delivery}.
 */
export class BatchFate {
  readonly topic: string;
  /** Undefined: of a record that never got as far as a partition. */
  readonly partition: number | undefined;
  /** Of its first record, milliseconds since 1970. */
  baseTimestamp = 0;
  #outcome: BatchOutcome | undefined;
  /** Set when the batch was split: fates of the parts, each with the index of its first record in this one. */
  #parts: readonly { readonly first: number; readonly fate: BatchFate }[] | undefined;
  #partsLeft = 0;
  #waiters: Waiter[] | undefined;
  readonly #onOver: (fate: BatchFate) => void;

  /** @param onOver called once: when it is settled or, if it was split, when all its parts are. */
  constructor(topic: string, partition: number | undefined, onOver: (fate: BatchFate) => void) {
    this.topic = topic;
    this.partition = partition;
    this.#onOver = onOver;
  }

  get outcome(): BatchOutcome | undefined {
    return this.#outcome;
  }

  /** Records that somebody awaits. */
  get awaited(): number {
    return this.#waiters?.length ?? 0;
  }

  settle(outcome: BatchOutcome): void {
    assert(this.#outcome === undefined, 'a batch ends once');
    this.#outcome = outcome;
    const waiters = this.#waiters;
    this.#waiters = undefined;
    if (waiters !== undefined) for (const waiter of waiters) this.#tell(waiter, outcome);
    this.#onOver(this);
  }

  /** The fate of a part that its records move to; this one is over when its parts are. */
  part(): BatchFate {
    this.#partsLeft++;
    return new BatchFate(this.topic, this.partition, () => {
      this.#partsLeft--;
      if (this.#partsLeft === 0) this.#onOver(this);
    });
  }

  /** Its records live on in other batches; whoever waits here waits there from now on. */
  split(parts: readonly { readonly first: number; readonly fate: BatchFate }[]): void {
    this.#parts = parts;
    const waiters = this.#waiters;
    this.#waiters = undefined;
    for (const waiter of waiters ?? []) {
      this.#follow(waiter.delivery);
      waiter.delivery.fateOrThrow().await(waiter);
    }
  }

  await(waiter: Waiter): void {
    if (this.#parts !== undefined) {
      this.#follow(waiter.delivery);
      waiter.delivery.fateOrThrow().await(waiter);
    } else if (this.#outcome !== undefined) {
      this.#tell(waiter, this.#outcome);
    } else {
      this.#waiters ??= [];
      this.#waiters.push(waiter);
    }
  }

  #follow(delivery: RecordDelivery): void {
    const part = this.#parts?.findLast(({ first }) => first <= delivery.index);
    assert(part !== undefined, 'every record of a split batch is in one of its parts');
    delivery.enter(
      part.fate,
      delivery.index - part.first,
      delivery.timestampDelta + this.baseTimestamp - part.fate.baseTimestamp,
    );
  }

  #tell({ delivery, resolve, reject }: Waiter, outcome: BatchOutcome): void {
    if (outcome.kind === 'failed') {
      reject(outcome.error);
      return;
    }
    const { baseOffset, logAppendTimeMs } = outcome;
    const { partition } = this;
    assert(partition !== undefined, 'what was acknowledged is in a partition');
    resolve({
      topic: this.topic,
      partition,
      offset: baseOffset === undefined ? undefined : ((baseOffset + BigInt(delivery.index)) as Offset),
      timestamp: logAppendTimeMs ?? this.baseTimestamp + delivery.timestampDelta,
    });
  }
}

/**
 * The handle of one record on its way: await it for the {@link RecordMetadata}. It costs nothing until somebody does; failures that nobody
 * awaits are reported by `flush` and `onError` instead of as unhandled rejections.
 */
export interface Delivery extends PromiseLike<RecordMetadata> {
  /** Resolves when the record is acknowledged as `acks` asks; rejects with a TributaryError when it was given up. */
  then<Result = RecordMetadata, Failure = never>(
    onAcknowledged?: ((metadata: RecordMetadata) => Result | PromiseLike<Result>) | null,
    onFailed?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Result | Failure>;
}

/** The producer's side of a {@link Delivery}: a place in a batch. One is made for each record, so it holds three words and no promise. */
export class RecordDelivery implements Delivery {
  /** Undefined while the topic's partitions are not known yet. */
  #fate: BatchFate | undefined;
  #index: number;
  #timestampDelta: number;
  #early: Waiter[] | undefined;

  constructor(fate: BatchFate | undefined, index: number, timestampDelta: number) {
    this.#fate = fate;
    this.#index = index;
    this.#timestampDelta = timestampDelta;
  }

  // oxlint-disable-next-line unicorn/no-thenable -- being awaitable is the point
  then<Result = RecordMetadata, Failure = never>(
    onAcknowledged?: ((metadata: RecordMetadata) => Result | PromiseLike<Result>) | null,
    onFailed?: ((error: unknown) => Failure | PromiseLike<Failure>) | null,
  ): Promise<Result | Failure> {
    return new Promise<RecordMetadata>((resolve, reject) => {
      const waiter = { delivery: this, resolve, reject };
      if (this.#fate !== undefined) this.#fate.await(waiter);
      else (this.#early ??= []).push(waiter);
    }).then(onAcknowledged, onFailed);
  }

  /** In its batch. */
  get index(): number {
    return this.#index;
  }

  /** Milliseconds after the batch's base timestamp. */
  get timestampDelta(): number {
    return this.#timestampDelta;
  }

  fateOrThrow(): BatchFate {
    assert(this.#fate !== undefined, 'the record is in a batch');
    return this.#fate;
  }

  /** The record is in a batch from now on, or in another one. */
  enter(fate: BatchFate, index: number, timestampDelta: number): void {
    this.#fate = fate;
    this.#index = index;
    this.#timestampDelta = timestampDelta;
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) for (const waiter of early) fate.await(waiter);
  }
}
