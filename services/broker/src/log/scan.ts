/** Walking the batches of a log file, from one position on, in large reads. */
import { limits, type Offset, TributaryError } from '@tributary/model';
import type { File } from '@tributary/ports';
import {
  baseOffsetOf,
  baseTimestampOf,
  batchHeaderBytes,
  batchMagic,
  batchPrefixBytes,
  checkBatch,
  magicOf,
  maxTimestampOf,
  sizeOfBatch,
} from '@tributary/record';

export interface ScanOptions {
  /** First byte of a batch. */
  readonly from: number;
  /** End of the bytes that count. */
  readonly to: number;
  /** Check the CRC of each batch; otherwise only headers are read. */
  readonly check: boolean;
  /** Bytes of one read; default limits.scanChunk. */
  readonly chunk?: number;
}

/** @param at where the batch begins in `bytes`. @param position where it begins in the file. @returns false: stop before this one. */
export type VisitBatch = (bytes: Buffer, at: number, position: number, size: number) => boolean;

export type ScanEnd =
  | { readonly kind: 'end'; readonly position: number }
  /** The visitor had enough. */
  | { readonly kind: 'stopped'; readonly position: number }
  /** What begins at `position` is no whole batch. */
  | { readonly kind: 'damaged'; readonly position: number; readonly why: string };

export async function scanFile(file: File, options: ScanOptions, visit: VisitBatch): Promise<ScanEnd> {
  const window = new Window(file, options.to, options.chunk ?? limits.scanChunk);
  let position = options.from;
  while (position < options.to) {
    if (!(await window.reach(position, batchHeaderBytes))) return damagedAt(position, 'the header is cut');
    const size = sizeOfBatch(window.bytes, position - window.start);
    if (size < batchHeaderBytes || size > limits.batchBytesMax)
      return damagedAt(position, `the length field says ${size} bytes`);
    if (position + size > options.to)
      return damagedAt(position, `${size} bytes long, ${options.to - position} are there`);
    if (options.check && !(await window.reach(position, size))) return damagedAt(position, 'the batch is cut');
    const at = position - window.start;
    const why = defect(window.bytes, at, options.check);
    if (why !== undefined) return damagedAt(position, why);
    if (!visit(window.bytes, at, position, size)) return { kind: 'stopped', position };
    position += size;
  }
  return { kind: 'end', position };
}

const damagedAt = (position: number, why: string): ScanEnd => ({ kind: 'damaged', position, why });

/** Why the batch is not sound; undefined: it is. */
export function defect(bytes: Buffer, at: number, check: boolean): string | undefined {
  if (!check) return magicOf(bytes, at) === batchMagic ? undefined : `the magic byte is ${magicOf(bytes, at)}`;
  try {
    checkBatch(bytes, at, bytes.length, 'log');
    return undefined;
  } catch (thrown) {
    if (thrown instanceof TributaryError) return thrown.message;
    throw thrown;
  }
}

/**
 * The next whole, sound batch behind damage.
 * @param damagedAt where the damage begins: its length field is believed first, for a record may contain the bytes of a batch.
 * @param least its base offset is at least this.
 */
export async function findNextBatch(
  file: File,
  damagedAt: number,
  to: number,
  least: Offset,
): Promise<number | undefined> {
  const window = new Window(file, to, limits.scanChunk);
  if (await window.reach(damagedAt, batchHeaderBytes)) {
    const size = sizeOfBatch(window.bytes, damagedAt - window.start);
    if (size >= batchHeaderBytes && (await isBatch(window, damagedAt + size, to, least))) return damagedAt + size;
  }
  for (let position = damagedAt + 1; position + batchHeaderBytes <= to; ) {
    if (!window.holds(position, batchHeaderBytes) && !(await window.reach(position, batchHeaderBytes)))
      return undefined;
    // Bytes are looked at one by one only where a magic byte could be one: a damaged file may be gigabytes of zeros or of anything.
    const magicAt = window.bytes.indexOf(batchMagic, position - window.start + magicPosition);
    if (magicAt < 0) {
      position = window.start + window.bytes.length - magicPosition;
      continue;
    }
    position = window.start + magicAt - magicPosition;
    if (mayBeBatch(window, position, to, least) && (await isBatch(window, position, to, least))) return position;
    position++;
  }
  return undefined;
}

/** Behind the prefix and the leader epoch. */
const magicPosition = batchPrefixBytes + 4;

/** By its header, as far as the window holds it; true where it does not: nothing that `isBatch` accepts is refused here, and most else is. */
function mayBeBatch(window: Window, position: number, to: number, least: Offset): boolean {
  if (!window.holds(position, batchHeaderBytes)) return true;
  const at = position - window.start;
  const size = sizeOfBatch(window.bytes, at);
  return (
    size >= batchHeaderBytes &&
    size <= limits.batchBytesMax &&
    position + size <= to &&
    baseOffsetOf(window.bytes, at) >= least &&
    Number.isSafeInteger(baseTimestampOf(window.bytes, at)) &&
    Number.isSafeInteger(maxTimestampOf(window.bytes, at))
  );
}

async function isBatch(window: Window, position: number, to: number, least: Offset): Promise<boolean> {
  if (position + batchHeaderBytes > to) return false;
  if (!window.holds(position, batchHeaderBytes) && !(await window.reach(position, batchHeaderBytes))) return false;
  if (magicOf(window.bytes, position - window.start) !== batchMagic) return false;
  if (!mayBeBatch(window, position, to, least)) return false;
  const size = sizeOfBatch(window.bytes, position - window.start);
  if (!(await window.reach(position, size))) return false;
  return defect(window.bytes, position - window.start, true) === undefined;
}

/** A moving part of a file. */
export class Window {
  readonly #file: File;
  readonly #to: number;
  readonly #chunk: number;
  /** Position in the file of the first byte. */
  start = 0;
  bytes: Buffer = Buffer.alloc(0);
  #room: Buffer = Buffer.alloc(0);

  constructor(file: File, to: number, chunk: number) {
    this.#file = file;
    this.#to = to;
    this.#chunk = chunk;
  }

  holds(position: number, length: number): boolean {
    return position >= this.start && position + length <= this.start + this.bytes.length;
  }

  /** Moves so that [position, position + length) is inside. @returns false: the file ends before. */
  async reach(position: number, length: number): Promise<boolean> {
    if (this.holds(position, length)) return true;
    if (position + length > this.#to) return false;
    const wanted = Math.min(Math.max(this.#chunk, length), this.#to - position);
    if (wanted > this.#room.length) this.#room = Buffer.allocUnsafeSlow(wanted);
    const got = await this.#file.read(this.#room.subarray(0, wanted), position);
    this.start = position;
    this.bytes = this.#room.subarray(0, got);
    return got >= length;
  }
}
