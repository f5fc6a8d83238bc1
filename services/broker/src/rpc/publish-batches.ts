// pure
/** Records of a Publish become batches: each is checked by itself, and what remains is split at the size that the topic allows. */
import { limits, type TopicConfig, TributaryError } from '@tributary/model';
import {
  BatchBuilder,
  batchHeaderBytes,
  type BatchOptions,
  type BatchProducer,
  type RecordHeader,
} from '@tributary/record';
import type { PublishRecord } from '@tributary/wire';

/** What a partition asks of its records. */
export interface RecordRules {
  /** For sentences. */
  readonly name: string;
  readonly config: Pick<TopicConfig, 'maxMessageBytes' | 'timestampType' | 'timestampAfterMaxMs' | 'cleanup'>;
  /** Wall clock, ms: the time of records that name none. */
  readonly nowMs: number;
  /** Absent: at least once. With it all records become one batch, or none does (P1). */
  readonly producer: BatchProducer | undefined;
}

export interface BuiltBatch {
  readonly bytes: Uint8Array;
  /** Of its records in the request. */
  readonly indices: readonly number[];
}

/** Deltas between timestamps stay exact as numbers (see the record package). */
const timestampMax = 2n ** 52n - 2n;
const noHeaders: readonly RecordHeader[] = [];

/** Kept between requests: nothing is in it while nobody builds. */
const shared = new BatchBuilder(limits.publishBatch);

/**
 * Batches of these records, in order, each made when it is asked for. With a producer there is one.
 * @param refuse called for each record that no batch holds.
 * @throws TributaryError with a producer: what is wrong with any record, or MESSAGE_TOO_LARGE.
 */
export function* builtBatches(
  records: readonly PublishRecord[],
  indices: Iterable<number>,
  rules: RecordRules,
  refuse: (index: number, error: TributaryError) => void,
): Generator<BuiltBatch, void, undefined> {
  const { producer, config } = rules;
  const most = config.maxMessageBytes;
  const builder = builderOf(producer === undefined ? Math.min(most, limits.publishBatch) : Number.MAX_SAFE_INTEGER);
  const options: BatchOptions = producer === undefined ? { copy: true } : { producer };
  let taken: number[] = [];
  builder.reset();
  for (const index of indices) {
    const record = records[index];
    if (record === undefined) continue;
    const refusal = refusalOf(record, index, rules);
    if (refusal === undefined) {
      if (!append(builder, record, rules)) {
        yield finish(builder, options, taken);
        taken = [];
        append(builder, record, rules);
      }
      taken.push(index);
      if (taken.length > 1 || builder.estimatedSize <= most) continue;
      refuse(index, tooLarge(`Record ${index}`, builder.estimatedSize, rules));
      taken = [];
      builder.reset();
    } else if (producer !== undefined) throw refusal;
    else refuse(index, refusal);
  }
  if (taken.length === 0) return;
  if (builder.estimatedSize > most) {
    const what = `The batch of ${taken.length} records under one sequence`;
    throw tooLarge(what, builder.estimatedSize, rules);
  }
  yield finish(builder, options, taken);
}

function builderOf(capacity: number): BatchBuilder {
  return capacity === shared.capacity ? shared : new BatchBuilder(capacity);
}

/** The builder is empty afterwards: others may use it until the next batch is asked for. */
function finish(builder: BatchBuilder, options: BatchOptions, indices: readonly number[]): BuiltBatch {
  const bytes = builder.build(options);
  if (options.copy === true) builder.reset();
  return { bytes, indices };
}

function append(builder: BatchBuilder, record: PublishRecord, { nowMs }: RecordRules): boolean {
  const timestampMs = record.timestampMs === undefined ? nowMs : Number(record.timestampMs);
  return builder.append(timestampMs, record.key ?? null, record.value ?? null, headersOf(record));
}

function headersOf({ headers }: PublishRecord): readonly RecordHeader[] {
  return headers.length === 0 ? noHeaders : headers.map(({ key, value }) => ({ key, value: value ?? null }));
}

/** Why no batch of this partition may hold the record. */
function refusalOf(record: PublishRecord, index: number, rules: RecordRules): TributaryError | undefined {
  const { config, name, nowMs } = rules;
  if (config.cleanup.compact && record.key === undefined) {
    return new TributaryError(
      'INVALID_RECORD',
      `Record ${index} has no key: ${name} is compacted (cleanup.policy), which keeps the newest value of each key.`,
    );
  }
  // Before any of it is copied.
  const bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0);
  if (bytes > config.maxMessageBytes) return tooLarge(`Record ${index}`, batchHeaderBytes + bytes, rules);
  const at = record.timestampMs;
  if (at === undefined) return undefined;
  if (at < 0n || at > timestampMax) {
    return new TributaryError(
      'INVALID_TIMESTAMP',
      `Record ${index}: timestamp_ms ${at} is no number of milliseconds since 1970; leave it out for the time of its arrival.`,
    );
  }
  const ahead = Number(at) - nowMs;
  if (config.timestampType === 'LogAppendTime' || ahead <= config.timestampAfterMaxMs) return undefined;
  return new TributaryError(
    'INVALID_TIMESTAMP',
    `Record ${index}: timestamp_ms ${at} is ${ahead} ms ahead of the broker; message.timestamp.after.max.ms of ${name} is ${config.timestampAfterMaxMs}.`,
  );
}

function tooLarge(what: string, bytes: number, { name, config }: RecordRules): TributaryError {
  return new TributaryError(
    'MESSAGE_TOO_LARGE',
    `${what} takes ${bytes} bytes as a batch; max.message.bytes of ${name} is ${config.maxMessageBytes}.`,
  );
}
