/** What the metadata store holds at this very moment, as no part of the cluster ever sees it. */
import {
  ClusterImage,
  decodeRevision,
  type ImageChange,
  type MetadataKeys,
  metadataKeys,
  type PartitionInfo,
  type Stored,
} from '@tributary/metadata';
import { partitionIndex, topicId } from '@tributary/model';
import type { SimulatedMetadataStore } from '../metadata-store.ts';
import type { Trace } from '../trace.ts';

/** Who was given a leader epoch, and when. */
export interface EpochDecision {
  readonly leader: number | undefined;
  readonly revision: bigint;
}

export class Truth {
  readonly keys: MetadataKeys = metadataKeys('simulated');
  readonly #listeners: ((change: ImageChange, before: ClusterImage) => void)[] = [];
  readonly #decisions = new Map<string, EpochDecision>();
  readonly #leastMinIsr = new Map<string, number>();
  readonly #trace: Trace;
  #image = ClusterImage.empty;

  constructor(store: SimulatedMetadataStore, trace: Trace) {
    this.#trace = trace;
    store.onRevision = (revision) => {
      const before = this.#image;
      const change = before.apply(revision.revision, decodeRevision(this.keys, revision));
      this.#image = change.image;
      this.#note(change);
      for (const listener of this.#listeners) listener(change, before);
    };
  }

  get image(): ClusterImage {
    return this.#image;
  }

  /** Called at each revision, before anybody else hears of it. */
  onChange(listener: (change: ImageChange, before: ClusterImage) => void): void {
    this.#listeners.push(listener);
  }

  /** @param folder of the partition in a data directory. */
  partition(folder: string): Stored<PartitionInfo> | undefined {
    const at = folder.lastIndexOf('-');
    return this.#image.partition(topicId(folder.slice(0, at)), partitionIndex(Number(folder.slice(at + 1))));
  }

  /** undefined: nobody was ever given this epoch. */
  decision(folder: string, leaderEpoch: number): EpochDecision | undefined {
    return this.#decisions.get(`${folder} ${leaderEpoch}`);
  }

  /** The smallest that the effective min ISR ever was: a leader may not have heard of the newest. */
  leastMinIsr(folder: string): number {
    return this.#leastMinIsr.get(folder) ?? 0;
  }

  #note({ image, delta }: ImageChange): void {
    for (const { topicId: topic, partition, before, after } of delta.partitions.values()) {
      if (after === undefined) continue;
      const name = `${image.topic(topic)?.name ?? topic}-${partition}`;
      const folder = `${topic}-${partition}`;
      const least = this.#leastMinIsr.get(folder) ?? after.effectiveMinIsr;
      this.#leastMinIsr.set(folder, Math.min(least, after.effectiveMinIsr));
      this.#trace.add('truth', `r${image.revision} ${name} ${described(after)}`);
      if (before?.leaderEpoch === after.leaderEpoch) continue;
      const decision = { leader: after.leader, revision: image.revision };
      this.#decisions.set(`${folder} ${after.leaderEpoch}`, decision);
    }
    for (const [node, { after }] of delta.brokers) {
      const { registration, status } = after ?? {};
      const word = status === undefined ? 'unknown' : status.fenced ? 'fenced' : status.leaving ? 'leaving' : 'in';
      const epoch = registration === undefined ? 'absent' : `registered at ${registration.createRevision}`;
      this.#trace.add('truth', `r${image.revision} broker ${node} ${epoch}, ${word} as of ${status?.brokerEpoch}`);
    }
    if (delta.controller) this.#trace.add('truth', `r${image.revision} controller ${image.controller?.nodeId}`);
  }
}

export function described(partition: PartitionInfo): string {
  const { leader, leaderEpoch, partitionEpoch, isr, eligibleLeaderReplicas, lastMembers, uncleanEpoch } = partition;
  const elr = eligibleLeaderReplicas.length === 0 ? '' : ` elr ${eligibleLeaderReplicas.join(',')}`;
  const last = lastMembers.length === 0 ? '' : ` last ${lastMembers.join(',')}`;
  const unclean = uncleanEpoch === undefined ? '' : ` unclean ${uncleanEpoch}`;
  return `led by ${leader ?? 'none'} e${leaderEpoch} p${partitionEpoch} isr ${isr.join(',')}${elr}${last}${unclean} min ${partition.effectiveMinIsr}`;
}
