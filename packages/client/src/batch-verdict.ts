// pure
/** What a producer makes of a broker's refusal of a batch. */
import { type ErrorName, TributaryError } from '@tributary/model';
import type { ProducerBatch } from './batch.ts';

/** These say that the batch was not appended by this sending; after any other error it may have been. */
const refusals: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'CORRUPT_MESSAGE',
  'INCONSISTENT_CLUSTER_ID',
  'INCONSISTENT_TOPIC_ID',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_RECORD',
  'INVALID_REQUEST',
  'INVALID_REQUIRED_ACKS',
  'INVALID_TIMESTAMP',
  'INVALID_TOPIC_EXCEPTION',
  'MESSAGE_TOO_LARGE',
  'NOT_ENOUGH_REPLICAS',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'POLICY_VIOLATION',
  'PRODUCER_FENCED',
  'RECORD_LIST_TOO_LARGE',
  'THROTTLING_QUOTA_EXCEEDED',
  'UNKNOWN_LEADER_EPOCH',
  'UNKNOWN_PRODUCER_ID',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  'UNSUPPORTED_VERSION',
]);

/** The broker's memory of the producer and ours differ. */
const sequenceErrors: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
]);

const sizeErrors: ReadonlySet<ErrorName> = new Set<ErrorName>(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);

/**
 * Whether no sending of the batch was appended, whatever became of earlier ones: a broker that had appended one would know its sequence and answer so before
 * it looks at the size (P2).
 */
export const settlesDoubt = (batch: ProducerBatch, error: TributaryError): boolean =>
  batch.place !== undefined && sizeErrors.has(error.error);

/** Does the error leave it open whether the batch was appended? */
export const leavesDoubt = (error: TributaryError): boolean => !refusals.has(error.error);

/**
 * - `again`: as it is, in its place;
 * - `split`: in two parts;
 * - `renumber`: it and what follows, under a new identity;
 * - `give-up`.
 */
export type Verdict = 'again' | 'split' | 'renumber' | 'give-up';

/** @param follows another batch before it was refused too, and goes again: if this one was out of order, that is why. */
export function verdict(batch: ProducerBatch, error: TributaryError, follows: boolean): Verdict {
  if (sizeErrors.has(error.error) && batch.count > 1 && !batch.inDoubt) return 'split';
  if (error.retriable) return 'again';
  if (batch.place !== undefined && sequenceErrors.has(error.error)) {
    if (follows) return 'again';
    // Nothing else was sent in its place, so the broker has lost or forgotten what came before; an earlier sending may have got in before that.
    return batch.inDoubt ? 'give-up' : 'renumber';
  }
  return 'give-up';
}

const what = ({ count, fate }: ProducerBatch): string =>
  `${count === 1 ? 'A record' : `${count} records`} for partition ${fate.partition} of "${fate.topic}"`;
const outcomeOf = (batch: ProducerBatch): string =>
  batch.inDoubt ? 'Whether they were appended is unknown' : 'They were not appended';

/** The broker's word, with what it is about. */
export function refusedError(batch: ProducerBatch, error: TributaryError): TributaryError {
  return new TributaryError(error.error, `${what(batch)}: ${error.message}`, { cause: error });
}

export function expiredError(batch: ProducerBatch, why: TributaryError | undefined): TributaryError {
  const last = batch.lastError ?? why;
  const because = last === undefined ? 'no answer came' : `${last.error}: ${last.message}`;
  return new TributaryError(
    'REQUEST_TIMED_OUT',
    `${what(batch)}: not acknowledged within the delivery timeout. ${outcomeOf(batch)}. Last: ${because}`,
    {
      cause: last,
    },
  );
}

/** For what was sent after a batch that was given up in doubt (P4). */
export function givenUpWithError(batch: ProducerBatch): TributaryError {
  return new TributaryError(
    'REQUEST_TIMED_OUT',
    `${what(batch)}: given up with an earlier batch of the partition whose outcome is unknown. Whether they were appended is unknown`,
    { cause: batch.lastError },
  );
}
