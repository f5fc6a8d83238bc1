// pure
/**
 * When a disk is too full for produce, and when it has room again. Between measurements what this broker writes counts against what was free, so
 * that the mark holds however fast the disk fills. States: accepting → refusing, when the share in use reaches the mark or a write found no room →
 * accepting, when so much more is free than at the mark that it does not turn back at once.
 */
import { limits } from '@tributary/model';

export interface DiskSpace {
  /** What may still be written. */
  readonly free: number;
  /** Infinity: there is no bound. */
  readonly total: number;
}

export class DiskMark {
  #ratio: number;
  #space: DiskSpace | undefined;
  #written = 0;
  /** Set aside for what must be written on a full disk, and given up by now. */
  #missing = 0;
  #refusal: string | undefined;

  /** @param ratio share in use from which on produce is refused. */
  constructor(ratio: number) {
    this.#ratio = ratio;
  }

  /** Why nothing is appended now; one string until the next measurement, because it is asked for at every batch. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** @param missing bytes of headroom that were given up. */
  measured(space: DiskSpace, ratio: number, missing: number): void {
    this.#ratio = ratio;
    this.#space = space;
    this.#missing = missing;
    this.#written = 0;
    if (this.#refusal === undefined ? this.#free <= this.#mark : this.#free < this.#needed) this.#refuse();
    else this.#refusal = undefined;
  }

  wrote(bytes: number): void {
    this.#written += bytes;
    if (this.#refusal === undefined && this.#free <= this.#mark) this.#refuse();
  }

  /** A write found the disk full, whatever the last measurement said. */
  ranOut(): void {
    this.#refuse();
  }

  get #free(): number {
    return this.#space === undefined ? Number.POSITIVE_INFINITY : Math.max(0, this.#space.free - this.#written);
  }

  /** Free bytes at which produce is refused. */
  get #mark(): number {
    return this.#share(1 - this.#ratio);
  }

  /** Free bytes from which on it is accepted again. */
  get #needed(): number {
    return this.#mark + this.#share(limits.diskHysteresisRatio) + this.#missing;
  }

  #share(of: number): number {
    return this.#space === undefined || this.#space.total === Number.POSITIVE_INFINITY
      ? -1
      : Math.round(this.#space.total * of);
  }

  #refuse(): void {
    const known = this.#space !== undefined && this.#space.total !== Number.POSITIVE_INFINITY;
    const room = known ? `${this.#free} bytes are free, ${this.#needed} are needed` : 'a write found no room';
    this.#refusal =
      `its disk is full up to the mark: ${room}. ` +
      `Delete topics or records, shorten retention, give it a larger disk, or raise disk.high.watermark.ratio (now ${this.#ratio}); try again.`;
  }
}
