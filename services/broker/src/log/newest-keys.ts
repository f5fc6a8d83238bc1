/** The first pass of compaction: which offset is the newest of each key, over what has not been compacted yet (L5). */
import { type Offset, TributaryError } from '@tributary/model';
import { type Random } from '@tributary/ports';
import {
  baseOffsetOf,
  isControlBatch,
  isTransactionalBatch,
  KeptRecords,
  nextOffsetOf,
  openBatch,
  type RecordBatch,
  recordsCountOf,
} from '@tributary/record';
import { BatchFeed } from './batch-feed.ts';
import { damagedAt } from './damage.ts';
import { KeyMap } from './key-map.ts';
import type { Pace } from './pace.ts';
import type { Segment } from './segment.ts';

/** Records between two looks at the clock: some 50 µs. */
const recordsPerLook = 256;

export interface NewestKeys {
  readonly map: KeyMap;
  /** All keys below are in the map. */
  readonly end: Offset;
}

export interface KeyPassOptions {
  /** Bytes for the map. The keys of one batch always fit, however many. */
  readonly budget: number;
  readonly random: Random;
  readonly pace: Pace;
}

/**
 * @param segments closed ones, rising. @param from where to begin in the first. @param to end of the last.
 * @throws TributaryError CORRUPT_MESSAGE where the walk meets damage: a key that nobody can read could be the newest.
 */
export async function findNewestKeys(
  segments: readonly Segment[],
  from: Offset,
  to: Offset,
  options: KeyPassOptions,
): Promise<NewestKeys> {
  const { budget, random, pace } = options;
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  const seed = [random.nextU32(), random.nextU32()] as const;
  // A record has more than eight bytes, of which compression leaves one at best.
  for (let room = budget; ; room *= 2) {
    const pass = new KeyPass(new KeyMap(Number(from), room, bytes, seed), from, pace);
    for (const segment of segments) if (!(await pass.read(segment))) break;
    const { map, end } = pass.result(to);
    if (end > from) return { map, end };
  }
}

class KeyPass {
  readonly #map: KeyMap;
  readonly #from: Offset;
  readonly #pace: Pace;
  /** The batch that did not fit. */
  #fullAt: Offset | undefined;

  constructor(map: KeyMap, from: Offset, pace: Pace) {
    this.#map = map;
    this.#from = from;
    this.#pace = pace;
  }

  result(to: Offset): NewestKeys {
    return { map: this.#map, end: this.#fullAt ?? to };
  }

  /** @returns false: there is no more room. */
  async read(segment: Segment): Promise<boolean> {
    const position = segment.base < this.#from ? await segment.positionBefore(this.#from) : 0;
    return await segment.use(async (file) => {
      const feed = new BatchFeed(file, position, segment.bytes, this.#pace);
      while (await feed.next()) {
        const { bytes, at } = feed;
        if (nextOffsetOf(bytes, at) <= this.#from) continue;
        if (!(await this.#note(bytes, at))) {
          this.#fullAt = baseOffsetOf(bytes, at) > this.#from ? baseOffsetOf(bytes, at) : this.#from;
          return false;
        }
        if (this.#pace.isOver) await this.#pace.rest();
      }
      if (feed.damage !== undefined) throw damagedAt(segment.path, feed.position, feed.damage);
      return true;
    });
  }

  async #note(bytes: Uint8Array, at: number): Promise<boolean> {
    const batch = readable(bytes, at);
    if (batch === undefined) return true;
    const base = Number(batch.header.baseOffset);
    const records = new KeptRecords(batch);
    const { spans } = records;
    try {
      while (records.next()) {
        if (spans.keyLength < 0) continue;
        if (!this.#map.put(batch.section, spans.keyStart, spans.keyLength, base + spans.offsetDelta)) return false;
        if (records.seen % recordsPerLook === 0 && this.#pace.isOver) await this.#pace.rest();
      }
    } catch (thrown) {
      if (!isUnreadable(thrown)) throw thrown;
    }
    return true;
  }
}

/**
 * The batch, where compaction may look into it. undefined: it has no records, or they are markers; or they belong to a transaction, and nobody knows yet whether
 * it was aborted; or no consumer can read them either.
 */
export function readable(bytes: Uint8Array, at: number): RecordBatch | undefined {
  if (isControlBatch(bytes, at) || isTransactionalBatch(bytes, at) || recordsCountOf(bytes, at) === 0) return undefined;
  try {
    return openBatch(bytes, at);
  } catch (thrown) {
    if (isUnreadable(thrown)) return undefined;
    throw thrown;
  }
}

/** A batch whose CRC is right was written like that: what its producer made of its inside, compaction leaves alone. */
export const isUnreadable = (thrown: unknown): boolean => thrown instanceof TributaryError;
