/** All replicas of this broker that follow somebody: two streams to each broker that leads one, one for those in step and one for those far behind (R9). */
import { type PartitionName, partitionKey } from '@tributary/metadata';
import { assert, type NodeId } from '@tributary/model';
import type { Partition } from '../partition/partition.ts';
import { FollowedReplica } from './followed-replica.ts';
import { type FollowerPorts, FollowerStream } from './follower-stream.ts';

interface Streams {
  readonly live: FollowerStream;
  readonly catchUp: FollowerStream;
}

export class Followers implements AsyncDisposable {
  readonly #ports: FollowerPorts;
  readonly #replicas = new Map<string, FollowedReplica>();
  readonly #streams = new Map<NodeId, Streams>();

  constructor(ports: FollowerPorts) {
    this.#ports = ports;
  }

  /** The partition's role is `following`. Nothing changes where it has been in the same epoch. */
  follow(name: PartitionName, partition: Partition): void {
    const { role } = partition.state;
    assert(role.kind === 'following', 'who follows has a leader');
    const key = partitionKey(name);
    const before = this.#replicas.get(key);
    if (before !== undefined && before.partition === partition && before.term === role.term) return;
    this.forget(name);
    const replica = new FollowedReplica(name, partition, role.term);
    this.#replicas.set(key, replica);
    this.#to(role.term.leader).live.add(replica);
  }

  forget(name: PartitionName): void {
    const key = partitionKey(name);
    const replica = this.#replicas.get(key);
    if (replica === undefined) return;
    this.#replicas.delete(key);
    replica.isOver = true;
    const streams = this.#streams.get(replica.term.leader);
    streams?.live.remove(replica);
    streams?.catchUp.remove(replica);
  }

  #to(leader: NodeId): Streams {
    const before = this.#streams.get(leader);
    if (before !== undefined) return before;
    const stream = (catchingUp: boolean): FollowerStream =>
      new FollowerStream(
        { leader, catchingUp, moveToOther: (replica) => this.#move(replica, !catchingUp) },
        this.#ports,
      );
    const streams = { live: stream(false), catchUp: stream(true) };
    this.#streams.set(leader, streams);
    return streams;
  }

  #move(replica: FollowedReplica, isCatchingUp: boolean): void {
    if (replica.isOver) return;
    const { live, catchUp } = this.#to(replica.term.leader);
    (isCatchingUp ? catchUp : live).add(replica);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const replica of this.#replicas.values()) this.forget(replica.name);
    await Promise.all([...this.#streams.values()].flatMap(({ live, catchUp }) => [live.close(), catchUp.close()]));
  }
}
