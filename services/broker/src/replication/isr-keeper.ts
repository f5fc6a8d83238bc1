/** Keeps the in-sync replicas of what this broker leads as they are: proposes to the controller who should be in and who out (R4, M4). */
import { type ImageSource, isUnfenced, LinkedAbort, type PartitionName, partitionKey } from '@tributary/metadata';
import { type BrokerEpoch, limits, millis, type NodeId, TributaryError } from '@tributary/model';
import type { Clock, Logger } from '@tributary/ports';
import type { IsrProposer, ProposedMember } from '../attendance/proposals.ts';
import type { AttachedFollower, IsrChange, Leadership } from '../partition/leadership.ts';
import type { Partition } from '../partition/partition.ts';

export interface IsrObserver {
  /** The image will show it. */
  isrChanged(kind: IsrChange['kind']): void;
  isrRefused(): void;
}

interface KeeperPorts {
  readonly me: NodeId;
  readonly images: ImageSource;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly proposer: IsrProposer;
  readonly observer: IsrObserver;
  /** Of the current registration; undefined: there is none. */
  brokerEpoch(): BrokerEpoch | undefined;
  replicaLagMs(): number;
}

interface Led {
  readonly name: PartitionName;
  readonly partition: Partition;
  readonly leadership: Leadership;
  proposed: { readonly change: IsrChange; readonly over: AbortController } | undefined;
}

export class IsrKeeper {
  readonly #ports: KeeperPorts;
  readonly #led = new Map<string, Led>();

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  /** What the image says of a partition that this broker leads may have changed. */
  lead(name: PartitionName, partition: Partition): void {
    const { leadership } = partition.state;
    if (leadership === undefined) return this.forget(name);
    const key = partitionKey(name);
    let led = this.#led.get(key);
    if (led?.leadership !== leadership) {
      this.forget(name);
      led = { name, partition, leadership, proposed: undefined };
      this.#led.set(key, led);
    }
    // The image has answered.
    if (led.proposed !== undefined && leadership.proposal !== led.proposed.change) this.#end(led);
    this.#look(led);
  }

  forget(name: PartitionName): void {
    const key = partitionKey(name);
    const led = this.#led.get(key);
    if (led === undefined) return;
    this.#led.delete(key);
    this.#end(led);
  }

  /** A replica outside the ISR has come further. */
  acknowledged(name: PartitionName): void {
    const led = this.#led.get(partitionKey(name));
    if (led !== undefined) this.#look(led);
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.#ports.clock.sleep(limits.isrCheckMs, signal);
        for (const led of this.#led.values()) this.#look(led);
      }
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
    } finally {
      for (const led of this.#led.values()) this.#end(led);
      this.#led.clear();
    }
  }

  #end(led: Led): void {
    led.proposed?.over.abort(new Error('The image shows a later state.'));
    led.proposed = undefined;
  }

  #look(led: Led): void {
    const { leadership, partition, name } = led;
    // One whose removal was proposed is proposed no more than once (M4).
    if (led.proposed !== undefined || leadership.proposal !== undefined || leadership.term.replicas.length === 1)
      return;
    const { clock, replicaLagMs } = this.#ports;
    const { highWatermark, written } = partition.state;
    const change = leadership.due(
      highWatermark,
      written,
      millis(clock.monotonicMs()),
      replicaLagMs(),
      (follower) => this.#isEligible(name, follower),
      partition.startOffset,
    );
    const isr = change === undefined ? undefined : this.#members(leadership, change);
    if (change === undefined || isr === undefined) return;
    leadership.propose(change);
    const over = new AbortController();
    led.proposed = { change, over };
    void this.#propose(led, change, isr, over.signal);
  }

  /** As far as the image says: the controller, whose image may be newer, looks too. */
  #isEligible({ topicId, partition }: PartitionName, { node, brokerEpoch }: AttachedFollower): boolean {
    const image = this.#ports.images.current;
    const broker = image.broker(node);
    const replica = image.partition(topicId, partition)?.replicas.find((each) => each.nodeId === node);
    return (
      isUnfenced(broker) &&
      broker?.status?.leaving === false &&
      broker.registration?.createRevision === brokerEpoch &&
      broker.registration.directoryId === replica?.directoryId
    );
  }

  /** undefined: somebody who is to stay is not registered: the controller is about to see him out itself. */
  #members(leadership: Leadership, { isr }: IsrChange): readonly ProposedMember[] | undefined {
    const { me, images } = this.#ports;
    const members: ProposedMember[] = [];
    for (const nodeId of isr) {
      const registered = images.current.broker(nodeId)?.registration?.createRevision as BrokerEpoch | undefined;
      const brokerEpoch = nodeId === me ? this.#ports.brokerEpoch() : (leadership.attachedEpoch(nodeId) ?? registered);
      if (brokerEpoch === undefined) return undefined;
      members.push({ nodeId, brokerEpoch });
    }
    return members;
  }

  async #propose(led: Led, change: IsrChange, isr: readonly ProposedMember[], over: AbortSignal): Promise<void> {
    const { name, partition, leadership } = led;
    const { logger, observer, proposer } = this.#ports;
    const { epoch: leaderEpoch } = leadership;
    const { kind, partitionEpoch } = change;
    logger.info('isr-proposed', { partition: partition.state.name, kind, isr: change.isr, partitionEpoch });
    using proposing = new LinkedAbort(over);
    try {
      const outcome = await proposer.propose({ ...name, leaderEpoch, partitionEpoch, isr }, proposing.signal);
      if (outcome === 'decided') {
        // In force once the image shows it, and not before (M4).
        observer.isrChanged(kind);
        return;
      }
      observer.isrRefused();
      logger.info('isr-refused', { partition: partition.state.name, kind, why: outcome.message });
      if (led.proposed?.change === change) led.proposed = undefined;
      leadership.refused(change);
      partition.acknowledged();
    } catch (thrown) {
      if (!over.aborted) throw TributaryError.from(thrown);
    }
  }
}
