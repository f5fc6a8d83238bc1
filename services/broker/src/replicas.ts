/**
 * The partitions that this broker holds, kept as the cluster image says: opened, led, reconfigured, removed. Changes of one partition run one
 * after the other, those of several at the same time.
 */
import {
  assert,
  type ClusterId,
  isInternalTopic,
  type LeaderEpoch,
  limits,
  type NodeId,
  partitionIndex,
  type TopicConfig,
  type TopicId,
  TributaryError,
  topicConfig,
  topicId,
  withBrokerDefaults,
} from '@tributary/model';
import { Bell, type ClusterImage, type PartitionInfo, type PartitionName, type Stored } from '@tributary/metadata';
import { type Clock, FileError, type Logger } from '@tributary/ports';
import type { DataDirectory } from './log/data-directory.ts';
import type { LogBeginning } from './log/log-types.ts';
import { Partition } from './partition/partition.ts';
import type { FollowTerm } from './partition/partition-state.ts';
import { ProducerState } from './partition/producer-state.ts';

export interface LeaderHint {
  readonly id: NodeId;
  readonly epoch: LeaderEpoch;
}

interface ReplicasPorts {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Told of the role that the image gives to a replica, each time it may have changed. */
export interface Roles {
  leading(name: PartitionName, partition: Partition): void;
  following(name: PartitionName, partition: Partition): void;
  /** Neither, or gone. */
  forget(name: PartitionName): void;
}

const nobody: Roles = { leading: () => undefined, following: () => undefined, forget: () => undefined };

interface Replica {
  readonly name: PartitionName;
  partition: Partition | undefined;
  /** Work on this partition, in order. */
  turn: Promise<void>;
  /** A look at the newest image that has not begun: the next one need not be waited for as well. */
  due: Promise<void> | undefined;
}

/** A replica that flushes each write while metadata does not say so yet (R6). */
export interface NewlyFlushing {
  readonly name: PartitionName;
  readonly partition: Partition;
  readonly leaderEpoch: LeaderEpoch;
  /** Metadata revision as of which it does. */
  readonly revision: bigint;
}

interface PutOff {
  readonly why: string;
  readonly waitMs: number;
  /** Monotonic, ms. */
  readonly retryAtMs: number;
}

export class Replicas {
  readonly #me: NodeId;
  readonly #directory: DataDirectory;
  readonly #ports: ReplicasPorts;
  readonly #replicas = new Map<TopicId, Map<number, Replica>>();
  #image: ClusterImage;
  /** The controller has let the current registration in: only then an epoch in the image is newer than it (R6). */
  #admitted = false;
  #stopping = false;
  /** Those that could not be opened: the others go on, and `retry` takes these up again. */
  readonly #putOff = new Map<Replica, PutOff>();
  readonly #newlyFlushing = new Map<Replica, NewlyFlushing>();
  /** Rings when there are more of {@link newlyFlushing}. */
  readonly flushing = new Bell();
  #roles: Roles = nobody;
  readonly clusterId: ClusterId;

  constructor(me: NodeId, directory: DataDirectory, ports: ReplicasPorts, image: ClusterImage) {
    assert(image.cluster !== undefined, 'the cluster id is known before replicas are opened');
    this.#me = me;
    this.#directory = directory;
    this.#ports = ports;
    this.#image = image;
    this.clusterId = image.cluster.clusterId;
  }

  /** @throws TributaryError UNKNOWN_TOPIC_ID, or NOT_LEADER_OR_FOLLOWER where another broker holds it. */
  find(topic: string, index: number): Partition {
    const replica = this.#replicas.get(topicId(topic))?.get(index);
    if (replica?.partition !== undefined) return replica.partition;
    const known = this.#image.topic(topicId(topic));
    if (known === undefined || known.phase === 'deleting') {
      throw new TributaryError(
        'UNKNOWN_TOPIC_ID',
        `No topic has the id "${topic.slice(0, 40)}" here: it was deleted, or is not yet known; refresh the metadata.`,
      );
    }
    if (index < 0 || index >= known.partitions) {
      throw new TributaryError(
        'UNKNOWN_TOPIC_OR_PARTITION',
        `Topic ${known.name} has ${known.partitions} partitions; there is no partition ${index}.`,
      );
    }
    const failed = replica === undefined ? undefined : this.#putOff.get(replica);
    if (failed !== undefined)
      throw new TributaryError('KAFKA_STORAGE_ERROR', `${known.name}-${index} could not be opened: ${failed.why}`);
    const leader = this.#image.partition(topicId(topic), partitionIndex(index))?.leader;
    const whom =
      leader === undefined || leader === this.#me ? 'refresh the metadata' : `broker ${leader} leads it, ask there`;
    throw new TributaryError(
      'NOT_LEADER_OR_FOLLOWER',
      `Broker ${this.#me} holds no open replica of ${known.name}-${index}: ${whom}.`,
    );
  }

