/**
 * Reading from the files of a log: one read of up to limits.fetchChunk into a buffer that is its own until it is released. Where a reader stopped is remembered with the
 * batch that begins there, so that the next read needs no search and fetches no half batch at its end.
 */
import { limits, type Offset, TributaryError } from '@tributary/model';
import type { File } from '@tributary/ports';
import {
  baseOffsetOf,
  batchHeaderBytes,
  batchMagic,
  lastOffsetDeltaOf,
  lastOffsetOf,
  magicOf,
  nextOffsetOf,
  sizeOfBatch,
} from '@tributary/record';
import type { LogSlice } from './log-types.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { Segment } from './segment.ts';
import { SegmentRetired } from './segment-file.ts';
import type { SegmentList } from './segment-list.ts';

interface Ahead {
  readonly size: number;
  readonly base: Offset;
  readonly last: Offset;
}

interface Place {
  readonly segment: Segment;
  readonly position: number;
  /** The batch there, where its header was seen. */
  readonly ahead: Ahead | undefined;
}

interface Wanted {
  readonly from: Offset;
  readonly target: number;
  readonly most: number;
  readonly upTo: Offset;
}

const end: LogSlice = { kind: 'end' };

export class LogReader {
  readonly #segments: SegmentList;
  readonly #buffers: ReadBuffers;
  /** By the offset where a reader goes on; the oldest first. */
  readonly #places = new Map<Offset, Place>();

  constructor(segments: SegmentList, buffers: ReadBuffers) {
    this.#segments = segments;
    this.#buffers = buffers;
  }

  /** Positions have changed. */
  forget(): void {
    this.#places.clear();
  }

  /** See PartitionLog.read. */
  async read(from: Offset, target: number, most: number, upTo: Offset): Promise<LogSlice> {
    const wanted: Wanted = { from, target: Math.min(target, most, limits.fetchChunk), most, upTo };
    return await onCurrentSegments(() => this.#walk(wanted));
  }

  /** @throws SegmentRetired where compaction has replaced what it walks through. */
  async #walk(wanted: Wanted): Promise<LogSlice> {
    const { from } = wanted;
    let place = this.#places.get(from);
    if (place !== undefined) this.#places.delete(from);
    else place = await this.#search(from);
    while (place !== undefined) {
      if (place.position < place.segment.bytes) {
        const found: LogSlice | Place = await this.#readAt(place, wanted);
        if ('kind' in found) return found;
        place = found;
      } else {
        // Nothing follows it in the list any more, and that would look like the end of the log.
        if (place.segment.isRetired) throw new SegmentRetired(place.segment.path);
        const following = this.#segments.after(place.segment);
        place = following && { segment: following, position: 0, ahead: undefined };
      }
    }
    return end;
  }

  async #search(from: Offset): Promise<Place | undefined> {
    const segment = this.#segments.at(this.#segments.indexOf(from));
    return segment && { segment, position: await segment.positionBefore(from), ahead: undefined };
  }

  /** @returns where to go on, if nothing that is wanted was met. */
  async #readAt(place: Place, wanted: Wanted): Promise<LogSlice | Place> {
    const { segment, position, ahead } = place;
    const known = ahead && this.#refused(place, ahead, wanted);
    if (known !== undefined) return known;
    const length = Math.min(lengthFor(ahead, wanted.target), segment.bytes - position);
    const bytes = this.#buffers.take(length);
    await segment.use((file) => readExactly(file, segment.path, position, bytes));
    const walk = walkBatches(bytes, segment.path, position, wanted);
    const next: Place = { segment, position: position + walk.stop, ahead: walk.ahead };
    if (walk.stop > walk.start) {
      const first: Place = { segment, position: position + walk.start, ahead: walk.first };
      const refused = walk.first && this.#refused(first, walk.first, wanted);
      if (refused !== undefined) return refused;
      this.#remember(walk.next, next);
      const records = [bytes.subarray(walk.start, walk.stop)];
      return { kind: 'records', records, next: walk.next, release: () => this.#buffers.give(bytes) };
    }
    this.#buffers.give(bytes);
    if (walk.ahead === undefined && walk.stop === 0)
      throw corrupt(segment.path, position, `only ${length} bytes are there`);
    if (walk.ahead !== undefined && walk.ahead.size > segment.bytes - next.position) {
      throw corrupt(
        segment.path,
        next.position,
        `${walk.ahead.size} bytes long, ${segment.bytes - next.position} are there`,
      );
    }
    return next;
  }

  /**
   * Why the batch at the place cannot be given out: it is above the bound, or too large. undefined: it can.
   * @throws TributaryError CORRUPT_MESSAGE: nobody could ever read on if a batch that must end below the bound were taken for one above it.
   */
  #refused(place: Place, batch: Ahead, wanted: Wanted): LogSlice | undefined {
    if (batch.last < wanted.from || (batch.last < wanted.upTo && batch.size <= wanted.most)) return undefined;
    if (batch.last >= wanted.upTo) this.#checkAbove(place, batch, wanted.upTo);
    this.#remember(wanted.from, place);
    return batch.last >= wanted.upTo ? end : { kind: 'too-large', size: batch.size };
  }

  /** Bounds lie between batches, and a closed segment below the bound holds nothing above it. */
  #checkAbove({ segment, position }: Place, { base, last }: Ahead, upTo: Offset): void {
    const following = this.#segments.after(segment);
    if (base >= upTo && (following === undefined || following.base > upTo)) return;
    throw corrupt(segment.path, position, `it says to hold offsets ${base} to ${last}, and must end below ${upTo}`);
  }

  #remember(offset: Offset, place: Place): void {
    if (place.segment.isRetired) return;
    this.#places.set(offset, place);
    if (this.#places.size <= limits.readPositions) return;
    for (const oldest of this.#places.keys()) {
      this.#places.delete(oldest);
      return;
    }
  }
}

