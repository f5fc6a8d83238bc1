/** Producer ids out of blocks that the controller gives (P1): no id is ever given twice, also not after a crash: the rest of a block is lost. */
import { type ProducerId, producerId } from '@tributary/model';

export interface ProducerIdBlock {
  readonly first: bigint;
  readonly count: number;
}

export class ProducerIds {
  readonly #allocate: () => Promise<ProducerIdBlock>;
  #next = 0n;
  #end = 0n;
  #allocating: Promise<void> | undefined;

  /** @param allocate asks the controller for another block. */
  constructor(allocate: () => Promise<ProducerIdBlock>) {
    this.#allocate = allocate;
  }

  /** @throws what `allocate` throws. */
  async next(): Promise<ProducerId> {
    while (this.#next >= this.#end) {
      // One request for all who wait.
      this.#allocating ??= this.#refill();
      await this.#allocating;
    }
    return producerId(this.#next++);
  }

  async #refill(): Promise<void> {
    try {
      const block = await this.#allocate();
      this.#next = block.first;
      this.#end = block.first + BigInt(block.count);
    } finally {
      this.#allocating = undefined;
    }
  }
}
