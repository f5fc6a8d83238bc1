import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterImage, type PartitionInfo, type RegistrationInfo } from '@tributary/metadata';
import {
  directoryId,
  incarnationId,
  leaderEpoch,
  MemoryBudget,
  nodeId,
  partitionEpoch,
  partitionIndex,
  topicId,
} from '@tributary/model';
import type { Peer, Stream } from '@tributary/ports';
import { Acks, type ProduceRequest, type ProduceResponse } from '@tributary/wire';
import type { Replicas } from '../../src/replicas.ts';
import { Neighbours } from '../../src/rpc/neighbours.ts';
import { produceHandler } from '../../src/rpc/produce.ts';

const [leader, topic] = [nodeId(2), topicId('topic')];

const registration: RegistrationInfo = {
  nodeId: leader,
  incarnationId: incarnationId('incarnation'),
  directoryId: directoryId('directory'),
  address: 'broker-2:9095',
  host: 'host-2',
  rack: '',
  versionMin: 1,
  versionMax: 1,
  lossy: false,
  suspects: [],
  configs: {},
};

const led: PartitionInfo = {
  topicId: topic,
  partition: partitionIndex(0),
  leader,
  leaderEpoch: leaderEpoch(3),
  partitionEpoch: partitionEpoch(0),
  replicas: [{ nodeId: leader, directoryId: registration.directoryId }],
  isr: [leader],
  eligibleLeaderReplicas: [],
  lastMembers: [],
  adding: [],
  removing: [],
  effectiveMinIsr: 1,
  effectiveFlushPolicy: 'commit',
  uncleanEpoch: undefined,
  possibleLoss: false,
};

const { image } = ClusterImage.empty.apply(1n, [
  { kind: 'put', value: { kind: 'registration', value: registration }, createRevision: 1n, modRevision: 1n },
  { kind: 'put', value: { kind: 'partition', value: led }, createRevision: 1n, modRevision: 1n },
]);

const nothingQueued = {
  queuedBytes: 0,
  writable: () => Promise.resolve(),
  end: () => undefined,
};

/** A leader that takes everything and answers nothing; resolves `sent` with what it was told first. */
function silentLeader(sent: (request: ProduceRequest) => void): Peer {
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);
  const stream: Stream<ProduceRequest, ProduceResponse> = {
    ...nothingQueued,
    send: sent,
    cancel: () => broken.reject(new Error('broken off')),
    [Symbol.asyncIterator]: () => ({ next: () => broken.promise }),
  };
  return {
    address: registration.address,
    unary: () => broken.promise,
    stream: () => stream as unknown as Stream<never, never>,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

test('what was passed on and not answered is held no longer than the stream of the client that sent it', async () => {
  const passedOn = Promise.withResolvers<ProduceRequest>();
  const source = { current: image, until: () => new Promise<never>(() => undefined) };
  const transport = { connect: () => silentLeader(passedOn.resolve) };
  const neighbours = new Neighbours(nodeId(1), source, transport, { monotonicMs: () => 0 });
  const replicas = { clusterId: '', leads: () => false } as unknown as Replicas;
  const observer = { produced: () => undefined, refused: () => undefined, answered: () => undefined };
  const clock = { monotonicMs: () => 0, wallMs: () => 0, sleep: () => new Promise<never>(() => undefined) };
  const budget = new MemoryBudget(10_000, 10_000);
  const broken = Promise.withResolvers<never>();
  const client: Stream<ProduceResponse, ProduceRequest> = {
    ...nothingQueued,
    send: () => undefined,
    cancel: () => undefined,
    async *[Symbol.asyncIterator]() {
      const batch = { correlationId: 7, topicId: topic, partition: 0, leaderEpoch: 3, records: new Uint8Array(1_000) };
      yield { context: undefined, acks: Acks.ALL, timeoutMs: 1_000, transactionalId: '', batches: [batch] };
      await broken.promise;
    },
  };
  const serving = produceHandler({ replicas, neighbours, clock, observer })(client, {
    peer: 'client',
    signal: new AbortController().signal,
    memory: budget.connection(),
  });
  assert.equal((await passedOn.promise).batches[0]?.records.length, 1_000);
  assert.deepEqual([budget.used, budget.fixed], [1_000, 1_000]);
  broken.reject(new Error('The client is gone.'));
  await assert.rejects(serving, /The client is gone/);
  assert.deepEqual([budget.used, budget.fixed], [0, 0]);
});
