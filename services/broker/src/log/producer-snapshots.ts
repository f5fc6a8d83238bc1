/**
 * Snapshots of the producer state beside the log (P3): `<offset>.snapshot` holds it as of all batches below that offset. Format: version u32
 * (1), CRC32C u32 of the rest, then the bytes as the state's owner made them.
 */
import { limits, type Offset } from '@tributary/model';
import { crc32c } from '@tributary/record';
import { type Disk, isFull } from './disk.ts';
import type { ProducerSnapshot } from './log-types.ts';
import { fileName, parseFileName, temporarySuffix } from './names.ts';

const version = 1;
const headerBytes = 8;

export class ProducerSnapshots {
  readonly #disk: Disk;
  readonly #folder: string;
  /** Rising. */
  #offsets: Offset[];

  /** @param names of the files in the folder. */
  constructor(disk: Disk, folder: string, names: readonly string[]) {
    this.#disk = disk;
    this.#folder = folder;
    this.#offsets = names.flatMap((name) => {
      const parsed = parseFileName(name);
      return parsed?.kind === 'snapshot' ? [parsed.base] : [];
    });
  }

  get newestOffset(): Offset | undefined {
    return this.#offsets.at(-1);
  }

  /** The newest that is whole; damaged ones are removed on the way. */
  async newest(): Promise<ProducerSnapshot | undefined> {
    for (let end = this.newestOffset; end !== undefined; end = this.newestOffset) {
      const file = await this.#disk.readWhole(this.#pathOf(end));
      const bytes = file === undefined ? undefined : decodeSnapshotFile(file);
      if (bytes !== undefined) return { bytes, end };
      await this.dropNewest('it is damaged');
    }
    return undefined;
  }

  /** The newest of an offset not above `most`, if it is whole. */
  async newestBelow(most: Offset): Promise<ProducerSnapshot | undefined> {
    const end = this.#offsets.findLast((offset) => offset <= most);
    const file = end === undefined ? undefined : await this.#disk.readWhole(this.#pathOf(end));
    const bytes = file === undefined ? undefined : decodeSnapshotFile(file);
    return end === undefined || bytes === undefined ? undefined : { bytes, end };
  }

  async dropNewest(why: string): Promise<void> {
    const end = this.#offsets.pop();
    if (end === undefined) return;
    this.#disk.logger.warn('producer snapshot dropped', { path: this.#pathOf(end), why });
    await this.#disk.files.remove(this.#pathOf(end));
  }

  /** @returns false: not even the headroom of a full disk was enough; recovery then reads more of the log. */
  async write({ bytes, end }: ProducerSnapshot): Promise<boolean> {
    if (this.newestOffset === end) return true;
    const path = this.#pathOf(end);
    const temporary = `${path}${temporarySuffix}`;
    try {
      await this.#disk.withHeadroom(() => this.#disk.writeFresh(temporary, [encodeHeader(bytes), bytes]));
      await this.#disk.files.rename(temporary, path);
    } catch (thrown) {
      if (!isFull(thrown)) return await this.#disk.fail(path, thrown);
      this.#disk.logger.warn('producer snapshot not written', { path, why: thrown.message });
      return false;
    }
    this.#offsets.push(end);
    return true;
  }

  /** Those of offsets that the log does not reach any more. @returns whether there were any: their names must go durably. */
  async dropAbove(end: Offset): Promise<boolean> {
    const above = this.#offsets.filter((offset) => offset > end);
    this.#offsets = this.#offsets.filter((offset) => offset <= end);
    for (const offset of above) await this.#disk.files.remove(this.#pathOf(offset));
    return above.length > 0;
  }

  /** Of an offset not below `least` and not above `most`. */
  hasBetween(least: Offset, most: Offset): boolean {
    return this.#offsets.some((offset) => offset >= least && offset <= most);
  }

  /** Keeps the newest, the one from which recovery would begin, the one that no cut takes, and the one that will be that next. */
  async prune(recoveryPoint: Offset, highWatermark: Offset): Promise<void> {
    const needed = [
      this.#offsets.findLast((offset) => offset <= recoveryPoint),
      this.#offsets.findLast((offset) => offset <= highWatermark),
      this.#offsets.find((offset) => offset > highWatermark),
    ];
    const old = this.#offsets.slice(0, -limits.snapshotsKept).filter((offset) => !needed.includes(offset));
    this.#offsets = this.#offsets.filter((offset) => !old.includes(offset));
    for (const offset of old) await this.#disk.files.remove(this.#pathOf(offset));
  }

  #pathOf(offset: Offset): string {
    return `${this.#folder}/${fileName(offset, 'snapshot')}`;
  }
}

function encodeHeader(bytes: Uint8Array): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(version, 0);
  header.writeUInt32BE(crc32c(bytes), 4);
  return header;
}

/** The state's bytes in a snapshot's file; undefined: the file is damaged. */
export function decodeSnapshotFile(file: Uint8Array): Uint8Array | undefined {
  if (file.length < headerBytes) return undefined;
  const header = Buffer.from(file.buffer, file.byteOffset, headerBytes);
  const bytes = file.subarray(headerBytes);
  if (header.readUInt32BE(0) !== version || header.readUInt32BE(4) !== crc32c(bytes)) return undefined;
  return bytes;
}
