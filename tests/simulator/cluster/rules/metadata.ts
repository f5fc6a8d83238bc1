/** Rules on what the store holds, looked at as each transaction is carried out, before anybody hears of it. */
import type { ClusterImage, ImageChange, PartitionInfo, Stored } from '@tributary/metadata';
import { limits } from '@tributary/model';
import type { Transaction } from '@tributary/ports';
import type { StoreUser } from '../../metadata-store.ts';
import type { Stage } from '../stage.ts';
import { described } from '../truth.ts';

type Partition = Stored<PartitionInfo>;

/**
 * M3: whoever writes what only a controller may holds the election, and says so in the transaction. R5: leaders come from ISR and ELR, or by an
 * election that is recorded as unclean; what leaves an ISR that is too small becomes eligible, and stops being so in the same transaction as the
 * ISR is large enough. One leader per epoch. R6: whoever leads or joins is registered with the directory that holds the replica.
 */
export class MetadataRules {
  readonly #stage: Stage;
  /** The in-sync replicas when somebody last led, by folder. */
  readonly #lastLed = new Map<string, readonly number[]>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  begin(): void {
    const { world, truth } = this.#stage;
    world.metadata.onCommitted = (user, transaction) => this.#committed(user, transaction);
    truth.onChange((change, before) => this.#changed(change, before));
  }

