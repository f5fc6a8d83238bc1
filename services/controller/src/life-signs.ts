// pure
/** Which brokers are alive, as far as one controller has itself heard in one term (R10, M5). */
import { type BrokerEpoch, type NodeId, brokerEpoch } from '@tributary/model';
import type { ClusterImage } from '@tributary/metadata';
import type { Losses } from './brokers.ts';
import { Signs } from './signs.ts';

export interface Judgement extends Losses {
  /** It hears nothing of more than half of those whose registrations are there: it is itself cut off. */
  readonly isCutOff: boolean;
  /** Most brokers are about to be silent: whoever else is may not be so by its own fault. */
  readonly isHushed: boolean;
  /** Registered brokers of which nothing is heard for a session timeout. */
  readonly silent: readonly NodeId[];
  /** The earliest time at which silence alone may change the judgement, ms; undefined: none will. */
  readonly againAtMs: number | undefined;
}

/** Silence that makes a broker count as silent where it is asked whether most are: less than a session, as not all fell silent at the same time. */
export const hushShare = 0.5;
/** How much longer than a session timeout most brokers are silent before their controller takes itself to be cut off: leases may be running out. */
const cutOffShare = 1.5;

export class LifeSigns extends Signs {
  readonly #sessionTimeoutMs: number;

  constructor(sessionTimeoutMs: number) {
    super();
    this.#sessionTimeoutMs = sessionTimeoutMs;
  }

  judge(image: ClusterImage, nowMs: number): Judgement {
    const gone = new Set<NodeId>();
    const dead = new Map<NodeId, BrokerEpoch>();
    const silent: { readonly node: NodeId; readonly epoch: BrokerEpoch; readonly quietMs: number }[] = [];
    const absent: NodeId[] = [];
    let againAtMs: number | undefined;
    let [registered, hushed] = [0, 0];
    for (const { nodeId, registration, status } of image.brokers()) {
      this.seen(nodeId, registration !== undefined, nowMs);
      if (registration === undefined) {
        if (status === undefined || status.fenced) continue;
        // One that said that it was leaving has left.
        if (status.leaving || this.hasVanished(nodeId)) {
          gone.add(nodeId);
          continue;
        }
        absent.push(nodeId);
        continue;
      }
      registered++;
      const epoch = brokerEpoch(registration.createRevision);
      const sign = this.of(nodeId, epoch, nowMs);
      if (sign.isGone) dead.set(nodeId, epoch);
      const quietMs = nowMs - sign.heardMs;
      if (quietMs > this.#sessionTimeoutMs * hushShare) hushed++;
      if (quietMs >= this.#sessionTimeoutMs) silent.push({ node: nodeId, epoch, quietMs });
      else againAtMs = earlier(againAtMs, sign.heardMs + this.#sessionTimeoutMs);
    }
    for (const [node, graceEndsMs] of this.#graces(absent, registered, hushed, nowMs)) {
      if (nowMs >= graceEndsMs) gone.add(node);
      else againAtMs = earlier(againAtMs, graceEndsMs);
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
    return {
      gone,
      dead,
      isHushed: isMost && registered > 1,
      isCutOff,
      silent: silent.map(({ node }) => node),
      againAtMs,
    };
  }

  /**
   * When those that are not registered are dead, ms. Not what the store lets go of counts, but silence that was heard in this term (M5). Where most are silent,
   * and leases may have run out because the store was away, the controller may be the one that hears nobody: then each has the time to register anew as well.
   */
  #graces(
    absent: readonly NodeId[],
    registered: number,
    hushed: number,
    nowMs: number,
  ): readonly (readonly [NodeId, number])[] {
    const timeoutMs = this.#sessionTimeoutMs;
    const quiet = absent.filter((node) => nowMs - this.silentSinceMs(node) > timeoutMs * hushShare);
    const known = registered + absent.length;
    const isMost = known > 1 && (hushed + quiet.length) * 2 > known;
    return absent.map((node) => {
      const mayRegisterSinceMs = isMost ? this.mayRegisterSinceMs(node, timeoutMs) : Number.NEGATIVE_INFINITY;
      return [node, Math.max(this.silentSinceMs(node), mayRegisterSinceMs) + timeoutMs];
    });
  }
}

export const earlier = (a: number | undefined, b: number): number => (a === undefined ? b : Math.min(a, b));
