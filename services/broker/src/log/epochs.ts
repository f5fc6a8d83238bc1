// pure
/** Where each leader epoch begins in a log: what a follower and its leader compare before they agree where to cut (R2). */
import type { LeaderEpoch, Offset } from '@tributary/model';

export interface EpochStart {
  readonly epoch: LeaderEpoch;
  /** Offset of the first batch of the epoch, or where it would have been. */
  readonly start: Offset;
}

export class EpochHistory {
  /** Epochs rise strictly, starts never fall. */
  #entries: EpochStart[];

  constructor(entries: readonly EpochStart[] = []) {
    this.#entries = [...entries];
  }

  get entries(): readonly EpochStart[] {
    return this.#entries;
  }

  get latest(): LeaderEpoch | undefined {
    return this.#entries.at(-1)?.epoch;
  }

  /** `epoch` begins at `start`, unless it or a newer one has begun. An older one without a batch is forgotten. @returns whether it was new. */
  begin(epoch: LeaderEpoch, start: Offset): boolean {
    const latest = this.#entries.at(-1);
    if (latest !== undefined && latest.epoch >= epoch) return false;
    this.#entries = [...this.#entries.filter((entry) => entry.start < start), { epoch, start }];
    return true;
  }

  /** The log now ends at `end`: epochs that begin there or later are gone. */
  cutEnd(end: Offset): void {
    this.#entries = this.#entries.filter((entry) => entry.start < end);
  }

  /** The log now begins at `start`: the epoch that was under way there begins there. */
  cutStart(start: Offset): void {
    const below = this.#entries.filter((entry) => entry.start <= start).at(-1);
    const above = this.#entries.filter((entry) => entry.start > start);
    this.#entries = below === undefined ? above : [{ epoch: below.epoch, start }, ...above];
  }

  /**
   * The newest epoch here that is not newer than `epoch`, and where it ends; the epoch asked for, ending where the first one begins, when all
   * are newer. undefined: nothing is known, or `epoch` is newer than all.
   * @param end of the log.
   */
  endOffsetFor(epoch: LeaderEpoch, end: Offset): { readonly epoch: LeaderEpoch; readonly end: Offset } | undefined {
    const latest = this.latest;
    if (latest === undefined || epoch > latest) return undefined;
    const next = this.#entries.find((entry) => entry.epoch > epoch);
    const known = this.#entries.filter((entry) => entry.epoch <= epoch).at(-1);
    return { epoch: known?.epoch ?? epoch, end: next?.start ?? end };
  }
}
