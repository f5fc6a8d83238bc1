// pure
/** Walks concatenated batches, of which the last may be cut: a fetch answer, or the end of a log file. */
import { TributaryError } from '@tributary/model';
import { batchHeaderBytes, batchMagic, batchPrefixBytes, magicOf, sizeOfBatch } from './batch-header.ts';

/**
 * ```ts
 * const scanner = new BatchScanner(bytes);
 * while (scanner.next()) use(bytes, scanner.at, scanner.size);
 * // bytes [scanner.end, limit) are a batch that has begun
 * ```
 * Looks at length and magic only; `checkBatch` tells whether the content is sound.
 */
export class BatchScanner {
  readonly #bytes: Uint8Array;
  readonly #limit: number;
  /** Position of the current batch. */
  at: number;
  /** Bytes of the current batch. */
  size = 0;
  /** End of the whole batches seen so far. */
  end: number;

  constructor(bytes: Uint8Array, start = 0, limit = bytes.length) {
    this.#bytes = bytes;
    this.#limit = Math.min(limit, bytes.length);
    this.at = start;
    this.end = start;
  }

  /**
   * Moves to the next whole batch; false when there is none.
   * @throws TributaryError CORRUPT_MESSAGE if what begins here cannot be a batch, however much of it were there; for an older message format
   *   UNSUPPORTED_FOR_MESSAGE_FORMAT.
   */
  next(): boolean {
    const at = this.end;
    const there = this.#limit - at;
    if (there < batchPrefixBytes) return false;
    const size = sizeOfBatch(this.#bytes, at);
    if (size < batchHeaderBytes) {
      throw new TributaryError(
        'CORRUPT_MESSAGE',
        `batch at byte ${at}: length field says ${size} bytes, the header alone has ${batchHeaderBytes}`,
      );
    }
    if (there >= batchHeaderBytes && magicOf(this.#bytes, at) !== batchMagic) {
      throw wrongMagic(at, magicOf(this.#bytes, at));
    }
    if (size > there) return false;
    this.at = at;
    this.size = size;
    this.end = at + size;
    return true;
  }

  /** Bytes of the cut batch at the end; call when `next` has answered false. */
  get cutBytes(): number {
    return this.#limit - this.end;
  }
}

/** Position and size of one batch among others. */
export interface BatchSpan {
  readonly at: number;
  readonly size: number;
}

/** {@link BatchScanner} as an iterator, for where convenience counts more than speed; a cut last batch is left out. */
export function* scanBatches(
  bytes: Uint8Array,
  start = 0,
  limit = bytes.length,
): Generator<BatchSpan, void, undefined> {
  const scanner = new BatchScanner(bytes, start, limit);
  while (scanner.next()) yield { at: scanner.at, size: scanner.size };
}

/** The refusal of a batch whose magic is not {@link batchMagic}. */
export function wrongMagic(at: number, magic: number): TributaryError {
  if (magic === 0 || magic === 1) {
    return new TributaryError(
      'UNSUPPORTED_FOR_MESSAGE_FORMAT',
      `batch at byte ${at}: message format ${magic} is older than ${batchMagic}, the only one served; use a client of Kafka 0.11 or newer`,
    );
  }
  return new TributaryError('CORRUPT_MESSAGE', `batch at byte ${at}: magic byte is ${magic} instead of ${batchMagic}`);
}
