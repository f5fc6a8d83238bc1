// pure
import { type BrokerEpoch, type NodeId, brokerEpoch } from '@tributary/model';

/** Who attends to the controller. Node ids are told apart by it: `tributary dev` gives all parts of one process the same. */
export type Role = 'broker' | 'coordinator';

export interface Sign {
  readonly epoch: BrokerEpoch;
  /** Since when nothing has been heard, ms; at first, since the registration was seen. */
  heardMs: number;
  /** It has been heard at all. */
  isHeard: boolean;
  /** Open ones. */
  streams: number;
  /** Somebody asked at its address, and it was not there any more. */
  isGone: boolean;
}

/** Whose registration is there. */
export interface Registered {
  readonly nodeId: NodeId;
  readonly createRevision: bigint;
}

/** What one controller has itself heard in one term of those of one role. They are told apart by the epoch of their registration: another one is another life. */
export class Signs {
  readonly #signs = new Map<NodeId, Sign>();
  /** Those whose registration came and went while this controller was watching. */
  readonly #vanished = new Set<NodeId>();
  /** When its registration was first found to be absent, ms. */
  readonly #absentSinceMs = new Map<NodeId, number>();
  #beganMs = 0;
  #tookOverAt = 0n;

  /** A term begins: nothing was heard before it. @param tookOverAt revision of the image with which it begins. */
  begin(nowMs: number, tookOverAt: bigint): void {
    this.#signs.clear();
    this.#vanished.clear();
    this.#absentSinceMs.clear();
    this.#beganMs = nowMs;
    this.#tookOverAt = tookOverAt;
  }

  /** A sign of life of a registered one. */
  heard(node: NodeId, epoch: BrokerEpoch, nowMs: number): void {
    const sign = this.of(node, epoch, nowMs);
    if (sign.epoch !== epoch) return;
    sign.heardMs = nowMs;
    sign.isHeard = true;
    sign.isGone = false;
  }

  opened(node: NodeId, epoch: BrokerEpoch, nowMs: number): void {
    this.heard(node, epoch, nowMs);
    const sign = this.of(node, epoch, nowMs);
    if (sign.epoch === epoch) sign.streams++;
  }

  closed(node: NodeId, epoch: BrokerEpoch): void {
    const sign = this.#signs.get(node);
    if (sign?.epoch === epoch) sign.streams--;
  }

  /** At its address nothing listens, or another incarnation: dead at once. One that was never heard may not have begun to listen. */
  notThere(node: NodeId, epoch: BrokerEpoch): void {
    const sign = this.#signs.get(node);
    if (sign?.epoch !== epoch || sign.streams > 0) return;
    if (sign.isHeard || epoch <= this.#tookOverAt) sign.isGone = true;
  }

  /** A registration came or went; leases from before the term may run out because the store was away: only the grace tells who is dead (M5). */
  registrationChanged(node: NodeId, before: { readonly modRevision: bigint } | undefined, isThere: boolean): void {
    if (isThere) this.#vanished.delete(node);
    else if (before !== undefined && before.modRevision > this.#tookOverAt) this.#vanished.add(node);
  }

  /**
   * Its registration went in this term, and with it the last that was heard of it. Whoever attends lives, and registers anew once it hears that its
   * registration went: the store may have been away for longer than leases last.
   */
  hasVanished(node: NodeId): boolean {
    return this.#vanished.has(node) && (this.#signs.get(node)?.streams ?? 0) === 0;
  }

  /** Of one that is not registered: since when nothing was heard of it in this term, ms. */
  silentSinceMs(node: NodeId): number {
    return Math.max(this.#beganMs, this.#signs.get(node)?.heardMs ?? 0);
  }

  /** A look at who is registered. */
  seen(node: NodeId, isRegistered: boolean, nowMs: number): void {
    if (isRegistered) this.#absentSinceMs.delete(node);
    else if (!this.#absentSinceMs.has(node)) this.#absentSinceMs.set(node, nowMs);
  }

  /**
   * Of one that is not registered: since when it could have registered anew, ms. Leases that run out within one's time from the beginning of the term may do so
   * because the store was away, and their holders learn of that no earlier than we do; later ones run out with them (M5).
   */
  mayRegisterSinceMs(node: NodeId, leaseMs: number): number {
    const absentSinceMs = this.#absentSinceMs.get(node) ?? this.#beganMs;
    return absentSinceMs <= this.#beganMs + leaseMs ? absentSinceMs : this.#beganMs;
  }

  /** Registered, without a stream, and not heard for so long: worth being asked at its address. */
  unattending(
    registered: Iterable<Registered>,
    nowMs: number,
    quietMs: number,
  ): { readonly node: NodeId; readonly epoch: BrokerEpoch }[] {
    const found: { readonly node: NodeId; readonly epoch: BrokerEpoch }[] = [];
    for (const { nodeId, createRevision } of registered) {
      const epoch = brokerEpoch(createRevision);
      const sign = this.of(nodeId, epoch, nowMs);
      if (sign.streams === 0 && !sign.isGone && nowMs - sign.heardMs >= quietMs) found.push({ node: nodeId, epoch });
    }
    return found;
  }

  of(node: NodeId, epoch: BrokerEpoch, nowMs: number): Sign {
    let sign = this.#signs.get(node);
    if (sign === undefined || sign.epoch < epoch) {
      // One from before the term has been silent since that began.
      const heardMs = epoch <= this.#tookOverAt ? this.#beganMs : nowMs;
      sign = { epoch, heardMs, isHeard: false, streams: 0, isGone: false };
      this.#signs.set(node, sign);
    }
    return sign;
  }
}
