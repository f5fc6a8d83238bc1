import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BrokerReport, ClusterReport, CoordinatorReport } from '@tributary/client';
import { problemsOf } from '../src/cluster-health.ts';

function broker(id: number, standing: BrokerReport['standing'], replicas = 2): BrokerReport {
  const place = { address: `127.0.0.1:${9000 + id}`, host: `h${id}`, rack: '' };
  return { id, ...place, standing, brokerEpoch: 1n, directoryId: '', replicas, inSync: replicas, leading: 1 };
}

function coordinator(id: number, standing: CoordinatorReport['standing'], partitionsOwned = 25): CoordinatorReport {
  const place = { address: `127.0.0.1:${9000 + id}`, host: `h${id}`, rack: '' };
  return { id, ...place, standing, coordinatorEpoch: 1n, partitionsOwned };
}

function report(changes: Partial<ClusterReport>): ClusterReport {
  return {
    clusterId: 'c',
    controller: 101,
    controllerAddress: '127.0.0.1:9096',
    version: 1,
    brokers: [broker(1, 'active'), broker(2, 'active')],
    partitions: 4,
    offline: 0,
    underReplicated: 0,
    underMinIsr: 0,
    troubles: [],
    coordinators: [coordinator(201, 'registered')],
    groupPartitions: 50,
    groupPartitionsWithoutOwner: 0,
    ...changes,
  };
}

const sentences = (changes: Partial<ClusterReport>): string =>
  problemsOf(report(changes))
    .map(({ kind, sentence }) => `${kind}: ${sentence}`)
    .join('\n');

test('a cluster whose brokers all work and whose partitions are whole is healthy', () => {
  assert.deepEqual(problemsOf(report({})), []);
});

test('partitions in trouble are counted by kind, the worst first, with the reason that the controller gives', () => {
  const reason = 'It waits for broker 2. Start it.';
  const troubles = [
    { topic: 'a', partition: 1, trouble: 'under_replicated', reason: '' },
    { topic: 'a', partition: 0, trouble: 'offline', reason },
  ];
  assert.equal(
    sentences({ offline: 1, underMinIsr: 3, underReplicated: 1, troubles }),
    [
      'offline: 1 partition is without a leader, and can be neither written nor read: a/0 (It waits for broker 2. Start it).',
      'under_min_isr: 3 partitions are in sync with fewer replicas than min.insync.replicas, so that acks=all is refused.',
      'under_replicated: 1 partition is in sync with fewer replicas than there are to be: a/1.',
    ].join('\n'),
  );
});

test('of many partitions with the same trouble a few are named', () => {
  const troubles = [0, 1, 2, 3, 4].map((partition) => ({ topic: 'a', partition, trouble: 'offline', reason: '' }));
  assert.match(sentences({ offline: 9, troubles }), /^offline: 9 partitions are .*: a\/0; a\/1; a\/2; and 6 more\.$/);
});

test('a broker that is fenced, leaving or absent is a problem that says what to do; one that is absent and holds nothing is none', () => {
  const one = broker(1, 'active');
  const said = sentences({ brokers: [one, broker(2, 'fenced'), broker(3, 'leaving'), broker(4, 'absent', 1)] });
  assert.match(said, /^broker: Broker 2 at 127\.0\.0\.1:9002 \(host h2\) runs, but is not let in: /m);
  assert.match(said, /^broker: Broker 3 .* is shutting down\. /m);
  assert.match(said, /^broker: Broker 4 .* is not there, and 1 replica is on its disk: start it/m);
  assert.equal(sentences({ brokers: [one, broker(2, 'absent', 0)] }), '');
});

test('a cluster without an active broker is not healthy, whatever else is well', () => {
  assert.match(sentences({ brokers: [broker(1, 'absent', 0)], partitions: 0 }), /No broker is active/);
  assert.match(sentences({ brokers: [], partitions: 0 }), /No broker is active/);
});

test('groups without a coordinator are a problem, and so is a coordinator of which nothing is heard; one that hands over is none', () => {
  const coordinators = [coordinator(201, 'registered'), coordinator(202, 'leaving', 0)];
  assert.equal(sentences({ coordinators }), '');
  assert.equal(sentences({ coordinators: [], groupPartitions: 0 }), '', 'nobody uses groups');
  assert.match(
    sentences({ coordinators: [], groupPartitionsWithoutOwner: 50 }),
    /^groups: The groups of 50 of 50 partitions of __consumer_offsets have no coordinator: .* Start a coordinator\.$/,
  );
  assert.match(
    sentences({ coordinators, groupPartitionsWithoutOwner: 3 }),
    /^groups: .* of 3 of 50 .* until the controller /,
  );
  assert.match(
    sentences({ coordinators: [coordinator(201, 'silent')] }),
    /^coordinator: Coordinator 201 at 127\.0\.0\.1:9201 \(host h201\) is registered, but .* owns 25 of /,
  );
});
