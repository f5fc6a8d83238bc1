/** A segment's file, batch by batch: what is whole, what is not, and whether the indexes beside it lead to batches. */
import { findNextBatch, scanFile } from '@tributary/broker';
import { type Offset, offset, TributaryError } from '@tributary/model';
import type { File } from '@tributary/ports';
import { type BatchHeader, decodeBatch, readBatchHeader } from '@tributary/record';
import { nodeFileSystem } from '@tributary/runtime';
import { byteText } from '../byte-text.ts';
import type { IndexChecks } from './indexes.ts';
import { type Report, sized, timeText } from './report.ts';

export interface SegmentOptions {
  /** First offset that the file may hold. */
  readonly base: Offset;
  /** Where the next segment begins; undefined: there is none, so this one may be growing. */
  readonly limit?: Offset;
  /** What is damaged here was cut from a log on purpose. */
  readonly isCut?: boolean;
  readonly checks?: IndexChecks;
}

export interface SegmentResult {
  readonly batches: number;
  readonly bytes: number;
  /** The offset after the last whole batch. */
  readonly end: Offset;
  readonly isWhole: boolean;
}

export async function dumpSegment(path: string, report: Report, options: SegmentOptions): Promise<SegmentResult> {
  const walk = new SegmentWalk(path, report, options);
  return await walk.run();
}

interface Damage {
  readonly position: number;
  /** Where whole batches begin again. */
  readonly next: number;
  readonly why: string;
}

class SegmentWalk {
  readonly #path: string;
  readonly #report: Report;
  readonly #options: SegmentOptions;
  readonly #damages: Damage[] = [];
  #expected: Offset;
  #batches = 0;
  #records = 0;
  #wholeBytes = 0;
  /** Of the last damage and since: what follows it. */
  #since = { batches: 0, bytes: 0, from: undefined as Offset | undefined };
  #isTailGrowing = false;

  constructor(path: string, report: Report, options: SegmentOptions) {
    this.#path = path;
    this.#report = report;
    this.#options = options;
    this.#expected = options.base;
  }

  async run(): Promise<SegmentResult> {
    if (this.#report.options.details) this.#report.heading(batchHeading);
    let from = 0;
    let size = 0;
    for (;;) {
      const file = await nodeFileSystem.open(this.#path, 'read');
      try {
        size = file.size;
        from = await this.#walk(file, from, size);
      } finally {
        await file.close();
      }
      if (from >= size || !(await this.#grows(size))) break;
    }
    if (from < size) await this.#tail(from, size);
    this.#options.checks?.finish(this.#expected, size, this.#isTailGrowing || this.#options.limit === undefined);
    this.#summary(size);
    return { batches: this.#batches, bytes: size, end: this.#expected, isWhole: this.#damages.length === 0 };
  }

  /** @returns where the walk ended: the end, or where nothing whole follows any more. */
  async #walk(file: File, from: number, size: number): Promise<number> {
    let position = from;
    while (position < size) {
      const ended = await scanFile(file, { from: position, to: size, check: true }, (bytes, at, where, length) => {
        if (this.#report.isFull) return false;
        const header = readBatchHeader(bytes, at);
        if (header.baseOffset < this.#expected) this.#overlap(where, header);
        this.#batch(header, where, length, bytes.subarray(at, at + length));
        return true;
      });
      await this.#report.flush();
      position = ended.position;
      if (ended.kind !== 'damaged') continue;
      const next = await findNextBatch(file, position, size, offset(0n));
      // Positions in that sentence are of the part of the file that was in memory.
      this.#lastWhy = ended.why.replace(/^batch at byte \d+: /, '');
      if (next === undefined) return position;
      this.#damage({ position, next, why: this.#lastWhy });
      position = next;
    }
    return position;
  }

  #lastWhy = '';

  /** A writer may be in the middle of a batch. */
  async #grows(size: number): Promise<boolean> {
    if (this.#options.limit !== undefined) return false;
    await this.#report.options.awaitWriter();
    const file = await nodeFileSystem.open(this.#path, 'read');
    const grown = file.size > size;
    await file.close();
    if (grown && !this.#isTailGrowing) {
      this.#isTailGrowing = true;
      this.#report.finding({
        kind: 'note',
        file: this.#path,
        position: size,
        why: 'the file is growing: it is being written',
      });
    }
    return grown;
  }

  async #tail(from: number, size: number): Promise<void> {
    this.#damage({ position: from, next: size, why: this.#lastWhy });
    await this.#report.flush();
  }

  #overlap(position: number, header: BatchHeader): void {
    this.#report.finding({
      kind: this.#options.isCut ? 'note' : 'problem',
      file: this.#path,
      position,
      why: `a batch at offset ${header.baseOffset} where ${this.#expected} or more is due`,
    });
  }

  #damage(damage: Damage): void {
    this.#damages.push(damage);
    this.#since = { batches: 0, bytes: 0, from: undefined };
    const { position, next, why } = damage;
    this.#report.finding({
      kind: this.#options.isCut ? 'note' : 'problem',
      file: this.#path,
      position,
      why: `${why}; ${sized(next - position)} are no batch${this.#isTailGrowing ? ', and the file is growing: the last one may be on its way' : ''}`,
    });
  }

  #batch(header: BatchHeader, position: number, size: number, bytes: Buffer): void {
    this.#options.checks?.batch(header, position, size);
    const { limit, isCut } = this.#options;
    if (limit !== undefined && header.nextOffset > limit) {
      this.#report.finding({
        kind: isCut ? 'note' : 'problem',
        file: this.#path,
        position,
        why: `offset ${header.lastOffset} belongs to the next segment, which begins at ${limit}`,
      });
    }
    if (header.nextOffset > this.#expected) this.#expected = header.nextOffset;
    this.#batches++;
    this.#records += header.recordsCount;
    this.#wholeBytes += size;
    this.#since.batches++;
    this.#since.bytes += size;
    this.#since.from ??= header.baseOffset;
    if (this.#report.options.details) this.#report.line(batchText(header, position), batchFields(header, position));
    if (this.#report.options.records) this.#printRecords(header, position, bytes);
  }

  #printRecords(header: BatchHeader, position: number, bytes: Buffer): void {
    try {
      for (const record of decodeBatch(bytes, 0).records) {
        const { offset: at, timestamp, key, value, headers } = record;
        const fields = {
          what: 'record',
          offset: at,
          timestamp,
          key: key === null ? null : byteText(key),
          value: value === null ? null : byteText(value),
          headers: headers.map((each) => ({ key: each.key, value: each.value === null ? null : byteText(each.value) })),
        };
        const pairs = fields.headers.map((each) => `${each.key}=${shown(each.value)}`).join(',');
        this.#report.line(
          `  ${at}  ${timeText(timestamp)}  key ${shown(fields.key)}  value ${shown(fields.value)}${pairs === '' ? '' : `  headers ${pairs}`}`,
          fields,
        );
      }
    } catch (thrown) {
      const error = TributaryError.from(thrown);
      const why = `the checksum fits, but the records cannot be read: ${error.message}`;
      this.#report.finding({
        kind: 'problem',
        file: this.#path,
        position,
        why: `${why} (offset ${header.baseOffset})`,
      });
    }
  }

  #summary(size: number): void {
    const { base } = this.#options;
    const last = this.#damages.at(-1);
    const follows =
      last === undefined || this.#since.batches === 0
        ? ''
        : `; behind the last damage follow ${this.#since.batches} whole batches, ${sized(this.#since.bytes)}, from offset ${this.#since.from}`;
    const lost = size - this.#wholeBytes;
    this.#report.line(
      `${numbered(this.#batches, 'batch', 'batches')}, ${numbered(this.#records, 'record', 'records')}, offsets ${base} to below ${this.#expected}, ${sized(this.#wholeBytes)}${lost === 0 ? '' : `, and ${sized(lost)} that are none`}${follows}`,
      {
        what: 'segment',
        file: this.#path,
        base,
        end: this.#expected,
        batches: this.#batches,
        records: this.#records,
        bytes: size,
        wholeBytes: this.#wholeBytes,
        growing: this.#isTailGrowing,
        ...(last === undefined
          ? {}
          : { wholeAfterDamage: { batches: this.#since.batches, bytes: this.#since.bytes, from: this.#since.from } }),
      },
    );
  }
}

