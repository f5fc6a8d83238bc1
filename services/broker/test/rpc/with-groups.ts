/** Brokers and coordinators on simulated machines, and members of groups as clients play them that know nothing but the record level. */
import { TributaryError } from '@tributary/model';
import {
  type CommitResponse,
  type GroupAssignment,
  type GroupSubscription,
  methods,
  OffsetReset,
  type SubscribeRequest,
} from '@tributary/wire';
import { coordinatorProgram } from '../../../../tests/simulator/cluster.ts';
import type { SimulatedProcess } from '../../../../tests/simulator/process.ts';
import { type Calls, context, type Subscribed } from './one-broker.ts';
import { type Brokers, withBrokers } from './several-brokers.ts';

const deadlineMs = 60_000;

export interface Groups extends Brokers {
  /** The process of the coordinator 11, 12, … */
  coordinator(nodeId: number): SimulatedProcess;
}

/** Runs the story against brokers 1, 2, … and coordinators 11, 12, … that serve. */
export async function withGroups(
  seed: number,
  brokerCount: number,
  coordinatorCount: number,
  story: (groups: Groups) => Promise<void>,
): Promise<void> {
  await withBrokers(seed, brokerCount, async (brokers) => {
    const processes = Array.from({ length: coordinatorCount }, (_, index) => {
      const name = `g${index + 1}`;
      const place = { machine: name, nodeId: 11 + index, sessionTimeoutMs: 2_000 };
      return brokers.world.machine(name).start('coordinator', coordinatorProgram(place));
    });
    await brokers
      .at(1)
      .createTopic('__consumer_offsets', 4, { 'cleanup.policy': 'compact' })
      .catch(() => undefined);
    await story({
      ...brokers,
      coordinator: (nodeId) => {
        const process = processes[nodeId - 11];
        if (process === undefined) throw new Error(`there is no coordinator ${nodeId}`);
        return process;
      },
    });
  });
}

/** From the beginning, with what is said instead. */
export const asMember = (groupId: string, rest: Partial<GroupSubscription> = {}): GroupSubscription => ({
  groupId,
  instanceId: '',
  sessionTimeoutMs: 0,
  topicPattern: '',
  assignor: '',
  rack: '',
  autoOffsetReset: OffsetReset.EARLIEST,
  autoRelease: false,
  autoCommitIntervalMs: 0,
  ...rest,
});

export const subscribedTo = (topic: string): SubscribeRequest['topics'][number] => ({
  topic,
  partitions: [],
  start: undefined,
  positions: [],
});

/** A member at a broker, and what it has been told. */
export class Member {
  readonly calls: Calls;
  readonly groupId: string;
  readonly read: Subscribed;

  constructor(calls: Calls, topic: string, group: GroupSubscription, rest: Partial<SubscribeRequest> = {}) {
    this.calls = calls;
    this.groupId = group.groupId;
    this.read = calls.subscribe({ topics: [subscribedTo(topic)], group, ...rest });
  }

  get assignment(): GroupAssignment | undefined {
    return this.read.answers.findLast(({ assignment }) => assignment !== undefined)?.assignment;
  }

  get partitions(): readonly number[] {
    return (this.assignment?.partitions ?? []).map(({ partition }) => partition).sort((one, other) => one - other);
  }

  /** Resolves when it is to read so many partitions, and to release so many. */
  async has(partitions: number, toRelease = 0): Promise<void> {
    await this.read.until(
      () => this.assignment?.partitions.length === partitions && this.assignment.toRelease.length === toRelease,
    );
  }

  async release(through: Calls = this.calls): Promise<void> {
    const { memberId = '', memberEpoch = 0, version = 0n } = this.assignment ?? {};
    await through.peer.unary(
      methods.release,
      { context, groupId: this.groupId, memberId, memberEpoch, version },
      { deadlineMs },
    );
  }

  commit(topic: string, partition: number, offset: bigint, through: Calls = this.calls): Promise<CommitResponse> {
    const { memberId = '', memberEpoch = 0 } = this.assignment ?? {};
    const offsets = [{ topic, partition, offset, metadata: '', topicId: '' }];
    return through.peer.unary(
      methods.commit,
      { context, groupId: this.groupId, memberId, memberEpoch, offsets },
      { deadlineMs },
    );
  }
}

/** What a group has committed, as any broker says. */
export async function committed(calls: Calls, groupId: string): Promise<readonly string[]> {
  const request = { context, groupId, partitions: [], memberId: '', memberEpoch: 0 };
  const { offsets } = await calls.peer.unary(methods.fetchOffsets, request, { deadlineMs });
  return offsets.map(({ partition, offset }) => `${partition}:${offset}`).sort();
}

/** The error's name; '': there was none. */
export async function refused(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return '';
  } catch (thrown) {
    return TributaryError.from(thrown).error;
  }
}
