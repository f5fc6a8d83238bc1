/** The checkpoints of all partitions of a data directory, in memory and in one file. */
import { type PartitionCheckpoint, decodeFile, encodeFile, encodeLine } from './checkpoint-file.ts';
import type { Disk } from './disk.ts';
import { GroupCommit } from './group-commit.ts';

const fileName = 'checkpoints';

interface Remembered {
  readonly checkpoint: PartitionCheckpoint;
  /** Encoded at first need: most partitions have not changed since the last write. */
  line: string | undefined;
}

export class Checkpoints {
  readonly #disk: Disk;
  readonly #partitions = new Map<string, Remembered>();
  readonly #writes = new GroupCommit(() => this.#write());

  private constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** A damaged or absent file is as if it were empty: every log is then scanned from its beginning. @returns also whether it was whole. */
  static async load(disk: Disk): Promise<{ readonly checkpoints: Checkpoints; readonly isWhole: boolean }> {
    const checkpoints = new Checkpoints(disk);
    const bytes = await disk.readWhole(`${disk.root}/${fileName}`);
    const decoded = bytes === undefined ? undefined : decodeFile(bytes);
    if (decoded === undefined) return { checkpoints, isWhole: false };
    for (const [folder, checkpoint] of decoded) checkpoints.set(folder, checkpoint);
    return { checkpoints, isWhole: true };
  }

  /** In the order of names. */
  folders(): readonly string[] {
    return [...this.#partitions.keys()].sort();
  }

  get(folder: string): PartitionCheckpoint | undefined {
    return this.#partitions.get(folder)?.checkpoint;
  }

  /** In memory; {@link persist} writes it. */
  set(folder: string, checkpoint: PartitionCheckpoint): void {
    this.#partitions.set(folder, { checkpoint, line: undefined });
  }

  delete(folder: string): void {
    this.#partitions.delete(folder);
  }

  /** Resolves when all that was set before the call is on the disk. @throws FileError `full`, `not-writable`; the old file is then still there. */
  async persist(): Promise<void> {
    await this.#writes.commit();
  }

  async #write(): Promise<void> {
    await this.#disk.replace(this.#disk.root, fileName, encodeFile(this.#lines()));
  }

  *#lines(): Generator<string> {
    for (const [folder, remembered] of this.#partitions) {
      remembered.line ??= encodeLine(folder, remembered.checkpoint);
      yield remembered.line;
    }
  }
}
