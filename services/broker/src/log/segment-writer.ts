/** Writing a segment anew beside the ones that it will replace: a file that does not count until it gets another name. */
import { limits, type Offset } from '@tributary/model';
import type { File } from '@tributary/ports';
import { baseOffsetOf, newestTimestampOf } from '@tributary/record';
import { fileName, temporarySuffix } from './names.ts';
import type { Pace } from './pace.ts';
import { Segment, type SegmentPlace } from './segment.ts';

export interface SegmentWriterOptions {
  readonly base: Offset;
  /** About as many will be written. */
  readonly bytes: number;
  readonly indexIntervalBytes: number;
  readonly pace: Pace;
}

export class SegmentWriter implements AsyncDisposable {
  readonly segment: Segment;
  readonly path: string;
  readonly #place: SegmentPlace;
  readonly #indexIntervalBytes: number;
  readonly #pace: Pace;
  readonly #room: Buffer;
  readonly #file: File;
  #used = 0;
  #unsynced = 0;
  /** The last portion on its way to the disk. */
  #flushing: Promise<void> = Promise.resolve();
  #isKept = false;

  private constructor(place: SegmentPlace, path: string, file: File, options: SegmentWriterOptions) {
    this.segment = new Segment(place, options.base, 'reset');
    this.path = path;
    this.#place = place;
    this.#file = file;
    this.#room = Buffer.allocUnsafeSlow(Math.min(limits.compactionSync, options.bytes));
    this.#indexIntervalBytes = options.indexIntervalBytes;
    this.#pace = options.pace;
  }

  /** @throws FileError. */
  static async open(place: SegmentPlace, options: SegmentWriterOptions): Promise<SegmentWriter> {
    const path = `${place.folder}/${fileName(options.base, 'log')}${temporarySuffix}`;
    await place.disk.files.remove(path);
    const file = await place.disk.files.open(path, 'append');
    return new SegmentWriter(place, path, file, options);
  }

  /** @throws FileError `full`. */
  async add(bytes: Uint8Array, at: number, size: number): Promise<void> {
    const { segment } = this;
    const batch = { baseOffset: baseOffsetOf(bytes, at), maxTimestamp: newestTimestampOf(bytes, at) };
    segment.note(batch, segment.bytes, this.#indexIntervalBytes);
    segment.bytes += size;
    if (this.#used + size > this.#room.length) await this.#flush();
    if (size > this.#room.length) return await this.#write(Buffer.from(bytes.subarray(at, at + size)));
    this.#room.set(bytes.subarray(at, at + size), this.#used);
    this.#used += size;
  }

  /** All of it is with the system, not yet synced. */
  async finish(): Promise<void> {
    await this.#flush();
  }

  async #flush(): Promise<void> {
    const used = this.#used;
    this.#used = 0;
    if (used > 0) await this.#write(this.#room.subarray(0, used));
  }

  async #write(bytes: Buffer): Promise<void> {
    await this.#pace.waiting(this.#place.disk.append(this.#file, this.path, [bytes]));
    this.#unsynced += bytes.length;
    if (this.#unsynced >= limits.compactionSync) {
      await this.#pace.waiting(this.#flushing);
      this.#unsynced = 0;
      this.#flushing = this.#flushPortion();
    }
    await this.#pace.moved(bytes.length);
  }

  /**
   * In small portions while the next one is made, and then the disk rests for as long: those who sync what they produce must not wait behind a gigabyte.
   */
  async #flushPortion(): Promise<void> {
    const { disk } = this.#place;
    const began = disk.clock.monotonicMs();
    await disk.sync(this.#file, this.path);
    await this.#pace.pause(disk.clock.monotonicMs() - began);
  }

  /** All of it is on the disk. Never rejects (L2). */
  async sync(): Promise<void> {
    await this.#flushing;
    await this.#place.disk.sync(this.#file, this.path);
  }

  /** The file is the segment's from now on. @param end base of the next segment. */
  keep(end: Offset): Segment {
    this.#isKept = true;
    this.segment.seal(end);
    this.segment.hold(this.#file);
    return this.segment;
  }

  /** Unless it was kept, the file goes. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isKept) return;
    await this.#flushing;
    this.segment.forgetIndex();
    await this.#file.close();
    await this.#place.disk.files.remove(this.path);
  }
}
