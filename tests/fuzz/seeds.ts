/** One well-formed request for each call of the API: what the mutations start from. A new call without one does not compile. */
import type { TopicId } from '@tributary/model';
import type { Codec } from '@tributary/ports';
import { encodeBatch } from '@tributary/record';
import {
  Acks,
  ConfigOperationType,
  ConfigResourceType,
  ElectionType,
  IsolationLevel,
  type methods,
  OffsetReset,
  OffsetSpec,
  PartRole,
} from '@tributary/wire';

type Methods = typeof methods;
type Request<Name extends keyof Methods> = Methods[Name]['request'] extends Codec<infer Message> ? Message : never;
export type Seeds = { readonly [Name in keyof Methods]: Request<Name> };

const context = {
  clusterId: '',
  clientId: 'fuzz',
  principal: '',
  originalPrincipal: '',
  host: '',
  hops: 0,
  minRevision: 0n,
};

/** @param victim a topic that nobody misses, just created: its leader epoch is 0. */
export function seeds(victim: string, topicId: TopicId): Seeds {
  const place = { topicId, partition: 0, leaderEpoch: 0 };
  const records = encodeBatch([
    { key: 'k', value: 'v'.repeat(50), timestamp: 1_700_000_000_000 },
    { key: null, value: 'w', timestamp: 1_700_000_000_001 },
  ]);
  const operations = [{ name: 'retention.ms', operation: ConfigOperationType.SET, value: '3600000' }];
  const topic = { context, resourceType: ConfigResourceType.TOPIC, resourceName: victim };
  const member = {
    context,
    groupId: 'fuzz',
    memberId: 'abcdefghijklmnopqrstuv',
    memberEpoch: 0,
    appliedVersion: 0n,
    subscription: {
      instanceId: 'place',
      topics: [victim],
      topicPattern: 'v.*',
      assignor: 'client:own',
      clientAssignors: ['own'],
      userData: Buffer.from('data'),
      rack: 'a',
      sessionTimeoutMs: 10_000,
      maxPollIntervalMs: 300_000,
    },
    sincePollMs: 0n,
    computed: {
      groupEpoch: 1,
      members: [{ memberId: 'abcdefghijklmnopqrstuv', partitions: [{ topicId, partition: 0 }] }],
      errorMessage: '',
    },
    sequence: 1n,
  };
  const ofMember = { context, groupId: 'fuzz', memberId: 'abcdefghijklmnopqrstuv', memberEpoch: 1 };
  const committed = { topicId, partition: 0, offset: 1n, metadata: 'note' };
  return {
    produce: {
      context,
      acks: Acks.ALL,
      timeoutMs: 1_000,
      transactionalId: '',
      batches: [
        { correlationId: 7, ...place, records },
        { correlationId: 8, ...place, records, writerEpoch: 1n },
      ],
    },
    fetch: {
      context,
      rack: '',
      isolationLevel: IsolationLevel.READ_UNCOMMITTED,
      open: [{ ...place, generation: 1, offset: 0n, lastEpoch: -1, creditLimit: 100_000n }],
      credit: [{ topicId, partition: 0, generation: 1, creditLimit: 200_000n }],
      close: [{ topicId, partition: 1 }],
      fromFollower: false,
    },
    listOffsets: { context, partitions: [{ ...place, spec: OffsetSpec.TIMESTAMP, timestampMs: 1_700_000_000_000n }] },
    deleteRecords: { context, partitions: [{ ...place, beforeOffset: 1n }], validateOnly: false },
    previewRetention: { context, topicId, configs: { 'retention.ms': '1000' } },
    measureLag: { context, partitions: [{ topicId, partition: 0, offsets: [0n, 1n] }] },
    publish: {
      context,
      topic: victim,
      records: [
        {
          key: Buffer.from('key'),
          value: Buffer.from('value'),
          headers: [{ key: 'h', value: Buffer.from('1') }],
          timestampMs: 1_700_000_000_000n,
          partition: 1,
        },
        { headers: [] },
      ],
      partition: 0,
      acks: Acks.ALL,
      timeoutMs: 1_000,
      sequence: undefined,
    },
    subscribe: {
      context,
      topics: [
        {
          topic: victim,
          partitions: [0],
          start: { position: { $case: 'beginning', value: true } },
          positions: [{ partition: 0, start: { position: { $case: 'offset', value: 0n } } }],
        },
      ],
      isolationLevel: IsolationLevel.READ_UNCOMMITTED,
      creditBytes: 100_000n,
      stopAtEnd: true,
      group: {
        groupId: 'fuzz',
        instanceId: '',
        sessionTimeoutMs: 10_000,
        topicPattern: 'v.*',
        assignor: 'range',
        rack: 'a',
        autoOffsetReset: OffsetReset.EARLIEST,
        autoRelease: true,
        autoCommitIntervalMs: 1_000,
      },
    },
    commit: { ...ofMember, offsets: [{ ...committed, topic: victim }] },
    release: { ...ofMember, version: 1n },
    grantCredit: { context, subscriptionId: 'none', creditLimit: 1_000n },
    describeBroker: { context, nodeId: -1 },
    describeCoordinator: { context },
    describeLogDirs: { context, nodeId: -1, topicIds: [topicId] },
    getMetadata: { context, topics: [victim], allTopics: false, topicIds: [] },
    initProducerId: { context, transactionalId: '' },
    createTopic: {
      context,
      name: `${victim}-created`,
      partitions: 1,
      replicationFactor: 1,
      configs: { 'retention.ms': '1000' },
      validateOnly: false,
    },
    deleteTopic: { context, name: `${victim}-created` },
    listTopics: { context },
    describeTopic: { context, name: victim },
    createPartitions: { context, name: victim, totalCount: 4, validateOnly: true },
    alterConfigs: { ...topic, operations, validateOnly: false },
    describeConfigs: topic,
    reportFlushed: { context, brokerId: 1, brokerEpoch: 1n, replicas: [{ ...place, revision: 0n }] },
    allocateProducerIds: { context, brokerId: 1, brokerEpoch: 1n },
    describeCluster: { context },
    electLeaders: {
      context,
      electionType: ElectionType.PREFERRED,
      topics: [{ topic: victim, partitions: [0] }],
      validateOnly: true,
    },
    attend: {
      hello: {
        context,
        brokerId: 99,
        brokerEpoch: 1n,
        incarnationId: 'none',
        streamNumber: 1n,
        controllerTerm: 1n,
        role: PartRole.COORDINATOR,
      },
      proposals: [{ proposalId: 1n, ...place, partitionEpoch: 0, isr: [{ nodeId: 99, brokerEpoch: 1n }] }],
      leaving: false,
    },
    ensureOffsetsTopic: { context },
    describeController: { context },
    findCoordinator: { context, groupId: 'fuzz' },
    join: { member },
    heartbeat: { member },
    commitOffsets: {
      ...ofMember,
      offsets: [{ ...committed, leaderEpoch: 0 }],
      sequence: 1n,
      validateOnly: false,
    },
    fetchOffsets: { ...ofMember, partitions: [{ topicId, partition: 0 }] },
    deleteOffsets: { context, groupId: 'fuzz', partitions: [{ topicId, partition: 0 }] },
    listGroups: { context },
    describeGroups: { context, groupIds: ['fuzz'], includeLag: true },
    deleteGroups: { context, groupIds: ['fuzz'], validateOnly: true },
    replicate: {
      context,
      brokerId: 99,
      brokerEpoch: 1n,
      catchingUp: false,
      attach: [
        {
          session: 1,
          ...place,
          lastEpoch: -1,
          endOffset: 0n,
          logStartOffset: 0n,
          needsRestart: false,
          tombstonesGone: 0n,
        },
      ],
      acknowledgements: [{ session: 1, endOffset: 1n, logStartOffset: 0n }],
      detach: [1],
    },
  };
}
