// pure
/**
 * G1: who may write to an internal topic. A writer names its writer epoch, which is the producer id of its batches too; the fence is the highest such id that
 * the log holds, and whoever has a lower one is over. So it is as durable as what it fences: snapshots, failovers and cuts carry both alike.
 */
import { type ProducerId, TributaryError } from '@tributary/model';
import type { BatchHeader } from '@tributary/record';

export interface FencedWrite {
  /** For sentences. */
  readonly partition: string;
  readonly header: BatchHeader;
  readonly acks: 'none' | 'leader' | 'all';
  /** undefined: the request names none, as those of clients do. */
  readonly writerEpoch: bigint | undefined;
}

/** @param fence the highest writer epoch in the log; undefined: nobody has written yet. @returns why the batch may not be appended; undefined: it may. */
export function fenceRefusal(
  { partition, header, acks, writerEpoch }: FencedWrite,
  fence: ProducerId | undefined,
): TributaryError | undefined {
  if (writerEpoch === undefined) return notForClients(partition);
  if (writerEpoch < 1n || header.producerId !== writerEpoch || header.producerEpoch !== 0 || header.isControl) {
    return new TributaryError(
      'INVALID_REQUEST',
      `${partition}: a batch of writer epoch ${writerEpoch} must have that, from 1 on, as its producer id, and producer epoch 0; it has ${header.producerId} and ${header.producerEpoch}${header.isControl ? ', and is a control batch' : ''}.`,
    );
  }
  // With less it could be read, and answered for, by an owner whose successor never sees it.
  if (acks !== 'all')
    return new TributaryError('INVALID_REQUIRED_ACKS', `${partition}: internal topics take ACKS_ALL only.`);
  if (fence === undefined || writerEpoch >= fence) return undefined;
  return new TributaryError(
    'PRODUCER_FENCED',
    `${partition}: writer epoch ${fence} has taken over from ${writerEpoch}, which may not write any more.`,
  );
}

/** @param what topic or partition. */
export function notForClients(what: string): TributaryError {
  const sentence = `${what}: to internal topics only the cluster's own parts write, each naming its writer epoch.`;
  return new TributaryError('INVALID_TOPIC_EXCEPTION', sentence);
}

/** On a topic of users nothing would heed it, and whoever names one relies on it. */
export function noFenceHere(partition: string, writerEpoch: bigint): TributaryError {
  return new TributaryError(
    'INVALID_REQUEST',
    `${partition}: the request names writer epoch ${writerEpoch}, and those fence nobody but on internal topics.`,
  );
}
