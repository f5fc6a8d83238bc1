/** A partition of the fake broker: what a log must do for a client to be judged by it (P1, P2). */
import { type ErrorName, offset, TributaryError } from '@tributary/model';
import {
  baseSequenceOf,
  checkBatch,
  decodeBatch,
  hasProducerId,
  nextOffsetOf,
  producerEpochOf,
  producerIdOf,
  recordsCountOf,
  sequenceAfter,
  stampBaseOffset,
} from '@tributary/record';

interface ProducerMemory {
  epoch: number;
  next: number;
  recent: { readonly sequence: number; readonly count: number; readonly base: bigint }[];
}

export class FakePartition {
  /** Whole batches, base offsets stamped. */
  readonly batches: Uint8Array[] = [];
  readonly producers = new Map<bigint, ProducerMemory>();
  leader = 1;
  epoch = 1;
  isr: number[] = [];
  start = 0n;
  end = 0n;
  maxBatchBytes = 1_048_588;

  append(records: Uint8Array): bigint {
    const base = this.end;
    stampBaseOffset(records, 0, offset(base));
    this.batches.push(records);
    this.end = nextOffsetOf(records, 0);
    return base;
  }

  /** As P1 and P2 ask. */
  take(received: Uint8Array): bigint {
    const records = received.slice();
    checkBatch(records, 0, records.length, 'producer');
    if (records.length > this.maxBatchBytes) {
      throw new TributaryError(
        'MESSAGE_TOO_LARGE',
        `The batch has ${records.length} bytes, max.message.bytes is ${this.maxBatchBytes}.`,
      );
    }
    if (!hasProducerId(records, 0)) return this.append(records);
    const id = producerIdOf(records, 0);
    const sequence = baseSequenceOf(records, 0);
    const count = recordsCountOf(records, 0);
    const memory = this.producers.get(id);
    if (memory === undefined) {
      if (sequence !== 0) throw new TributaryError('UNKNOWN_PRODUCER_ID', `sequence ${sequence}`);
    } else {
      const same = memory.recent.find((each) => each.sequence === sequence && each.count === count);
      if (same !== undefined) return same.base;
      if (sequence !== memory.next)
        throw new TributaryError('OUT_OF_ORDER_SEQUENCE_NUMBER', `sequence ${sequence} follows ${memory.next}`);
    }
    const base = this.append(records);
    const recent = [...(memory?.recent ?? []), { sequence, count, base }].slice(-5);
    this.producers.set(id, { epoch: producerEpochOf(records, 0), next: sequenceAfter(sequence, count), recent });
    return base;
  }

  /** Values as text, in offset order. */
  get values(): readonly string[] {
    return this.batches.flatMap((batch) => decodeBatch(batch).records.map((record) => record.valueText() ?? ''));
  }
}

/** What is to go wrong with one batch. */
export type ProduceFault =
  | { readonly kind: 'refuse'; readonly error: ErrorName }
  /** Appended, and yet an error. */
  | { readonly kind: 'append-and-refuse'; readonly error: ErrorName }
  /** Appended, and the connection breaks before the answer. */
  | { readonly kind: 'append-and-break' }
  | { readonly kind: 'break' }
  /** Never answered. */
  | { readonly kind: 'swallow' };
