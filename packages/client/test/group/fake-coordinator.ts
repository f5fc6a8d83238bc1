/** A coordinator in memory that gives out what the test says: enough of the rules to judge a member by (G3, G4, G5). */
import { type ErrorName, errorTable } from '@tributary/model';
import {
  type CommitOffsetsRequest,
  type ErrorCode,
  type FetchOffsetsRequest,
  type GroupPartition,
  type HeartbeatRequest,
  type JoinRequest,
  type MemberRequest,
  type MemberResponse,
  methods,
} from '@tributary/wire';
import type { World } from '../world.ts';

interface Member {
  epoch: number;
  version: bigint;
  assigned: readonly GroupPartition[];
  applied: bigint;
  send: ((message: unknown) => void) | undefined;
}

export class FakeCoordinator {
  readonly members = new Map<string, Member>();
  /** Everything that was heard, in order. */
  readonly log: string[] = [];
  /** By topic id and partition. */
  readonly offsets = new Map<string, bigint>();
  sessionTimeoutMs = 10_000;
  heartbeatIntervalMs = 1_000;
  /** Where the group is; what is asked elsewhere is refused. */
  owner = 1;
  lookUps = 0;
  /** Signs of life are swallowed. */
  isSilent = false;
  /** What every commit is refused with. */
  commitError: ErrorName | undefined;
  readonly #world: World;
  #fenced: ErrorName | undefined;

  constructor(world: World) {
    this.#world = world;
    const { cluster } = world;
    cluster.answers.set(methods.findCoordinator.path, () => {
      this.lookUps++;
      const address = cluster.brokers.get(this.owner) ?? '';
      return { throttleMs: 0, nodeId: this.owner, address, partition: 0, writerEpoch: BigInt(this.owner) };
    });
    cluster.answers.set(methods.commitOffsets.path, (request: CommitOffsetsRequest, nodeId) =>
      this.#commit(request, nodeId),
    );
    cluster.answers.set(methods.fetchOffsets.path, ({ partitions }: FetchOffsetsRequest) => {
      const offsets = partitions.map(({ topicId, partition }) => {
        const offset = this.offsets.get(`${topicId}/${partition}`) ?? -1n;
        return { topicId, partition, offset, leaderEpoch: -1, metadata: '', committedMs: 0n };
      });
      return { throttleMs: 0, offsets };
    });
    cluster.answers.set(methods.heartbeat.path, ({ member }: HeartbeatRequest) => {
      this.log.push(`left ${member?.memberEpoch}`);
      this.members.delete(member?.memberId ?? '');
      return { throttleMs: 0, member: undefined };
    });
    cluster.streams.set(methods.join.path, (_, send) => ({
      message: (message) => {
        const { member } = message as JoinRequest;
        if (member !== undefined && !this.isSilent) this.#heard(member, send);
      },
      over: () => {
        for (const member of this.members.values()) if (member.send === send) member.send = undefined;
      },
    }));
  }

  /** The only member there is. */
  get one(): Member {
    const [member] = this.members.values();
    if (member === undefined) throw new Error('nobody has joined');
    return member;
  }

  /** Partitions of the topic for the only member, from now on. */
  give(topic: string, partitions: readonly number[]): void {
    const topicId = this.#world.cluster.topics.get(topic)?.id ?? '';
    const [memberId = ''] = this.members.keys();
    const { one } = this;
    one.version++;
    one.epoch++;
    one.assigned = partitions.map((partition) => ({ topicId, partition }));
    one.send?.({ member: this.#answer(memberId, 0n, true) });
  }

  /** The only member's membership is over; it hears so with its next sign of life. */
  fence(error: ErrorName): void {
    this.members.clear();
    this.#fenced = error;
  }

  #heard(request: MemberRequest, send: (message: unknown) => void): void {
    const { memberId, sequence } = request;
    if (this.#fenced !== undefined && request.memberEpoch > 0) {
      send({ member: this.#refusal(this.#fenced, memberId, sequence) });
      this.#fenced = undefined;
      return;
    }
    let member = this.members.get(memberId);
    if (member === undefined) {
      this.log.push(`joined ${request.subscription?.topics.join()}`);
      member = { epoch: 1, version: 0n, assigned: [], applied: 0n, send };
      this.members.set(memberId, member);
    }
    const isFirst = member.send !== send;
    member.send = send;
    if (request.appliedVersion > member.applied) {
      member.applied = request.appliedVersion;
      this.log.push(`applied ${member.applied}`);
    }
    send({ member: this.#answer(memberId, sequence, isFirst) });
  }

  #answer(memberId: string, sequence: bigint, isWhole: boolean): MemberResponse {
    const { epoch, version, assigned } = this.members.get(memberId) ?? { epoch: 0, version: 0n, assigned: [] };
    const assignment = isWhole ? { version, partitions: [...assigned] } : undefined;
    const { heartbeatIntervalMs, sessionTimeoutMs } = this;
    return {
      ...{ throttleMs: 0, errorCode: 0, errorMessage: '', memberId, memberEpoch: epoch, sequence },
      ...{ heartbeatIntervalMs, sessionTimeoutMs, assignment, task: undefined },
    };
  }

  #refusal(error: ErrorName, memberId: string, sequence: bigint): MemberResponse {
    const errorCode = errorTable[error].code as ErrorCode;
    return { ...this.#answer(memberId, sequence, false), errorCode, errorMessage: 'on request of the test' };
  }

  #commit({ offsets, memberId }: CommitOffsetsRequest, nodeId: number): unknown {
    const error =
      nodeId !== this.owner
        ? 'NOT_COORDINATOR'
        : (this.commitError ?? (memberId === '' || this.members.has(memberId) ? undefined : 'UNKNOWN_MEMBER_ID'));
    const results = offsets.map(({ topicId, partition, offset }) => {
      if (error !== undefined) return { errorCode: errorTable[error].code, errorMessage: error };
      this.log.push(`committed ${partition}@${offset}`);
      this.offsets.set(`${topicId}/${partition}`, offset);
      return { errorCode: 0, errorMessage: '' };
    });
    return { throttleMs: 0, results };
  }
}
