/** The batches of a closed file one by one, each checked, for those who do much with each and let others have their turn in between. */
import { limits } from '@tributary/model';
import type { File } from '@tributary/ports';
import { batchHeaderBytes, sizeOfBatch } from '@tributary/record';
import type { Pace } from './pace.ts';
import { defect, Window } from './scan.ts';

export class BatchFeed {
  readonly #window: Window;
  readonly #to: number;
  readonly #pace: Pace;
  #next: number;
  /** The batch lies here in `bytes`, until the next one is asked for. */
  at = 0;
  size = 0;
  /** And here in the file. */
  position = 0;
  /** What begins at `position` is no whole batch; undefined: nothing is wrong. */
  damage: string | undefined;

  /** @param from first byte of a batch. @param to end of the bytes that count. */
  constructor(file: File, from: number, to: number, pace: Pace) {
    this.#window = new Window(file, to, limits.scanChunk);
    this.#next = from;
    this.#to = to;
    this.#pace = pace;
  }

  get bytes(): Buffer {
    return this.#window.bytes;
  }

  /** Moves to the next batch. @returns false: there is none, or {@link damage} says why not. */
  async next(): Promise<boolean> {
    const position = this.#next;
    this.position = position;
    if (position >= this.#to) return false;
    if (!(await this.#reach(position, batchHeaderBytes))) return this.#isDamaged('the header is cut');
    const size = sizeOfBatch(this.#window.bytes, position - this.#window.start);
    if (size < batchHeaderBytes || size > limits.batchBytesMax)
      return this.#isDamaged(`the length field says ${size} bytes`);
    if (!(await this.#reach(position, size)))
      return this.#isDamaged(`${size} bytes long, ${this.#to - position} are there`);
    const why = defect(this.#window.bytes, position - this.#window.start, true);
    if (why !== undefined) return this.#isDamaged(why);
    this.at = position - this.#window.start;
    this.size = size;
    this.#next = position + size;
    return true;
  }

  #isDamaged(why: string): boolean {
    this.damage = why;
    return false;
  }

  async #reach(position: number, length: number): Promise<boolean> {
    if (this.#window.holds(position, length)) return true;
    const isThere = await this.#pace.waiting(this.#window.reach(position, length));
    await this.#pace.moved(this.#window.bytes.length);
    return isThere;
  }
}
