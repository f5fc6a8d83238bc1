// pure
/**
 * Who is alive, as far as one controller has itself heard in one term (R10, M5). A broker is told apart by its registration's epoch: another one is
 * another life.
 */
import { type BrokerEpoch, type NodeId, brokerEpoch } from '@tributary/model';
import type { ClusterImage } from '@tributary/metadata';
import type { Losses } from './brokers.ts';

export interface Judgement extends Losses {
  /** It hears nothing of more than half of those whose registrations are there: it is itself cut off. */
  readonly isCutOff: boolean;
  /** Registered brokers of which nothing is heard for a session timeout. */
  readonly silent: readonly NodeId[];
  /** The earliest time at which silence alone may change the judgement, ms; undefined: none will. */
  readonly againAtMs: number | undefined;
}

interface Sign {
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

/** Silence that makes a broker count as silent where it is asked whether most are: less than a session, as not all fell silent at the same time. */
const hushShare = 0.5;
/** How much longer than a session timeout most brokers are silent before their controller takes itself to be cut off: leases may be running out. */
const cutOffShare = 1.5;

export class LifeSigns {
  readonly #sessionTimeoutMs: number;
  readonly #signs = new Map<NodeId, Sign>();
  /** Brokers whose registration came and went while this controller was watching. */
  readonly #vanished = new Set<NodeId>();
  #beganMs = 0;
  #tookOverAt = 0n;

  constructor(sessionTimeoutMs: number) {
    this.#sessionTimeoutMs = sessionTimeoutMs;
  }

  /** A term begins: nothing was heard before it. @param tookOverAt revision of the image with which it begins. */
  begin(nowMs: number, tookOverAt: bigint): void {
    this.#signs.clear();
    this.#vanished.clear();
    this.#beganMs = nowMs;
    this.#tookOverAt = tookOverAt;
  }

  /** A sign of life of a registered broker. */
  heard(node: NodeId, epoch: BrokerEpoch, nowMs: number): void {
    const sign = this.#sign(node, epoch, nowMs);
    if (sign.epoch !== epoch) return;
    sign.heardMs = nowMs;
    sign.isHeard = true;
    sign.isGone = false;
  }

  opened(node: NodeId, epoch: BrokerEpoch, nowMs: number): void {
    this.heard(node, epoch, nowMs);
    const sign = this.#sign(node, epoch, nowMs);
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

  /** Registered, without a stream, and not heard for so long: worth being asked at its address. */
  unattending(
    image: ClusterImage,
    nowMs: number,
    quietMs: number,
  ): { readonly node: NodeId; readonly epoch: BrokerEpoch }[] {
    const found: { readonly node: NodeId; readonly epoch: BrokerEpoch }[] = [];
    for (const { nodeId, registration } of image.brokers()) {
      if (registration === undefined) continue;
      const epoch = brokerEpoch(registration.createRevision);
      const sign = this.#sign(nodeId, epoch, nowMs);
      if (sign.streams === 0 && !sign.isGone && nowMs - sign.heardMs >= quietMs) found.push({ node: nodeId, epoch });
    }
    return found;
  }

  judge(image: ClusterImage, nowMs: number): Judgement {
    const gone = new Set<NodeId>();
    const dead = new Map<NodeId, BrokerEpoch>();
    const silent: { readonly node: NodeId; readonly epoch: BrokerEpoch; readonly quietMs: number }[] = [];
    let againAtMs: number | undefined;
    let [registered, hushed] = [0, 0];
    for (const { nodeId, registration, status } of image.brokers()) {
      if (registration === undefined) {
        if (status === undefined || status.fenced) continue;
        // M5: not what the store lets go of, but silence that was heard in this term.
        const silentSinceMs = Math.max(this.#beganMs, this.#signs.get(nodeId)?.heardMs ?? 0);
        const graceEndsMs = silentSinceMs + this.#sessionTimeoutMs;
        // One that said that it was leaving has left.
        if (nowMs >= graceEndsMs || this.#vanished.has(nodeId) || status.leaving) gone.add(nodeId);
        else againAtMs = earlier(againAtMs, graceEndsMs);
        continue;
      }
      registered++;
      const epoch = brokerEpoch(registration.createRevision);
      const sign = this.#sign(nodeId, epoch, nowMs);
      if (sign.isGone) dead.set(nodeId, epoch);
      const quietMs = nowMs - sign.heardMs;
      if (quietMs > this.#sessionTimeoutMs * hushShare) hushed++;
      if (quietMs >= this.#sessionTimeoutMs) silent.push({ node: nodeId, epoch, quietMs });
      else againAtMs = earlier(againAtMs, sign.heardMs + this.#sessionTimeoutMs);
    }
    const isMost = hushed * 2 > registered;
    // A sole broker has nobody to hand over to: its lease alone decides.
    if (!isMost && registered > 1) for (const { node, epoch } of silent) dead.set(node, epoch);
    const cutOffAfterMs = this.#sessionTimeoutMs * cutOffShare;
    const long = silent.filter(({ quietMs }) => quietMs >= cutOffAfterMs);
    const isCutOff = registered > 1 && long.length * 2 > registered;
    if (isMost && registered > 1 && !isCutOff)
      for (const { quietMs } of silent)
        if (quietMs < cutOffAfterMs) againAtMs = earlier(againAtMs, nowMs + cutOffAfterMs - quietMs);
    return { gone, dead, isCutOff, silent: silent.map(({ node }) => node), againAtMs };
  }

  #sign(node: NodeId, epoch: BrokerEpoch, nowMs: number): Sign {
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

const earlier = (a: number | undefined, b: number): number => (a === undefined ? b : Math.min(a, b));
