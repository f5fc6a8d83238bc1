// pure
/**
 * Which sequences of which producers a partition holds (P1–P3): a function of the log, rebuilt from a snapshot and the batch headers after
 * it, so that a restart, a truncation and a follower agree on it.
 */
import { limits, type Offset, offset, type ProducerId, producerId, TributaryError } from '@tributary/model';
import { type BatchHeader, sequenceAfter } from '@tributary/record';
import type { LogReplay, ProducerSnapshot } from '../log/log-types.ts';

/** One batch of a producer, as remembered for recognising its retry. */
interface RememberedBatch {
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: Offset;
  readonly lastOffset: Offset;
  readonly timestampMs: number;
}

interface Producer {
  epoch: number;
  /**
   * The log's time when its last batch was appended (P3). Not that batch's own timestamp: a producer of old records beside one of new ones
   * would be forgotten at once, and its retries appended twice.
   */
  seenMs: number;
  /** Oldest first, at most limits.batchesInFlight. */
  readonly batches: RememberedBatch[];
}

export type SequenceVerdict =
  | { readonly kind: 'append' }
  /** The log holds it already: answered as the original was, once the original is as durable as asked (P2). */
  | {
      readonly kind: 'duplicate';
      readonly baseOffset: Offset;
      readonly lastOffset: Offset;
      readonly timestampMs: number;
    }
  | { readonly kind: 'refuse'; readonly error: TributaryError };

const append: SequenceVerdict = { kind: 'append' };

interface SnapshotProducer {
  readonly id: string;
  readonly epoch: number;
  /** Absent in snapshots of the first builds. */
  readonly seen?: number;
  readonly batches: readonly {
    readonly first: number;
    readonly last: number;
    readonly base: string;
    readonly end: string;
    readonly time: number;
  }[];
}

export class ProducerState implements LogReplay {
  readonly #producers = new Map<ProducerId, Producer>();
  /** Newest timestamp of the log so far: the clock by which producers expire (P3). */
  #logTimeMs = 0;
  /** Of the last batch applied. */
  #end = offset(0n);
  #highest: ProducerId | undefined;
  /** All below it stays in the log. Decides only what is forgotten. */
  committed = offset(0n);
  /** Of a topic whose writers are fenced by their ids (G1). */
  readonly isInternal: boolean;

  constructor(isInternal = false) {
    this.isInternal = isInternal;
  }

  /** G1: the highest id of the log, which an internal topic never forgets. */
  get fence(): ProducerId | undefined {
    return this.#highest;
  }

  /** Newest timestamp that the log holds. */
  get logTimeMs(): number {
    return this.#logTimeMs;
  }

  get size(): number {
    return this.#producers.size;
  }

  /** Reads only. @param committedTimeMs newest timestamp below the high watermark. */
  check(header: BatchHeader, committedTimeMs: number): SequenceVerdict {
    if (!header.hasProducer) return append;
    const known = this.#producers.get(header.producerId);
    const last = known?.batches.at(-1);
    // Of an internal topic those below the fence have been refused, and the fence is known for ever.
    const isForgotten = !this.isInternal && committedTimeMs - (known?.seenMs ?? 0) > limits.producerExpiryMs;
    if (known === undefined || last === undefined || isForgotten) {
      return header.baseSequence === 0
        ? append
        : refuse('UNKNOWN_PRODUCER_ID', header, 'the producer is not known here, so its first sequence must be 0');
    }
    if (header.producerEpoch < known.epoch)
      return refuse('INVALID_PRODUCER_EPOCH', header, `epoch ${known.epoch} has taken over`);
    if (header.producerEpoch > known.epoch) {
      return header.baseSequence === 0
        ? append
        : refuse('OUT_OF_ORDER_SEQUENCE_NUMBER', header, 'a new epoch begins with sequence 0');
    }
    for (const batch of known.batches) {
      if (batch.baseSequence === header.baseSequence && batch.lastSequence === header.lastSequence) {
        return {
          kind: 'duplicate',
          baseOffset: batch.baseOffset,
          lastOffset: batch.lastOffset,
          timestampMs: batch.timestampMs,
        };
      }
    }
    const expected = sequenceAfter(last.lastSequence, 1);
    return header.baseSequence === expected
      ? append
      : refuse('OUT_OF_ORDER_SEQUENCE_NUMBER', header, `expected is ${expected}`);
  }

