// The short form: real processes in network namespaces of their own, one fault of each important kind under load. `npm run chaos` is the long one.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { requires } from '../requirements.ts';
import { ChaosCluster } from './cluster.ts';
import { episode, told } from './episode.ts';
import { type Fault, nameOf } from './faults.ts';
import { Load } from './load.ts';
import { sessionMs, usualShape } from './shape.ts';

const faults: readonly { readonly fault: Fault; readonly lastsMs: number }[] = [
  { fault: { kind: 'kill', role: 'leader' }, lastsMs: 1_000 },
  { fault: { kind: 'stop', role: 'leader' }, lastsMs: sessionMs + 1_000 },
  { fault: { kind: 'isolate', role: 'leader', fromClients: false }, lastsMs: sessionMs + 1_000 },
  { fault: { kind: 'kill', role: 'active' }, lastsMs: 1_000 },
  { fault: { kind: 'kill', role: 'etcd' }, lastsMs: sessionMs },
];

describe('a cluster of processes under faults', { skip: requires('etcd', 'network namespaces') }, () => {
  let cluster: ChaosCluster;
  let load: Load;
  let topic: string;

  before(async () => {
    cluster = await ChaosCluster.begin(usualShape);
    topic = await cluster.newTopic();
    const { partitions } = usualShape;
    load = await Load.begin({ bootstrap: cluster.processes.bootstrap, topic, partitions });
  });
  after(async () => {
    await load?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  for (const { fault, lastsMs } of faults) {
    test(`${nameOf(fault)}: it hits a request, records go on, and no error reaches a client`, async (t) => {
      const seen = await episode(cluster, load, topic, fault, { lastsMs, goesOnWithinMs: 30_000 });
      t.diagnostic(told(seen));
      assert.ok(seen.inFlight > 0, 'a request was on its way when it struck');
      assert.deepEqual(seen.errors, []);
    });
  }

  test('everything acknowledged is there once, where it was said to be and in order, and all readers agree', async (t) => {
    assert.deepEqual((await load.finish(30_000)).slice(0, 20), []);
    const { attempts, retries, refusals } = load.traffic;
    t.diagnostic(
      `${load.events.length} events; ${attempts} batches sent, ${retries} of them again; refused: ${[...refusals].map(([name, count]) => `${name} ${count}`).join(', ') || 'none'}`,
    );
  });
});