const numbered = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

const columns = [12, 9, 12, 12, 8, 6, 10, 8, 7, 24] as const;
const row = (...cells: readonly (string | number | bigint)[]): string =>
  cells
    .map((cell, index) => String(cell).padEnd(columns[index] ?? 0))
    .join('  ')
    .trimEnd();

const batchHeading = row(
  'position',
  'size',
  'base',
  'last',
  'records',
  'epoch',
  'producer',
  'sequence',
  'codec',
  'newest record',
  'crc',
);

function batchText(header: BatchHeader, position: number): string {
  const producer = header.hasProducer ? `${header.producerId}/${header.producerEpoch}` : '-';
  const marks = marksOf(header);
  return `${row(
    position,
    header.size,
    header.baseOffset,
    header.lastOffset,
    header.recordsCount,
    header.leaderEpoch,
    producer,
    header.hasProducer ? header.baseSequence : '-',
    header.compression ?? `codec ${header.attributes & 7}`,
    timeText(header.maxTimestamp),
    'ok',
  )}${marks.length === 0 ? '' : `  ${marks.join(' ')}`}`;
}

function marksOf(header: BatchHeader): readonly string[] {
  return [
    ...(header.isTransactional ? ['transactional'] : []),
    ...(header.isControl ? ['control'] : []),
    ...(header.hasDeleteHorizon ? ['delete-horizon'] : []),
    ...(header.timestampType === 'log-append' ? ['log-append-time'] : []),
  ];
}

function batchFields(header: BatchHeader, position: number) {
  return {
    what: 'batch',
    position,
    size: header.size,
    baseOffset: header.baseOffset,
    lastOffset: header.lastOffset,
    records: header.recordsCount,
    leaderEpoch: header.leaderEpoch,
    ...(header.hasProducer
      ? { producerId: header.producerId, producerEpoch: header.producerEpoch, baseSequence: header.baseSequence }
      : {}),
    compression: header.compression ?? null,
    baseTimestamp: header.baseTimestamp,
    maxTimestamp: header.maxTimestamp,
    timestampType: header.timestampType,
    crc: header.crc,
    crcOk: true,
    transactional: header.isTransactional,
    control: header.isControl,
  };
}

const shown = (value: string | { readonly base64: string } | null): string =>
  value === null ? 'null' : typeof value === 'string' ? JSON.stringify(value) : `base64 ${value.base64}`;
