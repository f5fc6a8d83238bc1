// pure
/**
 * Partitions for records without a key: one partition at a time, so that its batch fills; a batch's worth each, so that bytes are even. Deficit
 * round robin: a turn lasts until its quota is used up or its batch is full; what was overdrawn, or left over, counts at the next turn.
 */
export class StickyEven {
  readonly #quota: number;
  /** Bytes that each partition may still take; negative where a record overdrew it. */
  readonly #left: number[] = [];
  #current: number;

  /** @param quota bytes of a turn. @param start of the round: random, so that many producers do not begin at one partition. */
  constructor(quota: number, start: number) {
    this.#quota = quota;
    this.#current = start;
  }

  /** The partition whose turn it is. @param partitions > 0. @param available false for those without a leader: they are passed over. */
  choose(partitions: number, available: (partition: number) => boolean): number {
    const current = this.#current;
    return current < partitions && this.#leftOf(current) > 0 && available(current)
      ? current
      : this.#next(partitions, available);
  }

  /** @param bytes that went to the partition whose turn it is. */
  used(bytes: number): void {
    this.#left[this.#current] = this.#leftOf(this.#current) - bytes;
  }

  /** The batch of the current partition is full: the next record begins another one, so its turn ends unless it is owed a whole one more. */
  full(partitions: number, available: (partition: number) => boolean): number {
    return this.#leftOf(this.#current) < this.#quota
      ? this.#next(partitions, available)
      : this.choose(partitions, available);
  }

  #next(partitions: number, available: (partition: number) => boolean): number {
    let passedOver = 0;
    for (;;) {
      this.#current = (this.#current + 1) % partitions;
      // When none is available one is as good as another: its records wait for a leader.
      if (available(this.#current)) passedOver = 0;
      else if (passedOver++ < partitions) continue;
      const left = this.#leftOf(this.#current) + this.#quota;
      this.#left[this.#current] = left;
      if (left > 0) return this.#current;
    }
  }

  #leftOf(partition: number): number {
    return this.#left[partition] ?? 0;
  }
}
