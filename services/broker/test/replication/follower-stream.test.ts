import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ImageSource } from '@tributary/metadata';
import {
  brokerEpoch,
  clusterId,
  leaderEpoch,
  limits,
  nodeId,
  offset,
  partitionIndex,
  TributaryError,
} from '@tributary/model';
import type { Peer, Stream } from '@tributary/ports';
import { AttachOutcome, ErrorCode, type ReplicateRequest, type ReplicateResponse } from '@tributary/wire';
import { MachineClock } from '../../../../tests/simulator/clock.ts';
import type { Partition } from '../../src/partition/partition.ts';
import { FollowedReplica } from '../../src/replication/followed-replica.ts';
import { FollowerStream } from '../../src/replication/follower-stream.ts';
import { silent, topic } from '../log/harness.ts';
import { type Bench, onSimulatedDisk } from '../log/on-disk.ts';

const unsaid = {
  errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER,
  errorMessage: 'not yet',
  epoch: -1,
  endOffset: 0n,
  restartOffset: 0n,
  producersEnd: 0n,
  producers: new Uint8Array(0),
  tombstonesGone: 0n,
};

/** A leader's broker that leads nothing until it is told to. */
class LateLeader implements Stream<ReplicateRequest, ReplicateResponse> {
  leads = false;
  /** What it answers until then. */
  refusal: AttachOutcome = AttachOutcome.REFUSED;
  /** How often it was asked. */
  attaches = 0;
  readonly queuedBytes = 0;
  readonly #answers: ReplicateResponse[] = [];
  #wake: () => void = () => undefined;
  #isOver = false;

  send({ attach }: ReplicateRequest): void {
    if (attach.length === 0) return;
    this.attaches += attach.length;
    const outcome = this.leads ? AttachOutcome.AGREED : this.refusal;
    this.#answers.push({ attached: attach.map(({ session }) => ({ ...unsaid, session, outcome })), pushes: [] });
    this.#wake();
  }

  writable(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {}

  cancel(): void {
    this.#isOver = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReplicateResponse> {
    while (!this.#isOver) {
      const next = this.#answers.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** An empty one. */
function aReplica(index: number): FollowedReplica {
  const log = {
    latestEpoch: undefined,
    endOffset: offset(0n),
    startOffset: offset(0n),
    tombstonesGone: offset(0n),
    producers: { isWhole: true },
  };
  const partition = {
    log,
    startOffset: log.startOffset,
    state: { name: `t-${index}`, durable: offset(0n), staged: offset(0n), written: offset(0n) },
    quiet: () => Promise.resolve(),
  };
  const term = { epoch: leaderEpoch(3), leader: nodeId(1), uncleanEpoch: undefined };
  const name = { topicId: topic, partition: partitionIndex(index) };
  return new FollowedReplica(name, partition as unknown as Partition, term);
}

function streamTo(leader: LateLeader, scheduler: Bench['scheduler']): FollowerStream {
  const peer: Partial<Peer> = {
    // Nothing else is asked of it.
    stream: (_method, signal) => {
      signal.addEventListener('abort', () => leader.cancel(), { once: true });
      return leader as unknown as Stream<never, never>;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const broker = { registration: { address: 'b1:1' } };
  return new FollowerStream(
    { leader: nodeId(1), catchingUp: false, moveToOther: () => undefined },
    {
      me: nodeId(2),
      clusterId: clusterId('c'),
      images: { current: { broker: () => broker } } as unknown as ImageSource,
      transport: { connect: () => peer as Peer },
      clock: new MachineClock(scheduler).forProcess(() => true),
      logger: silent,
      brokerEpoch: () => brokerEpoch(7n),
      restart: () => Promise.resolve(),
    },
  );
}

test('after an election of many leaders nobody waits for the refusals of the others', async () => {
  await onSimulatedDisk('late leader', async ({ scheduler }) => {
    const leader = new LateLeader();
    const stream = streamTo(leader, scheduler);
    const replicas = Array.from({ length: 100 }, (_, index) => aReplica(index));
    for (const replica of replicas) stream.add(replica);
    await scheduler.pause(30_000);
    leader.leads = true;
    await scheduler.pause(100_000);
    assert.equal(replicas.filter(({ state }) => state === 'attached').length, 100);
    for (const replica of replicas) stream.remove(replica);
    await stream.close();
  });
});

test('R2: a cut for which the disk has no room is tried again after a while, not at once', async () => {
  await onSimulatedDisk('no room to cut', async ({ scheduler }) => {
    const leader = new LateLeader();
    leader.refusal = AttachOutcome.DIVERGES;
    const stream = streamTo(leader, scheduler);
    const replica = aReplica(0);
    Object.assign(replica.partition, {
      // Whoever tried at once would try for ever.
      cut: () =>
        leader.attaches > 10
          ? new Promise(() => undefined)
          : Promise.reject(new TributaryError('KAFKA_STORAGE_ERROR', 'the disk is full')),
    });
    Object.assign(replica.partition.log, { endOffsetFor: () => undefined });
    stream.add(replica);
    await scheduler.pause(2.5 * limits.replicaRetryMsMax * 1_000);
    assert.equal(leader.attaches, 3);
    leader.leads = true;
    await scheduler.pause(limits.replicaRetryMsMax * 1_000);
    assert.equal(replica.state, 'attached');
    stream.remove(replica);
    await stream.close();
  });
});
