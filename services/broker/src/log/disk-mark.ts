// pure
/**
 * When a disk is too full for produce, and when it has room again. Between measurements what this broker writes counts against what was free, so
 * that the mark holds however fast the disk fills. States: accepting → refusing, when the share in use reaches the mark or a write found no room →
 * accepting, when so much more is free than at the mark that it does not turn back at once.
 */
import { type BrokerSettings, limits } from '@tributary/model';

export interface DiskSpace {
  /** What may still be written. */
  readonly free: number;
  /** Infinity: there is no bound. */
  readonly total: number;
}

export type DiskRule = Pick<BrokerSettings, 'diskHighWatermarkRatio' | 'diskFreeEnough'>;

/** Free bytes at which produce is refused; −1: the disk has no bounds. */
export function refusedBelow({ total }: DiskSpace, { diskHighWatermarkRatio, diskFreeEnough }: DiskRule): number {
  if (total === Number.POSITIVE_INFINITY) return -1;
  return Math.min(Math.round(total * (1 - diskHighWatermarkRatio)), diskFreeEnough);
}

export class DiskMark {
  #rule: DiskRule;
  #space: DiskSpace | undefined;
  #written = 0;
  /** Set aside for what must be written on a full disk, and given up by now. */
  #missing = 0;
  #refusal: string | undefined;

  constructor(rule: DiskRule) {
    this.#rule = rule;
  }

  /** Why nothing is appended now; one string until the next measurement, because it is asked for at every batch. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** @param missing bytes of headroom that were given up. */
  measured(space: DiskSpace, rule: DiskRule, missing: number): void {
    this.#rule = rule;
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
    return this.#space === undefined ? -1 : refusedBelow(this.#space, this.#rule);
  }

  /** Free bytes from which on it is accepted again. */
  get #needed(): number {
    const share = Math.round((this.#space?.total ?? 0) * limits.diskHysteresisRatio);
    return this.#mark + Math.min(share, limits.diskHysteresis) + this.#missing;
  }

  #refuse(): void {
    const { diskHighWatermarkRatio, diskFreeEnough } = this.#rule;
    const known = this.#space !== undefined && this.#space.total !== Number.POSITIVE_INFINITY;
    const room = known ? `${this.#free} bytes are free, ${this.#needed} are needed` : 'a write found no room';
    this.#refusal =
      `its disk is full up to the mark: ${room}. ` +
      `Delete topics or records, shorten retention, give it a larger disk, raise disk.high.watermark.ratio (now ${diskHighWatermarkRatio}) or lower disk.free.enough.bytes (now ${diskFreeEnough}); try again.`;
  }
}
