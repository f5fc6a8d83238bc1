/**
 * Whole batches as the log gives them out, read record by record: what lies below the position asked for is passed over, and so are control batches
 * (markers of transactions) and batches that compaction has emptied. One batch at a time is decompressed.
 */
import { limits, type Offset, offset, TributaryError } from '@tributary/model';
import {
  BatchScanner,
  checkBatch,
  isControlBatch,
  nextOffsetOf,
  openBatch,
  type RecordCursor,
  type RecordView,
  recordsCountOf,
} from '@tributary/record';
import type { RecordHeader, SubscribedRecord } from '@tributary/wire';

export interface Taken {
  readonly records: SubscribedRecord[];
  /** Bytes of their keys, values and headers: what credit counts. */
  readonly bytes: number;
  /** What it took to read them, in bytes handled. */
  readonly cost: number;
  readonly why: /** The chunk is full: go on. */
    | { readonly kind: 'full' }
    /** The next record has so many bytes, more than the credit. */
    | { readonly kind: 'credit'; readonly bytes: number }
    /** Nothing is left, or nothing that is wanted. */
    | { readonly kind: 'end' }
    /** The next batch cannot be read; what follows it could. */
    | { readonly kind: 'broken'; readonly error: TributaryError; readonly next: Offset };
}

const full: Taken['why'] = { kind: 'full' };
const over: Taken['why'] = { kind: 'end' };
/** Never added to. */
const noHeaders: RecordHeader[] = [];

interface OpenBatch {
  readonly cursor: RecordCursor;
  readonly next: Offset;
  readonly leaderEpoch: number;
  /** Bytes of its records, decompressed. */
  readonly bytes: number;
}

interface Bounds {
  /** Offset of the first record that is wanted. */
  readonly from: Offset;
  /** Where reading goes on behind this slice. */
  readonly next: Offset;
  /** Offset of the first record that is not wanted any more; undefined: all are. */
  readonly until: Offset | undefined;
}

export class OpenSlice {
  readonly #slices: readonly Uint8Array[];
  readonly #bounds: Bounds;
  #at = -1;
  #scanner: BatchScanner | undefined;
  #batch: OpenBatch | undefined;
  /** Read, and not yet taken. */
  #ahead: RecordView | undefined;
  #position: Offset;
  /** Behind the batch that was opened last. */
  #opening: Offset;
  #cost = 0;

  constructor(slices: readonly Uint8Array[], bounds: Bounds) {
    this.#slices = slices;
    this.#bounds = bounds;
    this.#position = bounds.from;
    this.#opening = bounds.from;
  }

  /** Everything before it was taken or passed over. */
  get position(): Offset {
    return this.#position;
  }

  /** Memory of the slice, without what is decompressed. */
  get bytes(): number {
    let bytes = this.#batch?.bytes ?? 0;
    for (const slice of this.#slices) bytes += slice.length;
    return bytes;
  }

  /** About a chunk of records, one at least if the credit allows it. @param credit bytes of records. */
  take(credit: number): Taken {
    const records: SubscribedRecord[] = [];
    let bytes = 0;
    this.#cost = 0;
    try {
      for (let view = this.#peek(); view !== undefined; view = this.#peek()) {
        const headers = headersOf(view);
        const size = sizeOf(view, headers);
        if (bytes + size > credit) return this.#taken(records, bytes, { kind: 'credit', bytes: size });
        if (records.length > 0 && this.#cost + size > limits.subscribeChunk) return this.#taken(records, bytes, full);
        records.push(this.#record(view, headers));
        bytes += size;
        this.#cost += size + limits.subscribeRecord;
        this.#ahead = undefined;
        this.#position = offset(view.offset + 1n);
      }
    } catch (thrown) {
      // What is broken may say anything about its own length.
      const beyond = this.#batch?.next ?? this.#opening;
      const next = beyond > this.#position ? beyond : this.#bounds.next;
      return this.#taken(records, bytes, { kind: 'broken', error: TributaryError.from(thrown), next });
    }
    return this.#taken(records, bytes, over);
  }

  #taken(records: SubscribedRecord[], bytes: number, why: Taken['why']): Taken {
    return { records, bytes, cost: this.#cost, why };
  }

  #record(view: RecordView, headers: RecordHeader[]): SubscribedRecord {
    return {
      offset: view.offset,
      timestampMs: BigInt(view.timestamp),
      key: view.key ?? undefined,
      value: view.value ?? undefined,
      headers,
      leaderEpoch: this.#batch?.leaderEpoch ?? 0,
    };
  }

  /** The next record that is wanted. @throws TributaryError, with the batch that is broken open. */
  #peek(): RecordView | undefined {
    if (this.#ahead !== undefined) return this.#ahead;
    for (;;) {
      const batch = this.#batch ?? this.#nextBatch();
      if (batch === undefined) return undefined;
      this.#batch = batch;
      for (let view = batch.cursor.next(); view !== undefined; view = batch.cursor.next()) {
        if (view.offset < this.#position) continue;
        const { until } = this.#bounds;
        if (until !== undefined && view.offset >= until) {
          this.#passed(until);
          return undefined;
        }
        this.#ahead = view;
        return view;
      }
      this.#passed(batch.next);
      this.#batch = undefined;
    }
  }

  #passed(next: Offset): void {
    if (next > this.#position) this.#position = next;
  }

  #nextBatch(): OpenBatch | undefined {
    for (;;) {
      while (this.#scanner?.next() !== true) {
        if ((this.#scanner?.cutBytes ?? 0) > 0)
          throw new TributaryError('CORRUPT_MESSAGE', `the batch behind offset ${this.#position} is cut off`);
        const bytes = this.#slices[++this.#at];
        if (bytes === undefined) {
          this.#passed(this.#bounds.next);
          return undefined;
        }
        this.#scanner = new BatchScanner(bytes);
      }
      const opened = this.#open(this.#slices[this.#at] ?? nothing, this.#scanner.at);
      if (opened !== undefined) return opened;
    }
  }

  /** @returns undefined when it holds nothing for a reader. */
  #open(bytes: Uint8Array, at: number): OpenBatch | undefined {
    this.#opening = nextOffsetOf(bytes, at);
    this.#cost += checkBatch(bytes, at, bytes.length, 'log') / 8;
    if (isControlBatch(bytes, at) || recordsCountOf(bytes, at) === 0 || this.#opening <= this.#position) {
      this.#passed(this.#opening);
      return undefined;
    }
    const batch = openBatch(bytes, at, limits.subscribeBatch);
    const { header, section } = batch;
    if (header.compression !== 'none') this.#cost += section.length;
    return {
      cursor: batch.cursor(),
      next: header.nextOffset,
      leaderEpoch: header.leaderEpoch,
      bytes: section.length,
    };
  }
}

const nothing = new Uint8Array(0);

function headersOf(view: RecordView): RecordHeader[] {
  if (view.headersCount === 0) return noHeaders;
  return view.headers.map(({ key, value }) => (value === null ? { key } : { key, value }));
}

function sizeOf(view: RecordView, headers: readonly RecordHeader[]): number {
  let bytes = Math.max(view.keyLength, 0) + Math.max(view.valueLength, 0);
  for (const { key, value } of headers) bytes += Buffer.byteLength(key) + (value?.length ?? 0);
  return bytes;
}
