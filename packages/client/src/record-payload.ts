// pure
/** Keys, values and headers on their way into a batch. */
import { TributaryError } from '@tributary/model';
import type { Payload, RecordHeader } from '@tributary/record';
import type { Serializer } from './serializers.ts';

/** Bytes that a record's frame in a batch takes at most, and a header's: lengths, deltas, attributes. */
export const recordOverhead = 40;

/** @throws TributaryError INVALID_RECORD naming the topic, the part and the reason. */
export function serialized<T>(what: 'key' | 'value', serializer: Serializer<T>, value: T, topic: string): Payload {
  try {
    return serializer.serialize(value, topic);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    const sentence = `The ${what} of a record for topic "${topic}" cannot be serialised: ${why}.`;
    throw new TributaryError('INVALID_RECORD', sentence, { cause: thrown });
  }
}

/** Of its UTF-8, if text. */
function byteLength(payload: Payload): number {
  if (payload === null) return 0;
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
}

/** Bytes that the record may take in a batch, before compression. */
export function recordSize(key: Payload, value: Payload, headers: readonly RecordHeader[]): number {
  let bytes = recordOverhead + byteLength(key) + byteLength(value);
  for (const header of headers) bytes += recordOverhead + Buffer.byteLength(header.key) + byteLength(header.value);
  return bytes;
}

/** @throws TributaryError MESSAGE_TOO_LARGE with both sizes. */
export function checkRecordSize(topic: string, bytes: number, maxRequestBytes: number): void {
  if (bytes <= maxRequestBytes) return;
  throw new TributaryError(
    'MESSAGE_TOO_LARGE',
    `A record for topic "${topic}" has ${bytes} bytes; the producer's maxRequestBytes is ${maxRequestBytes}. Raise it, and max.message.bytes of the topic, or send less.`,
  );
}

/** @throws TributaryError INVALID_TIMESTAMP. */
export function checkTimestamp(timestamp: number): void {
  if (Number.isSafeInteger(timestamp) && timestamp >= -1) return;
  throw new TributaryError(
    'INVALID_TIMESTAMP',
    `timestamp ${timestamp} is not a whole number of milliseconds since 1970`,
  );
}

/** Bytes of its own: the caller may change its. */
export function copied(payload: Payload): Payload {
  return payload instanceof Uint8Array ? new Uint8Array(payload) : payload;
}

export function copiedHeaders(headers: readonly RecordHeader[]): readonly RecordHeader[] {
  return headers.map(({ key, value }) => ({ key, value: value === null ? null : new Uint8Array(value) }));
}
