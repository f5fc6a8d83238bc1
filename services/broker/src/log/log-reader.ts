/**
 * Reading from the files of a log: one read of up to limits.fetchChunk into a buffer of its own. Where a reader stopped is remembered with the
 * size of the batch that begins there, so that the next read needs no search and fetches no half batch at its end.
 */
import { limits, type Offset, TributaryError } from '@tributary/model';
import type { File } from '@tributary/ports';
import {
  baseOffsetOf,
  batchHeaderBytes,
  batchMagic,
  batchPrefixBytes,
  lastOffsetOf,
  magicOf,
  nextOffsetOf,
  sizeOfBatch,
} from '@tributary/record';
import type { LogSlice } from './log-types.ts';
import type { Segment } from './segment.ts';
import type { SegmentList } from './segment-list.ts';

interface Place {
  readonly segment: Segment;
  readonly position: number;
  /** Bytes of the batch there; 0: not known. */
  readonly size: number;
  /** The search led here through an index, which may be wrong. */
  readonly searched: Offset | undefined;
}

interface Wanted {
  readonly from: Offset;
  readonly target: number;
  readonly most: number;
  readonly upTo: Offset;
}

const end: LogSlice = { kind: 'end' };

/** What was found in one buffer. */
interface Walk {
  /** Bytes [start, stop) are whole batches to be returned. */
  readonly start: number;
  readonly stop: number;
  readonly next: Offset;
  /** Bytes of the batch that begins at `stop`; 0: its length is not there. */
  readonly following: number;
  readonly reachedBound: boolean;
}

export class LogReader {
  readonly #segments: SegmentList;
  /** By the offset where a reader goes on; the oldest first. */
  readonly #places = new Map<Offset, Place>();

  constructor(segments: SegmentList) {
    this.#segments = segments;
  }

  /** Positions have changed. */
  forget(): void {
    this.#places.clear();
  }

  /** See PartitionLog.read. */
  async read(from: Offset, target: number, most: number, upTo: Offset): Promise<LogSlice> {
    const wanted: Wanted = { from, target: Math.min(target, most, limits.fetchChunk), most, upTo };
    let place = this.#places.get(from);
    if (place !== undefined) this.#places.delete(from);
    else place = await this.#search(from);
    while (place !== undefined) {
      if (place.position >= place.segment.bytes) {
        const following = this.#segments.after(place.segment);
        if (following === undefined) return end;
        place = { segment: following, position: 0, size: 0, searched: undefined };
        continue;
      }
      const found = await this.#readAt(place, wanted);
      if ('kind' in found) return found;
      place = found;
    }
    return end;
  }

  async #search(from: Offset): Promise<Place | undefined> {
    const segment = this.#segments.at(this.#segments.indexOf(from));
    if (segment === undefined) return undefined;
    const { position, offset } = await segment.positionBefore(from);
    return { segment, position, size: 0, searched: position === 0 ? undefined : offset };
  }

  /** @returns where to go on, if nothing that is wanted was met. */
  async #readAt(place: Place, wanted: Wanted): Promise<LogSlice | Place> {
    const { segment, position } = place;
    if (place.size > wanted.most) return this.#tooLarge(place, wanted.from, place.size);
    const length = Math.min(lengthFor(place.size, wanted.target), segment.bytes - position);
    const bytes = await segment.use((file) => readExactly(file, segment.path, position, length));
    if (place.searched !== undefined && !isBatchOf(bytes, place.searched)) {
      await segment.distrustIndexes();
      return { segment, position: 0, size: 0, searched: undefined };
    }
    const walk = walkBatches(bytes, segment.path, position, wanted);
    if (walk.stop > walk.start) {
      const size = walk.stop - walk.start;
      if (size > wanted.most)
        return this.#tooLarge({ ...place, position: position + walk.start, searched: undefined }, wanted.from, size);
      this.#remember(walk.next, { segment, position: position + walk.stop, size: walk.following, searched: undefined });
      return { kind: 'records', records: [bytes.subarray(walk.start, walk.stop)], next: walk.next };
    }
    const at = position + walk.stop;
    if (walk.reachedBound) {
      this.#remember(wanted.from, { segment, position: at, size: walk.following, searched: undefined });
      return end;
    }
    if (walk.following === 0) {
      if (walk.stop === 0) throw corrupt(segment.path, at, `only ${bytes.length} bytes are there`);
      return { segment, position: at, size: 0, searched: undefined };
    }
    if (walk.following > segment.bytes - at)
      throw corrupt(segment.path, at, `${walk.following} bytes long, ${segment.bytes - at} are there`);
    if (walk.following > wanted.most)
      return this.#tooLarge({ segment, position: at, size: 0, searched: undefined }, wanted.from, walk.following);
    return { segment, position: at, size: walk.following, searched: undefined };
  }

  #tooLarge(place: Place, from: Offset, size: number): LogSlice {
    this.#remember(from, { ...place, size });
    return { kind: 'too-large', size };
  }

  #remember(offset: Offset, place: Place): void {
    this.#places.set(offset, place);
    if (this.#places.size <= limits.readPositions) return;
    for (const oldest of this.#places.keys()) {
      this.#places.delete(oldest);
      return;
    }
  }
}

/** As many batches as fit if all are like the first, and the header of the one behind; at least the first. */
function lengthFor(size: number, target: number): number {
  if (size === 0) return Math.max(target, batchHeaderBytes);
  return Math.max(1, Math.floor(target / size)) * size + batchHeaderBytes;
}

async function readExactly(file: File, path: string, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  const got = await file.read(bytes, position);
  if (got < length) throw corrupt(path, position + got, 'the file ends here');
  return bytes;
}

const isBatchOf = (bytes: Buffer, offset: Offset): boolean =>
  bytes.length >= batchHeaderBytes && magicOf(bytes, 0) === batchMagic && baseOffsetOf(bytes, 0) >= offset;

/** Leaves out what ends below `from`, then takes whole batches up to the target (the first in any case) and below the bound. */
function walkBatches(bytes: Buffer, path: string, position: number, { from, target, upTo }: Wanted): Walk {
  let at = 0;
  let start = 0;
  let next = from;
  let following = 0;
  while (at + batchPrefixBytes <= bytes.length) {
    following = sizeOfBatch(bytes, at);
    if (following < batchHeaderBytes) throw corrupt(path, position + at, `the length field says ${following} bytes`);
    if (at + following > bytes.length) break;
    if (magicOf(bytes, at) !== batchMagic)
      throw corrupt(path, position + at, `the magic byte is ${magicOf(bytes, at)}`);
    const last = lastOffsetOf(bytes, at);
    if (last >= upTo) return { start, stop: at, next, following, reachedBound: true };
    if (last < from) start = at + following;
    else {
      if (at > start && at + following - start > target) break;
      next = nextOffsetOf(bytes, at);
    }
    at += following;
    following = 0;
  }
  return { start, stop: at, next, following, reachedBound: false };
}

function corrupt(path: string, position: number, why: string): TributaryError {
  return new TributaryError(
    'CORRUPT_MESSAGE',
    `${path} is damaged at byte ${position}: ${why}. Restarting the broker finds what is whole behind it.`,
  );
}