  #broken(rule: string, what: string): void {
    this.#stage.world.broken(rule, what);
  }

  #committed(user: StoreUser, transaction: Transaction): void {
    const { truth } = this.#stage;
    const kinds = [...transaction.put.map(({ key }) => key), ...transaction.delete].map(
      (key) => truth.keys.parse(key)?.kind,
    );
    const isControllers = kinds.some((kind) => kind === 'partition' || kind === 'topic' || kind === 'broker-status');
    if (!isControllers) return;
    const election = truth.keys.of({ kind: 'controller' });
    const elected = truth.image.controller;
    const fence = transaction.compare.find(({ key }) => key === election);
    const what = `${user.machine} wrote ${kinds.join(', ')}`;
    if (fence?.createRevision === undefined || fence.createRevision !== elected?.createRevision)
      this.#broken('M3', `${what} without comparing the election, which node ${elected?.nodeId} holds`);
    else if (this.#stage.active?.name !== user.machine)
      this.#broken('M3', `${what} in the term of node ${elected?.nodeId}`);
    if (transaction.put.length + transaction.delete.length > limits.transactionOperations)
      this.#broken(
        'M3',
        `${what} in a transaction of ${transaction.put.length + transaction.delete.length} operations`,
      );
  }

  #changed({ image, delta }: ImageChange, before: ClusterImage): void {
    for (const [node, { after }] of delta.brokers) this.#seenIn(node, after?.status?.fenced === false, image);
    for (const { topicId, partition, ...change } of delta.partitions.values()) {
      const folder = `${topicId}-${partition}`;
      if (change.after === undefined) continue;
      this.#look(folder, change.after);
      if (change.before !== undefined) this.#compare(folder, change.before, change.after, before, image);
      const { leader, isr } = change.after;
      if (leader !== undefined) this.#lastLed.set(folder, isr);
      this.#stage.durability.membersChanged(folder);
    }
  }

  /** A broker whose present registration has been let in was asked about all that it lacks. */
  #seenIn(node: number, isIn: boolean, image: ClusterImage): void {
    const member = this.#stage.broker(node);
    if (member === undefined || !isIn) return;
    for (const broker of image.brokers()) {
      if (broker.nodeId !== node || broker.registration === undefined) continue;
      const { createRevision } = broker.registration;
      if (broker.status?.brokerEpoch !== undefined && BigInt(broker.status.brokerEpoch) === BigInt(createRevision))
        this.#stage.durability.letIn(member, createRevision);
    }
  }

  #look(folder: string, partition: Partition): void {
    const { leader, isr, eligibleLeaderReplicas: elr, replicas, effectiveMinIsr } = partition;
    const nodes = replicas.map(({ nodeId }) => nodeId);
    const what = `${this.#stage.nameOf(folder)} is ${described(partition)}`;
    if (isr.some((node) => !nodes.includes(node)) || elr.some((node) => !nodes.includes(node)))
      this.#broken('R5', `${what}: members that are no replicas`);
    if (elr.some((node) => isr.includes(node))) this.#broken('R5', `${what}: in the ISR and in the ELR`);
    if (elr.length > 0 && isr.length >= effectiveMinIsr)
      this.#broken('R5', `${what}: eligible beside an ISR that is large enough`);
    if (leader !== undefined && !isr.includes(leader)) this.#broken('R5', `${what}: the leader is not in sync`);
    if (effectiveMinIsr > replicas.length) this.#broken('R3', `${what}: more in-sync replicas needed than there are`);
  }

  #compare(folder: string, before: Partition, after: Partition, then: ClusterImage, now: ClusterImage): void {
    const what = `${this.#stage.nameOf(folder)} was ${described(before)}, is ${described(after)}`;
    if (after.partitionEpoch <= before.partitionEpoch) this.#broken('M4', `${what}: not a new partition epoch`);
    if (after.leaderEpoch < before.leaderEpoch) this.#broken('R5', `${what}: an older leader epoch`);
    if (after.leader !== before.leader && after.leaderEpoch === before.leaderEpoch)
      this.#broken('R5', `${what}: another leader in the same epoch`);
    if (after.leaderEpoch > before.leaderEpoch) this.#elected(folder, before, after, now, what);
    else this.#joined(before, after, now, what);
    this.#left(before, after, then, now, what);
  }

  #elected(folder: string, before: Partition, after: Partition, now: ClusterImage, what: string): void {
    const { coverage } = this.#stage.world;
    const { leader } = after;
    if (leader === undefined) return coverage.count('election: nobody can lead');
    const replica = after.replicas.find(({ nodeId }) => nodeId === leader);
    const registration = this.#registration(leader, now);
    if (registration === undefined) this.#broken('R6', `${what}: the leader is not registered`);
    else if (registration.directoryId !== replica?.directoryId)
      this.#broken('R6', `${what}: the leader has another directory than the replica`);
    if (after.uncleanEpoch === after.leaderEpoch) return this.#unclean(folder, after, what);
    const isMember = before.isr.includes(leader) || before.eligibleLeaderReplicas.includes(leader);
    if (isMember) {
      coverage.count(before.isr.includes(leader) ? 'election: from the ISR' : 'election: from the ELR');
      return;
    }
    const hadNoMember = before.isr.length + before.eligibleLeaderReplicas.length === 0;
    // The last one that had been a member, with all that it had.
    if (hadNoMember && before.lastMembers.includes(leader) && after.effectiveFlushPolicy === 'commit')
      return coverage.count('election: of the last member');
    this.#broken('R5', `${what}: led by one that need not have what was acknowledged, and not shown as unclean`);
  }

  /** R7: allowed once all who could have had it stopped lossily. */
  #unclean(folder: string, after: Partition, what: string): void {
    if (after.effectiveFlushPolicy === 'commit' || !after.possibleLoss)
      this.#broken('R7', `${what}: unclean, and not allowed or not shown`);
    this.#stage.world.coverage.count('election: unclean, of an async partition');
    const couldHave = this.#lastLed.get(folder) ?? [];
    const whole = couldHave.filter((node) => this.#stage.broker(node)?.losses === 0);
    if (whole.length > 0) this.#broken('R7', `${what}: unclean, and ${whole.join(', ')} lost nothing`);
    const known = this.#stage.partition(folder);
    if (known !== undefined) this.#stage.history(known.topic, known.partition).lossyStop();
    this.#stage.durability.begunAnew(folder);
  }

  /** Within an epoch: whoever joins is in, and has the directory. */
  #joined(before: Partition, after: Partition, now: ClusterImage, what: string): void {
    for (const node of after.isr.filter((each) => !before.isr.includes(each))) {
      this.#stage.world.coverage.count('isr: grew');
      const replica = after.replicas.find(({ nodeId }) => nodeId === node);
      const registration = this.#registration(node, now);
      const status = [...now.brokers()].find(({ nodeId }) => nodeId === node)?.status;
      const isIn =
        status?.fenced === false && !status.leaving && BigInt(status.brokerEpoch) === registration?.createRevision;
      if (!isIn || registration?.directoryId !== replica?.directoryId)
        this.#broken('R6', `${what}: ${node} joined and is not in, or with another directory`);
    }
  }

  /** R5: an ISR that is too small keeps those who leave it in reach, unless their data is in doubt. */
  #left(before: Partition, after: Partition, then: ClusterImage, now: ClusterImage, what: string): void {
    const gone = before.isr.filter((node) => !after.isr.includes(node));
    if (gone.length > 0) this.#stage.world.coverage.count('isr: shrank');
    if (after.isr.length >= after.effectiveMinIsr) return;
    const outOf = [...gone, ...before.eligibleLeaderReplicas.filter((node) => !after.isr.includes(node))];
    for (const node of outOf) {
      if (after.eligibleLeaderReplicas.includes(node)) {
        this.#stage.world.coverage.count('isr: left for the ELR');
        continue;
      }
      if (this.#isInDoubt(node, before, now)) continue;
      this.#broken('R5', `${what}: ${node} left an ISR that is too small and is not eligible any more`);
    }
    if (then.revision > now.revision) this.#broken('M2', 'the store went back');
  }

  #isInDoubt(node: number, partition: Partition, now: ClusterImage): boolean {
    const registration = this.#registration(node, now);
    if (registration === undefined) return false;
    const directory = partition.replicas.find(({ nodeId }) => nodeId === node)?.directoryId;
    const { topicId, partition: index } = partition;
    return (
      registration.directoryId !== directory ||
      (registration.lossy && partition.effectiveFlushPolicy === 'async') ||
      registration.suspects.some((each) => each.topicId === topicId && each.partition === index)
    );
  }

  #registration(node: number, image: ClusterImage) {
    return [...image.brokers()].find(({ nodeId }) => nodeId === node)?.registration;
  }
}
