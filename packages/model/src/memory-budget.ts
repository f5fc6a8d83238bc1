// pure
/**
 * The bytes that a server holds for its clients: requests received and not yet answered, answers not yet sent. In all and per connection. What goes
 * beyond is not kept: of those who hold much, whoever has made no progress for longest loses it first, so that a client that waits for nothing but
 * its turn is the last to be hit. What somebody asks for and cannot be given is refused.
 */
import { limits } from './limits.ts';

/** Shares that hold something, longest without progress first. */
class Queue {
  /** Those that hold much: they alone make room. */
  readonly #large = new Set<Share>();
  readonly #small = new Set<Share>();

  moveBack(share: Share): void {
    this.forget(share);
    (share.isLarge ? this.#large : this.#small).add(share);
  }

  forget(share: Share): void {
    this.#large.delete(share);
    this.#small.delete(share);
  }

  get first(): Share | undefined {
    for (const share of this.#large) return share;
    for (const share of this.#small) return share;
    return undefined;
  }
}

/** What one call has in the transport: counted as it comes, and taken away when there is no room. */
export class Share {
  readonly #account: ConnectionMemory;
  readonly #evict: () => void;
  #held = 0;
  #isOver = false;
  #isPinned = false;

  constructor(account: ConnectionMemory, evict: () => void) {
    this.#account = account;
    this.#evict = evict;
  }

  get isLarge(): boolean {
    return this.#held >= limits.largeShare;
  }

  /** Bytes are here; if there is no room for them, somebody is evicted, maybe this very call. */
  take(bytes: number): void {
    if (this.#isOver) return;
    const before = this.#held === 0 ? undefined : this.isLarge;
    this.#held += bytes;
    this.#account.count(bytes);
    if (this.#isPinned) this.#account.fix(bytes);
    if (!this.#isPinned && before !== this.isLarge) this.#account.moveBack(this);
    this.#account.fit();
  }

  give(bytes: number): void {
    if (this.#isOver) return;
    const before = this.isLarge;
    this.#held -= bytes;
    this.#unfix(bytes);
    this.#account.uncount(bytes);
    if (this.#held === 0) this.#account.forget(this);
    else if (!this.#isPinned && before !== this.isLarge) this.#account.moveBack(this);
  }

  /** Something was taken by the one for whom it was meant. */
  progressed(): void {
    if (!this.#isOver && !this.#isPinned && this.#held > 0) this.#account.moveBack(this);
  }

  /** From now on it is counted, but not taken away: its work is under way and would go on anyway. */
  pin(): void {
    if (this.#isOver || this.#isPinned) return;
    this.#isPinned = true;
    this.#account.fix(this.#held);
    this.#account.forget(this);
  }

  #unfix(bytes: number): void {
    if (this.#isPinned) this.#account.fix(-bytes);
  }

  /** The call has ended: so much of what it holds is still on its way. */
  keep(bytes: number): void {
    if (this.#isOver) return;
    this.#unfix(this.#held);
    this.#isPinned = false;
    this.#account.uncount(this.#held - bytes);
    this.#held = bytes;
    if (bytes === 0) this.#account.forget(this);
    else this.#account.moveBack(this);
  }

  /** Nothing of the call is left. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#unfix(this.#held);
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
  /** Of that, what work under way has: it cannot be taken away. */
  #fixed = 0;
  readonly #queue = new Queue();
  readonly #waiting = new Set<() => void>();

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /** There would soon be too much, and some of it will be given back: what comes next is better left with the client than taken and lost. */
  get isBusy(): boolean {
    return this.#fixed > 0 && this.#used > this.#budget.perConnection / 2;
  }

  /** @param free called once, when it is no longer busy. @returns forgets it. */
  onceFree(free: () => void): () => void {
    this.#waiting.add(free);
    return () => this.#waiting.delete(free);
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
    // Nobody is to lose anything for what finds no room in the end.
    const fits = this.#used + bytes <= this.#budget.perConnection && this.#budget.couldHold(bytes);
    if (!fits || !this.#budget.makeRoom(bytes)) {
      this.#budget.refused++;
      return false;
    }
    this.count(bytes);
    this.fix(bytes);
    return true;
  }

  /** What {@link take} took. */
  give(bytes: number): void {
    this.fix(-bytes);
    this.uncount(bytes);
  }

  /** For {@link Share}. */
  count(bytes: number): void {
    this.#used += bytes;
    this.#budget.used += bytes;
  }

  /** Evicts until all bounds hold. */
  fit(): void {
    while (this.#used > this.#budget.perConnection && this.#budget.evict(this.#queue.first));
    this.#budget.makeRoom(0);
  }

  uncount(bytes: number): void {
    this.#used -= bytes;
    this.#budget.used -= bytes;
    if (this.#waiting.size === 0 || this.isBusy) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const free of waiting) free();
  }

  /** So much more of what is counted cannot be taken away. */
  fix(bytes: number): void {
    this.#fixed += bytes;
    this.#budget.fixed += bytes;
  }

  moveBack(share: Share): void {
    this.#queue.moveBack(share);
    this.#budget.moveBack(share);
  }

  forget(share: Share): void {
    this.#queue.forget(share);
    this.#budget.forget(share);
  }
}

export class MemoryBudget {
  used = 0;
  /** Of that, what work under way has. */
  fixed = 0;
  /** Calls ended or refused for want of room. */
  refused = 0;
  #total: number;
  #perConnection: number;
  readonly #queue = new Queue();

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

  /** Whether there would be room for so many bytes more if all were evicted. */
  couldHold(bytes: number): boolean {
    return this.fixed + bytes <= this.#total;
  }

  /** Evicts until there is room for so many bytes more. @returns false: what is held cannot be taken away. */
  makeRoom(bytes: number): boolean {
    while (this.used + bytes > this.#total) if (!this.evict(this.#queue.first)) return false;
    return true;
  }

  /** @returns false: there is nobody. */
  evict(share: Share | undefined): boolean {
    if (share === undefined) return false;
    this.refused++;
    share.evict();
    return true;
  }

  /** For {@link ConnectionMemory}. */
  moveBack(share: Share): void {
    this.#queue.moveBack(share);
  }

  forget(share: Share): void {
    this.#queue.forget(share);
  }
}