  /** As of now: what it takes to answer as the leader. */
  leads(topic: string, index: number): boolean {
    return this.#replicas.get(topicId(topic))?.get(index)?.partition?.state.role.kind === 'leading';
  }

  /** As of now: it has a leader, and what that has committed. */
  follows(topic: string, index: number): boolean {
    return this.#replicas.get(topicId(topic))?.get(index)?.partition?.state.role.kind === 'following';
  }

  leaderOf(topic: string, index: number): LeaderHint | undefined {
    const info = this.#image.partition(topicId(topic), partitionIndex(index));
    return info?.leader === undefined ? undefined : { id: info.leader, epoch: info.leaderEpoch };
  }

  /** Before anything is followed. */
  set roles(roles: Roles) {
    this.#roles = roles;
  }

  /** Whose replicas they are. */
  get me(): NodeId {
    return this.#me;
  }

  /** Metadata has it, and it is not being deleted. */
  knows(topic: TopicId): boolean {
    const phase = this.#image.topic(topic)?.phase;
    return phase !== undefined && phase !== 'deleting';
  }

  nameOf(topic: TopicId): string | undefined {
    return this.#image.topic(topic)?.name;
  }

  /** Has any folder or open file of the topic. */
  has(topic: TopicId): boolean {
    return this.#replicas.has(topic);
  }

  *open(): Generator<{ readonly name: PartitionName; readonly partition: Partition }> {
    for (const byIndex of this.#replicas.values()) {
      for (const { name, partition } of byIndex.values()) if (partition !== undefined) yield { name, partition };
    }
  }

