// pure
import { type ProducerEpoch, type ProducerId, TributaryError } from '@tributary/model';
import { BatchBuilder, batchHeaderBytes, type Compression, decodeBatch, setProducer } from '@tributary/record';
import type { BatchFate } from './delivery.ts';

/** Who the broker takes the producer for (P1). Each partition counts its sequences under one. */
export interface ProducerIdentity {
  readonly id: ProducerId;
  readonly epoch: ProducerEpoch;
}

/** A place in the sequence of one identity and partition. */
export interface SequencePlace {
  readonly identity: ProducerIdentity;
  /** Of the first record. */
  readonly sequence: number;
}

/** A batch from its first record to its end. */
export class ProducerBatch {
  readonly fate: BatchFate;
  readonly builder: BatchBuilder;
  /** On the monotonic clock, ms: when it is sent though not full. */
  readonly lingerUntil: number;
  /** On the monotonic clock, ms: when it is given up. */
  readonly deadline: number;
  /** Undefined until it is first sent, for good without idempotence, and again once a new identity is due. */
  place: SequencePlace | undefined;
  /** Counts the batches that have a place. */
  ordinal = 0;
  /** Bytes that it counts for in the producer's memory. */
  charged = 0;
  /** Counted among what `ready` waits for. */
  unsent = false;
  /** How often it was sent. */
  attempts = 0;
  /** Sent and not answered. */
  flying = false;
  /** Some sending of it ended without a word on whether it was appended. */
  inDoubt = false;
  /** A connection broke with it on the way: the network may still be reading its bytes, which are sent from where they are. */
  brokeOff = false;
  lastError: TributaryError | undefined;
  #bytes: Uint8Array | undefined;

  constructor(fate: BatchFate, builder: BatchBuilder, lingerUntil: number, deadline: number) {
    this.fate = fate;
    this.builder = builder;
    this.lingerUntil = lingerUntil;
    this.deadline = deadline;
  }

  get count(): number {
    return this.builder.count;
  }

  /** Bytes before compression, header included. */
  get size(): number {
    return this.builder.estimatedSize;
  }

  /** A place under another identity, or none. */
  moveTo(place: SequencePlace | undefined): void {
    this.place = place;
    if (this.#bytes !== undefined && place !== undefined) setProducer(this.#bytes, 0, producerOf(place));
  }

  /** As it goes over the wire. The same bytes each time, until it moves: a repeated batch is a duplicate, not another one (P1). */
  bytes(compression: Compression): Uint8Array {
    this.#bytes ??= this.builder.build(
      this.place === undefined ? { compression } : { compression, producer: producerOf(this.place) },
    );
    return this.#bytes;
  }
}

const producerOf = ({
  identity,
  sequence,
}: SequencePlace): { id: ProducerId; epoch: ProducerEpoch; baseSequence: number } => ({
  id: identity.id,
  epoch: identity.epoch,
  baseSequence: sequence,
});

/**
 * Its records in two batches of about half the bytes each, for a broker that refused the whole as too large. They take its place in the
 * sequence together, so what was sent after it keeps its own.
 */
export function splitBatch(batch: ProducerBatch): readonly ProducerBatch[] {
  const { fate } = batch;
  const { records } = decodeBatch(batch.builder.build());
  const half = batchHeaderBytes + (batch.size - batchHeaderBytes) / 2;
  const parts: ProducerBatch[] = [];
  const places: { first: number; fate: BatchFate }[] = [];
  let part: ProducerBatch | undefined;
  for (const [index, record] of records.entries()) {
    if (
      part === undefined ||
      (parts.length < 2 && part.size >= half) ||
      (parts.length < 2 && index === records.length - 1)
    ) {
      part = new ProducerBatch(fate.part(), new BatchBuilder(batch.size), batch.lingerUntil, batch.deadline);
      part.fate.baseTimestamp = record.timestamp;
      parts.push(part);
      places.push({ first: index, fate: part.fate });
    }
    if (!part.builder.append(record.timestamp, record.key, record.value, record.headers)) {
      throw new TributaryError('UNKNOWN_SERVER_ERROR', 'A part of a batch is larger than the batch.');
    }
  }
  const [first, second] = parts;
  if (first !== undefined) first.charged = Math.min(first.size, batch.charged);
  if (second !== undefined) second.charged = batch.charged - (first?.charged ?? 0);
  fate.split(places);
  return parts;
}