  /** A batch of the log, in offset order: the only mutator, used by appending and by replay. */
  batch(header: BatchHeader): void {
    // A follower that starts above 0 has its leader's snapshot, which may be ahead of its log (P3).
    if (header.nextOffset <= this.#end) return;
    this.#end = header.nextOffset;
    if (header.maxTimestamp > this.#logTimeMs) this.#logTimeMs = header.maxTimestamp;
    if (!header.hasProducer || header.isControl) return;
    this.#noteId(header.producerId);
    let producer = this.#producers.get(header.producerId);
    if (producer === undefined || producer.epoch !== header.producerEpoch) {
      producer = { epoch: header.producerEpoch, seenMs: 0, batches: [] };
      this.#producers.set(header.producerId, producer);
    }
    producer.seenMs = this.#logTimeMs;
    producer.batches.push({
      baseSequence: header.baseSequence,
      lastSequence: header.lastSequence,
      baseOffset: header.baseOffset,
      lastOffset: header.lastOffset,
      timestampMs: header.maxTimestamp,
    });
    if (producer.batches.length > limits.batchesInFlight) producer.batches.shift();
  }

  #noteId(id: ProducerId): void {
    if (this.#highest === undefined || id > this.#highest) this.#highest = id;
  }

  /**
   * What is below the fence could go at once, were the fence not above what is committed: cut off with its batch, it leaves the fence to the next lower id,
   * of which compaction must have left something.
   */
  #mayForget(id: ProducerId, producer: Producer, committedFence: ProducerId | undefined): boolean {
    if (this.#logTimeMs - producer.seenMs <= limits.producerExpiryMs) return false;
    return !this.isInternal || (committedFence !== undefined && id < committedFence);
  }

  #committedFence(): ProducerId | undefined {
    let highest: ProducerId | undefined;
    for (const [id, { batches }] of this.#producers) {
      const isCommitted = (batches[0]?.lastOffset ?? this.committed) < this.committed;
      if (isCommitted && (highest === undefined || id > highest)) highest = id;
    }
    return highest;
  }

  /** One of the last five of its producer (P2). */
  remembers(producer: ProducerId, baseOffset: Offset): boolean {
    const batches = this.#producers.get(producer)?.batches ?? [];
    return batches.some((batch) => batch.baseOffset === baseOffset);
  }

  /** For a snapshot file: all that is not expired by the log's own time. */
  take(): ProducerSnapshot {
    const producers: SnapshotProducer[] = [];
    const committedFence = this.isInternal ? this.#committedFence() : undefined;
    for (const [id, producer] of this.#producers) {
      if (this.#mayForget(id, producer, committedFence)) {
        this.#producers.delete(id);
        continue;
      }
      const batches = producer.batches.map((b) => ({
        first: b.baseSequence,
        last: b.lastSequence,
        base: b.baseOffset.toString(),
        end: b.lastOffset.toString(),
        time: b.timestampMs,
      }));
      producers.push({ id: id.toString(), epoch: producer.epoch, seen: producer.seenMs, batches });
    }
    return {
      bytes: new TextEncoder().encode(JSON.stringify({ version: 1, logTimeMs: this.#logTimeMs, producers })),
      end: this.#end,
    };
  }

  /** Forgets all, then reads what `take` wrote. @throws TributaryError CORRUPT_MESSAGE. */
  restore(snapshot: Uint8Array | undefined, at: Offset): void {
    this.#producers.clear();
    this.#highest = undefined;
    this.#logTimeMs = 0;
    this.#end = at;
    if (snapshot === undefined) return;
    const parsed: unknown = JSON.parse(new TextDecoder().decode(snapshot));
    if (!isSnapshot(parsed))
      throw new TributaryError(
        'CORRUPT_MESSAGE',
        'A producer snapshot has an unknown form; remove it and it is rebuilt from the log.',
      );
    this.#logTimeMs = parsed.logTimeMs;
    for (const producer of parsed.producers) {
      const id = producerId(BigInt(producer.id));
      this.#noteId(id);
      this.#producers.set(id, {
        epoch: producer.epoch,
        seenMs: producer.seen ?? parsed.logTimeMs,
        batches: producer.batches.map((b) => ({
          baseSequence: b.first,
          lastSequence: b.last,
          baseOffset: offset(BigInt(b.base)),
          lastOffset: offset(BigInt(b.end)),
          timestampMs: b.time,
        })),
      });
    }
  }
}

/** Snapshot files are CRC-checked by the log; this only guards against another version's. */
function isSnapshot(
  value: unknown,
): value is { readonly logTimeMs: number; readonly producers: readonly SnapshotProducer[] } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    value.version === 1 &&
    'producers' in value &&
    'logTimeMs' in value
  );
}

function refuse(
  error: 'UNKNOWN_PRODUCER_ID' | 'INVALID_PRODUCER_EPOCH' | 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  header: BatchHeader,
  why: string,
): SequenceVerdict {
  const what = `Producer ${header.producerId} epoch ${header.producerEpoch} sent sequence ${header.baseSequence}`;
  return { kind: 'refuse', error: new TributaryError(error, `${what}: ${why}.`) };
}
