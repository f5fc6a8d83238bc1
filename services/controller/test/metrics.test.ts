import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nodeId } from '@tributary/model';
import { createMetrics } from '@tributary/runtime';
import { registerControllerMetrics } from '../src/controller.ts';
import { Facts } from '../src/facts.ts';
import { PureCluster } from './pure-cluster.ts';
import { PureGroups } from './pure-coordinators.ts';

async function scraped(cluster: PureCluster, isActive: boolean, silent: readonly number[] = []): Promise<string> {
  const metrics = await createMetrics({});
  const facts = new Facts();
  for (const step of cluster.committed) facts.committed(step);
  registerControllerMetrics(
    metrics,
    { isActive, facts, silent: [], silentCoordinators: silent.map(nodeId) },
    { current: cluster.image },
  );
  return (await metrics.expose()).body;
}

function troubled(): PureCluster {
  const cluster = new PureCluster({ partitions: 2, replicationFactor: 3, minInsyncReplicas: 2 });
  for (const id of [1, 2, 3]) cluster.join(id);
  cluster.create('orders');
  cluster.lose(1);
  cluster.settle();
  return cluster;
}

describe('metrics of a controller', () => {
  test('show partitions under the names of kafka_exporter, and why leaders changed', async () => {
    const page = await scraped(troubled(), true);
    for (const line of [
      'kafka_brokers 2',
      'kafka_topic_partitions{topic="orders"} 2',
      'kafka_topic_partition_leader{topic="orders",partition="0"} 2',
      'kafka_topic_partition_replicas{topic="orders",partition="0"} 3',
      'kafka_topic_partition_in_sync_replica{topic="orders",partition="0"} 2',
      'kafka_topic_partition_leader_is_preferred{topic="orders",partition="0"} 0',
      'kafka_topic_partition_under_replicated_partition{topic="orders",partition="1"} 1',
      'tributary_partitions_under_replicated 2',
      'tributary_partitions_under_min_isr 0',
      'tributary_partitions_without_leader 0',
      'tributary_leader_elections_total{reason="broker-lost"} 1',
      'tributary_isr_shrunk_partitions_total 2',
      'tributary_metadata_store_writable 1',
    ])
      assert.ok(page.includes(`\n${line}\n`), `${line} in\n${page}`);
  });

  test('show who coordinates groups, why that changed, and what nobody serves', async () => {
    const cluster = new PureGroups(5);
    cluster.comes(201);
    cluster.settle();
    cluster.comes(202);
    cluster.settle();
    cluster.goes(202, true);
    const page = await scraped(cluster, true, [201]);
    for (const line of [
      'tributary_coordinators 1',
      'tributary_coordinators_silent 1',
      'tributary_group_partitions_without_owner 2',
      'tributary_group_partition_moves_total{reason="unowned"} 5',
      'tributary_group_partition_moves_total{reason="balance"} 2',
    ])
      assert.ok(page.includes(`\n${line}\n`), `${line} in\n${page}`);
  });

  test('of one that stands by say nothing of the cluster, which the active one does', async () => {
    const page = await scraped(troubled(), false);
    assert.match(page, /\ntributary_controller_active 0\n/);
    assert.doesNotMatch(page, /\n(kafka_|tributary_(partitions|topics|brokers|coordinators|group_partitions_))\S* \d/);
  });
});
