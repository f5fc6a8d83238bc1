// pure
/**
 * The bytes that a server holds for its clients: requests received and not yet answered, answers not yet sent. In all and per connection. What goes
 * beyond is not kept: whoever has held bytes for longest without any progress loses them first, so that a client that waits for nothing but
 * its turn is the last to be hit. What somebody asks for and cannot be given is refused.
 */

/** What one call has in the transport: counted as it comes, and taken away when there is no room. */
export class Share {
  readonly #account: ConnectionMemory;
  readonly #evict: () => void;
  #held = 0;
  #isOver = false;

  constructor(account: ConnectionMemory, evict: () => void) {
    this.#account = account;
    this.#evict = evict;
  }

  get held(): number {
    return this.#held;
  }

  /** Bytes are here; if there is no room for them, somebody is evicted, maybe this very call. */
  take(bytes: number): void {
    if (this.#isOver) return;
    const isFirst = this.#held === 0;
    this.#held += bytes;
    this.#account.count(this, bytes, isFirst);
  }

  give(bytes: number): void {
    if (this.#isOver) return;
    this.#held -= bytes;
    this.#account.uncount(bytes);
    if (this.#held === 0) this.#account.forget(this);
  }

  /** Something was taken by the one for whom it was meant. */
  progressed(): void {
    if (!this.#isOver && this.#held > 0) this.#account.moveBack(this);
  }

  /** From now on it is counted, but not taken away: its work is under way and would go on anyway. */
  pin(): void {
    if (!this.#isOver) this.#account.forget(this);
  }

  /** The call has ended: so much of what it holds is still on its way. */
  keep(bytes: number): void {
    if (this.#isOver) return;
    this.#account.uncount(this.#held - bytes);
    this.#held = bytes;
    if (bytes === 0) this.#account.forget(this);
    else this.#account.moveBack(this);
  }

  /** Nothing of the call is left. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#account.uncount(this.#held);
    this.#account.forget(this);
  }

  evict(): void {
    this.close();
    this.#evict();
  }
}

/** What one connection holds. */
export class ConnectionMemory {
  readonly #budget: MemoryBudget;
  #used = 0;
  /** Those that hold something, longest without progress first. */
  readonly #shares = new Set<Share>();

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  get used(): number {
    return this.#used;
  }

  /** @param evict ends the call: what it holds goes. */
  share(evict: () => void): Share {
    return new Share(this, evict);
  }

  /** For work that is under way: held until it is given back. @returns false: there is no room, nothing is held. */
  take(bytes: number): boolean {
    const isRoom = this.#used + bytes <= this.#budget.perConnection && this.#budget.makeRoom(bytes);
    if (!isRoom) {
      this.#budget.refused++;
      return false;
    }
    this.#used += bytes;
    this.#budget.used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.uncount(bytes);
  }

  /** For {@link Share}. */
  count(share: Share, bytes: number, isFirst: boolean): void {
    this.#used += bytes;
    this.#budget.used += bytes;
    if (isFirst) this.moveBack(share);
    while (this.#used > this.#budget.perConnection && this.#evictOne());
    this.#budget.makeRoom(0);
  }

  uncount(bytes: number): void {
    this.#used -= bytes;
    this.#budget.used -= bytes;
  }

  moveBack(share: Share): void {
    this.#shares.delete(share);
    this.#shares.add(share);
    this.#budget.moveBack(share);
  }

  forget(share: Share): void {
    this.#shares.delete(share);
    this.#budget.forget(share);
  }

  #evictOne(): boolean {
    for (const share of this.#shares) {
      this.#budget.refused++;
      share.evict();
      return true;
    }
    return false;
  }
}

export class MemoryBudget {
  used = 0;
  /** Calls ended or refused for want of room. */
  refused = 0;
  #total: number;
  #perConnection: number;
  readonly #shares = new Set<Share>();

  constructor(total: number, perConnection: number) {
    this.#total = total;
    this.#perConnection = perConnection;
  }

  get total(): number {
    return this.#total;
  }

  get perConnection(): number {
    return this.#perConnection;
  }

  /** Applies to what comes from now on. */
  resize(total: number, perConnection: number): void {
    this.#total = total;
    this.#perConnection = perConnection;
  }

  connection(): ConnectionMemory {
    return new ConnectionMemory(this);
  }

  /** Evicts until there is room for so many bytes more. @returns false: what is held cannot be taken away. */
  makeRoom(bytes: number): boolean {
    if (this.used + bytes <= this.#total) return true;
    for (const share of this.#shares) {
      this.refused++;
      share.evict();
      if (this.used + bytes <= this.#total) return true;
    }
    return false;
  }

  /** For {@link ConnectionMemory}. */
  moveBack(share: Share): void {
    this.#shares.delete(share);
    this.#shares.add(share);
  }

  forget(share: Share): void {
    this.#shares.delete(share);
  }
}
