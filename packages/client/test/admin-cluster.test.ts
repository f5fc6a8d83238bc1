import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TributaryError } from '@tributary/model';
import {
  BrokerStanding,
  CoordinatorStanding,
  type DescribeClusterResponse,
  ElectionType,
  type ElectLeadersRequest,
  type ElectLeadersResponse,
  ErrorCode,
  methods,
} from '@tributary/wire';
import { failsWith } from './fails-with.ts';
import { type World, world } from './world.ts';

function brokerOf(nodeId: number, standing: BrokerStanding): DescribeClusterResponse['brokers'][number] {
  const place = { address: `broker-${nodeId}:9095`, host: `host-${nodeId}`, rack: '', directoryId: 'd' };
  return { nodeId, ...place, standing, brokerEpoch: 7n, replicas: 3, inSync: 2, leading: 1 };
}

test('a report names every broker and coordinator in the order of its id, with its state, and what is wrong with which partitions', async () => {
  await using w = await world();
  const standings = [
    BrokerStanding.ACTIVE,
    BrokerStanding.FENCED,
    BrokerStanding.LEAVING,
    BrokerStanding.ABSENT,
    BrokerStanding.UNSPECIFIED,
  ];
  const coordinatorStandings = [
    CoordinatorStanding.REGISTERED,
    CoordinatorStanding.SILENT,
    CoordinatorStanding.LEAVING,
    CoordinatorStanding.UNSPECIFIED,
  ];
  const place = { address: 'coordinator:9097', host: 'h', rack: '' };
  const counts = { partitions: 9, offline: 1, underReplicated: 3, underMinIsr: 2 };
  const trouble = { topic: 't', topicId: 'id', partition: 4, trouble: 'offline', reason: 'It waits for broker 4.' };
  w.cluster.answers.set(
    methods.describeCluster.path,
    (): DescribeClusterResponse => ({
      throttleMs: 0,
      clusterId: 'cluster',
      revision: 12n,
      controllerId: 101,
      controllerAddress: 'controller:9096',
      version: 1,
      brokers: standings.map((standing, at) => brokerOf(at + 1, standing)).toReversed(),
      ...counts,
      troubles: [trouble],
      coordinators: coordinatorStandings
        .map((standing, at) => ({ ...place, nodeId: 201 + at, standing, coordinatorEpoch: 8n, partitionsOwned: at }))
        .toReversed(),
      groupPartitions: 50,
      groupPartitionsWithoutOwner: 44,
    }),
  );
  const { brokers, troubles, coordinators, ...report } = await w.client.admin.clusterReport();
  assert.deepEqual(report, {
    clusterId: 'cluster',
    controller: 101,
    controllerAddress: 'controller:9096',
    version: 1,
    ...counts,
    groupPartitions: 50,
    groupPartitionsWithoutOwner: 44,
  });
  assert.deepEqual(
    coordinators.map(({ id, standing, partitionsOwned }) => `${id} ${standing} ${partitionsOwned}`),
    ['201 registered 0', '202 silent 1', '203 leaving 2', '204 unknown 3'],
  );
  assert.deepEqual(
    brokers.map(({ id, standing }) => `${id} ${standing}`),
    ['1 active', '2 fenced', '3 leaving', '4 absent', '5 unknown'],
  );
  assert.deepEqual(troubles, [{ topic: 't', partition: 4, trouble: 'offline', reason: 'It waits for broker 4.' }]);
});

test('while there is no controller a report is asked for again, until the time is over', async () => {
  await using w = await world();
  let asked = 0;
  w.cluster.answers.set(methods.describeCluster.path, () => {
    asked++;
    throw new TributaryError('NOT_CONTROLLER', 'No controller is elected now.');
  });
  await assert.rejects(
    w.client.admin.clusterReport({ timeoutMs: 3_000 }),
    failsWith('NOT_CONTROLLER', /about the cluster did not succeed within 3000 ms\. .*No controller is elected/),
  );
  assert.ok(asked > 1);
});

/** Answers each partition that is asked for with the error, if any, and broker 2 as its leader. */
function elects(w: World, errorCode: ErrorCode = ErrorCode.UNSPECIFIED): ElectLeadersRequest[] {
  const requests: ElectLeadersRequest[] = [];
  w.cluster.answers.set(methods.electLeaders.path, (request: ElectLeadersRequest): ElectLeadersResponse => {
    requests.push(request);
    const results = request.topics.flatMap(({ topic, partitions }) =>
      partitions.map((partition) => ({
        topic,
        partition,
        errorCode,
        errorMessage: errorCode === ErrorCode.UNSPECIFIED ? '' : 'because',
        leaderBefore: -1,
        leader: errorCode === ErrorCode.UNSPECIFIED ? 2 : -1,
      })),
    );
    return { throttleMs: 0, revision: 20n, results };
  });
  return requests;
}

test('an election tells who led before and who leads, and each partition’s failure by itself', async () => {
  await using w = await world();
  const requests = elects(w);
  const of = [{ topic: 't', partitions: [0, 3] }];
  assert.deepEqual(await w.client.admin.electLeaders({ kind: 'preferred', of }), [
    { topic: 't', partition: 0, leaderBefore: undefined, leader: 2, error: undefined },
    { topic: 't', partition: 3, leaderBefore: undefined, leader: 2, error: undefined },
  ]);
  elects(w, ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE);
  const [outcome] = await w.client.admin.electLeaders({ kind: 'preferred', of });
  assert.deepEqual([outcome?.leader, outcome?.error?.error], [undefined, 'ELIGIBLE_LEADERS_NOT_AVAILABLE']);
  assert.equal(requests[0]?.electionType, ElectionType.PREFERRED);
  assert.equal(requests[0]?.validateOnly, false);
});

test('an unclean election is asked for as such; none is asked for when no topic is named; all means all', async () => {
  await using w = await world();
  const requests = elects(w);
  const admin = w.client.admin;
  const of = [{ topic: 't', partitions: [1] }];
  await admin.electLeaders({ kind: 'unclean', of }, { validateOnly: true });
  assert.deepEqual(await admin.electLeaders({ kind: 'unclean', of: [] }), []);
  await admin.electLeaders({ kind: 'preferred', of: 'all' });
  assert.deepEqual(
    requests.map(({ electionType, topics, validateOnly }) => ({ electionType, topics, validateOnly })),
    [
      { electionType: ElectionType.UNCLEAN, topics: of, validateOnly: true },
      { electionType: ElectionType.PREFERRED, topics: [], validateOnly: false },
    ],
  );
});