/** Begins again on the segments as they are now where compaction replaced one that the task had found. @throws TributaryError KAFKA_STORAGE_ERROR. */
export async function onCurrentSegments<T>(task: () => Promise<T>): Promise<T> {
  for (let restart = 0; ; restart++) {
    try {
      return await task();
    } catch (thrown) {
      if (!(thrown instanceof SegmentRetired)) throw thrown;
      if (restart === limits.readRestarts)
        throw new TributaryError(
          'KAFKA_STORAGE_ERROR',
          `${thrown.message}: compaction overtakes every read; try again.`,
        );
    }
  }
}

/** As many batches as fit if all are like the first, and the header of the one behind; at least the first. */
function lengthFor(ahead: Ahead | undefined, target: number): number {
  if (ahead === undefined) return Math.max(target, batchHeaderBytes);
  return Math.max(1, Math.floor(target / ahead.size)) * ahead.size + batchHeaderBytes;
}

async function readExactly(file: File, path: string, position: number, into: Buffer): Promise<void> {
  const got = await file.read(into, position);
  if (got < into.length) throw corrupt(path, position + got, 'the file ends here');
}

/** What was found in one buffer: bytes [start, stop) are whole batches that are wanted, `first` the first of them. */
interface Walk {
  readonly start: number;
  readonly stop: number;
  readonly first: Ahead | undefined;
  readonly next: Offset;
  /** The batch that begins at `stop`, if its header is there. */
  readonly ahead: Ahead | undefined;
}

/** Leaves out what ends below `from`, then takes whole batches up to the target (the first in any case) and below the bound. */
function walkBatches(bytes: Buffer, path: string, position: number, wanted: Wanted): Walk {
  // Hundreds of small batches lie in a chunk: offsets as numbers cost no memory.
  const from = Number(wanted.from);
  const upTo = Number(wanted.upTo);
  let at = 0;
  let start = 0;
  let firstSize = 0;
  let lastAt = 0;
  let ahead = false;
  while (at + batchHeaderBytes <= bytes.length) {
    const size = sizeOfBatch(bytes, at);
    if (size < batchHeaderBytes) throw corrupt(path, position + at, `the length field says ${size} bytes`);
    if (magicOf(bytes, at) !== batchMagic)
      throw corrupt(path, position + at, `the magic byte is ${magicOf(bytes, at)}`);
    const last = lastOffsetAsNumber(bytes, at);
    const isWanted = last >= from;
    ahead =
      at + size > bytes.length || (isWanted && (last >= upTo || (firstSize > 0 && at + size - start > wanted.target)));
    if (ahead) break;
    if (!isWanted) start = at + size;
    else {
      if (firstSize === 0) firstSize = size;
      lastAt = at;
    }
    at += size;
  }
  return {
    start: firstSize === 0 ? at : start,
    stop: at,
    first: firstSize === 0 ? undefined : aheadAt(bytes, start),
    next: firstSize === 0 ? wanted.from : nextOffsetOf(bytes, lastAt),
    ahead: ahead ? aheadAt(bytes, at) : undefined,
  };
}

const aheadAt = (bytes: Buffer, at: number): Ahead => ({
  size: sizeOfBatch(bytes, at),
  base: baseOffsetOf(bytes, at),
  last: lastOffsetOf(bytes, at),
});

/** Exact below 2⁵³: at a million records a second, 285 years. */
const lastOffsetAsNumber = (bytes: Buffer, at: number): number =>
  bytes.readInt32BE(at) * 4_294_967_296 + bytes.readUInt32BE(at + 4) + lastOffsetDeltaOf(bytes, at);

function corrupt(path: string, position: number, why: string): TributaryError {
  return new TributaryError(
    'CORRUPT_MESSAGE',
    `${path} is damaged at byte ${position}: ${why}. Restarting the broker finds what is whole behind it.`,
  );
}