  /** Recovers what the directory holds, before registering: `suspects` go into the registration (L3, R6). */
  async recover(): Promise<readonly PartitionName[]> {
    const mine: PartitionName[] = [];
    for (const name of this.#directory.unopened) {
      const topic = this.#image.topic(name.topicId);
      if (this.#holds(this.#image.partition(name.topicId, name.partition))) {
        mine.push(name);
      } else if (topic?.phase === 'deleting') {
        await this.#directory.deletePartition(name);
      } else {
        this.#ports.logger.warn('replica-quarantined', { ...name, why: 'metadata does not place it here (M6)' });
        await this.#directory.quarantine(name);
      }
    }
    await inParallel(mine, (name) => this.#change(name));
    const suspects: PartitionName[] = [];
    for (const { name, partition } of this.open()) {
      const { health, producers } = partition.log;
      // P3: what it must take from others it gets by beginning anew, which only one may do that nobody could elect.
      if (health.suspect || (!producers.isWhole && this.#hasOthers(name))) suspects.push(name);
    }
    // Others may lead what cannot be opened here; of a sole replica there are no others.
    for (const { name } of this.failed()) if (this.#hasOthers(name)) suspects.push(name);
    return suspects;
  }

  #hasOthers({ topicId: topic, partition }: PartitionName): boolean {
    return (this.#image.partition(topic, partition)?.replicas.length ?? 1) > 1;
  }

  /** Follows the image. @param names those that may have changed. */
  async follow(image: ClusterImage, admitted: boolean, names: Iterable<PartitionName>): Promise<void> {
    this.#image = image;
    const all = admitted !== this.#admitted;
    this.#admitted = admitted;
    const changed = all ? [...this.#everyName()] : [...names];
    await inParallel(changed, (name) => this.#change(name));
  }

  *#everyName(): Generator<PartitionName> {
    for (const info of this.#image.partitions()) if (this.#holds(info)) yield info;
    for (const byIndex of this.#replicas.values()) for (const { name } of byIndex.values()) yield name;
  }

  #holds(info: Stored<PartitionInfo> | undefined): boolean {
    return (
      info?.replicas.some(
        (replica) => replica.nodeId === this.#me && replica.directoryId === this.#directory.directoryId,
      ) ?? false
    );
  }

  #change(name: PartitionName): Promise<void> {
    const replica = this.#replica(name);
    if (replica.due === undefined) {
      replica.due = replica.turn.then(() => {
        replica.due = undefined;
        return this.#orPutOff(replica, () => this.#settle(replica));
      });
      replica.turn = replica.due;
    }
    return replica.due;
  }

  #replica(name: PartitionName): Replica {
    let byIndex = this.#replicas.get(name.topicId);
    if (byIndex === undefined) {
      byIndex = new Map();
      this.#replicas.set(name.topicId, byIndex);
    }
    let replica = byIndex.get(name.partition);
    if (replica === undefined) {
      replica = {
        name: { topicId: name.topicId, partition: name.partition },
        partition: undefined,
        turn: Promise.resolve(),
        due: undefined,
      };
      byIndex.set(name.partition, replica);
    }
    return replica;
  }

  /** Takes up again what could not be opened: what had no room at each call, what failed otherwise after a while. */
  async retry(): Promise<void> {
    const now = this.#ports.clock.monotonicMs();
    const due = [...this.#putOff].filter(([, { retryAtMs }]) => retryAtMs <= now);
    await inParallel(due, ([{ name }]) => this.#change(name));
  }

  /** Those that could not be opened, and why. */
  *failed(): Generator<{ readonly name: PartitionName; readonly why: string }> {
    for (const [{ name }, { why }] of this.#putOff) yield { name, why };
  }

  /** One log that cannot be opened is no reason to keep the others from those who need them. */
  async #orPutOff(replica: Replica, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#putOff.delete(replica);
    } catch (thrown) {
      if (!(thrown instanceof TributaryError)) throw thrown;
      const before = this.#putOff.get(replica);
      const why = thrown.message;
      if (before === undefined) this.#ports.logger.warn('replica-put-off', { ...replica.name, why });
      const isFull = thrown.cause instanceof FileError && thrown.cause.reason === 'full';
      const waitMs = isFull ? 0 : Math.min(2 * (before?.waitMs ?? 0) || limits.failedLogMsMin, limits.failedLogMsMax);
      this.#putOff.set(replica, { why, waitMs, retryAtMs: this.#ports.clock.monotonicMs() + waitMs });
    }
  }

  /** Brings one replica to what the newest image wants of it. */
  async #settle(replica: Replica): Promise<void> {
    if (this.#stopping) return;
    const { topicId: topic, partition: index } = replica.name;
    const info = this.#image.partition(topic, index);
    const about = this.#image.topic(topic);
    if (info === undefined || about === undefined || !this.#holds(info)) {
      await this.#remove(replica);
      return;
    }
    const config = topicConfig(withBrokerDefaults(about.configs, this.#image.clusterConfigs));
    // Recovery goes by what acknowledgements meant so far; from now on `async` is only what both the settings and the key call so (R6).
    const flushPolicy = info.effectiveFlushPolicy;
    replica.partition ??= await this.#open(info, about.name, { ...config, flushPolicy });
    const { partition } = replica;
    partition.configure({ ...config, flushPolicy: config.flushPolicy === 'async' ? flushPolicy : 'commit' });
    this.#noteFlushing(replica, partition, info, config.flushPolicy === 'commit' && flushPolicy === 'async');
    const isMember = info.isr.includes(this.#me) || info.eligibleLeaderReplicas.includes(this.#me);
    // The admitted registration named it: it has left, and what it catches up with is whole (L3).
    if (partition.log.health.suspect && this.#admitted && !isMember) await partition.log.clearSuspect();
    // The controller gives no new epochs to what is being deleted: one from before this registration must not be led in (R6).
    const isGoing = about.phase === 'deleting';
    if (info.leader === this.#me && this.#admitted && !isGoing) {
      // What follows is over before the log is led; a leadership that goes on keeps its proposal, which nothing but the image or its answer ends (M4).
      if (partition.state.leadership?.epoch !== info.leaderEpoch) this.#roles.forget(replica.name);
      await partition.lead({
        epoch: info.leaderEpoch,
        partitionEpoch: info.partitionEpoch,
        isr: info.isr,
        replicas: info.replicas.map((each) => each.nodeId),
        minIsr: info.effectiveMinIsr,
      });
      this.#roles.leading(replica.name, partition);
    } else if (info.leader !== undefined && info.leader !== this.#me && this.#admitted) {
      const { leader, leaderEpoch: epoch, uncleanEpoch } = info;
      await partition.follow({ leader, epoch, uncleanEpoch });
      this.#roles.following(replica.name, partition);
    } else {
      this.#roles.forget(replica.name);
      partition.wait(isGoing ? 'its topic is being deleted' : this.#whyNotLeading(info));
    }
  }

  /**
   * Empties a follower's log, which begins anew where its leader's does (L4, L5, P3); the role is then given again.
   * @param partition that is meant, and the term under which it was told to: nothing happens where either is another by now.
   */
  restart(name: PartitionName, partition: Partition, term: FollowTerm, beginsAt: LogBeginning): Promise<void> {
    const replica = this.#replica(name);
    replica.turn = replica.turn.then(async () => {
      const { role } = partition.state;
      const isMeant = replica.partition === partition && role.kind === 'following' && role.term === term;
      if (!isMeant || this.#stopping) return;
      replica.partition = undefined;
      this.#roles.forget(name);
      // Put off, or a disk without room would have it emptied again and again.
      await this.#orPutOff(replica, async () => {
        await this.#restart(replica, partition, beginsAt);
        await this.#settle(replica);
      });
    });
    return replica.turn;
  }

  async #restart(replica: Replica, partition: Partition, beginsAt: LogBeginning): Promise<void> {
    const { name } = replica;
    await partition.close();
    const { config, name: label } = partition.state;
    const producers = new ProducerState(partition.state.producers.isInternal);
    const options = { config, role: 'member', replay: producers, beginsAt } as const;
    const log = await this.#directory.restartLog(name.topicId, name.partition, options);
    this.#ports.logger.info('replica-restarted', { partition: label, at: beginsAt.start.toString() });
    replica.partition = new Partition(this.#me, label, config, log, producers, this.#ports.clock);
  }

  /** Those whose word metadata waits for. */
  newlyFlushing(): Iterable<NewlyFlushing> {
    return this.#newlyFlushing.values();
  }

  #noteFlushing(replica: Replica, partition: Partition, info: PartitionInfo, isNews: boolean): void {
    if (!isNews) {
      this.#newlyFlushing.delete(replica);
      return;
    }
    const { name } = replica;
    const { leaderEpoch } = info;
    this.#newlyFlushing.set(replica, { name, partition, leaderEpoch, revision: this.#image.revision });
    this.flushing.ring();
  }

  #whyNotLeading(info: PartitionInfo): string {
    if (info.leader === undefined) return 'it has no leader now';
    if (info.leader !== this.#me) return `broker ${info.leader} leads it in epoch ${info.leaderEpoch}`;
    return 'the controller has not yet admitted the registration of this broker (R6)';
  }

  async #open(info: PartitionInfo, topic: string, config: TopicConfig): Promise<Partition> {
    const label = `${topic}-${info.partition}`;
    const producers = new ProducerState(isInternalTopic(topic));
    const role = info.replicas.length === 1 ? 'sole' : 'member';
    const log = await this.#directory.openLog(info.topicId, info.partition, { config, role, replay: producers });
    const { how, scannedBytes, cutBytes } = log.recovery;
    if (how !== 'clean' && how !== 'created')
      this.#ports.logger.info('log-recovered', { partition: label, how, scannedBytes, cutBytes });
    if (log.health.possibleLoss)
      this.#ports.logger.warn('possible-loss', { partition: label, damaged: log.health.damaged });
    return new Partition(this.#me, label, config, log, producers, this.#ports.clock);
  }

  async #remove(replica: Replica): Promise<void> {
    const { name, partition } = replica;
    const deleted = this.#image.topic(name.topicId)?.phase === 'deleting';
    this.#newlyFlushing.delete(replica);
    this.#roles.forget(name);
    if (partition !== undefined) {
      replica.partition = undefined;
      await partition.close();
      await (deleted ? this.#directory.deletePartition(name) : this.#directory.quarantine(name));
    } else if (deleted && this.#putOff.has(replica)) {
      // Its folder may be there, half made.
      await this.#directory.deletePartition(name);
    }
    const byIndex = this.#replicas.get(name.topicId);
    byIndex?.delete(name.partition);
    if (byIndex?.size === 0) this.#replicas.delete(name.topicId);
  }

  /** Closes all: what was accepted is written and flushed. */
  async close(): Promise<void> {
    this.#stopping = true;
    const open = [...this.#replicas.values()].flatMap((byIndex) => [...byIndex.values()]);
    await inParallel(open, async (replica) => {
      await replica.turn;
      await replica.partition?.close();
    });
  }
}

/** At most limits.partitionsOpenedAtOnce at a time. */
async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const remaining = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (const item of remaining) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(items.length, limits.partitionsOpenedAtOnce) }, worker));
}
