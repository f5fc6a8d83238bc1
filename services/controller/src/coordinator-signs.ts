// pure
/**
 * Which coordinators are alive, as far as one controller has itself heard in one term (R10, M5), and which are leaving: that they say on their stream alone,
 * and again to the next controller.
 */
import { type BrokerEpoch, type NodeId, brokerEpoch } from '@tributary/model';
import type { ClusterImage } from '@tributary/metadata';
import type { CoordinatorLosses } from './coordinators.ts';
import { earlier, hushShare } from './life-signs.ts';
import { Signs } from './signs.ts';

export interface CoordinatorJudgement extends CoordinatorLosses {
  /** Registered ones of which nothing is heard for a session timeout. */
  readonly silent: readonly NodeId[];
  /** The earliest time at which silence alone may change the judgement, ms; undefined: none will. */
  readonly againAtMs: number | undefined;
}

export class CoordinatorSigns extends Signs {
  readonly #sessionTimeoutMs: number;
  readonly #leaving = new Map<NodeId, BrokerEpoch>();

  constructor(sessionTimeoutMs: number) {
    super();
    this.#sessionTimeoutMs = sessionTimeoutMs;
  }

  override begin(nowMs: number, tookOverAt: bigint): void {
    super.begin(nowMs, tookOverAt);
    this.#leaving.clear();
  }

  leaves(node: NodeId, epoch: BrokerEpoch): void {
    this.#leaving.set(node, epoch);
  }

  /** @param isHushed most brokers are about to be silent: the controller may be cut off, and takes nobody's silence for a death. */
  judge(image: ClusterImage, nowMs: number, isHushed: boolean): CoordinatorJudgement {
    const dead = new Map<NodeId, BrokerEpoch>();
    const silent: { readonly node: NodeId; readonly epoch: BrokerEpoch }[] = [];
    let againAtMs: number | undefined;
    let isAnyHeard = false;
    for (const { nodeId, createRevision } of image.coordinators()) {
      const epoch = brokerEpoch(createRevision);
      const sign = this.of(nodeId, epoch, nowMs);
      if (sign.isGone) dead.set(nodeId, epoch);
      if (nowMs - sign.heardMs <= this.#sessionTimeoutMs * hushShare) isAnyHeard = true;
      const silentAtMs = sign.heardMs + this.#sessionTimeoutMs;
      if (nowMs >= silentAtMs) silent.push({ node: nodeId, epoch });
      else againAtMs = earlier(againAtMs, silentAtMs);
    }
    // Where all are silent, or about to be, there is nobody to hand over to: their leases alone decide.
    if (!isHushed && isAnyHeard) for (const { node, epoch } of silent) dead.set(node, epoch);
    const awaited = new Set<NodeId>();
    for (const { coordinator } of image.groupPartitions()) {
      if (coordinator === undefined || image.coordinator(coordinator) !== undefined) continue;
      const graceEndsMs = this.silentSinceMs(coordinator) + this.#sessionTimeoutMs;
      if (nowMs >= graceEndsMs || this.hasVanished(coordinator) || this.#leaving.has(coordinator)) continue;
      awaited.add(coordinator);
      againAtMs = earlier(againAtMs, graceEndsMs);
    }
    return { dead, leaving: this.#leaving, awaited, silent: silent.map(({ node }) => node), againAtMs };
  }
}
