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

describe('a cluster of processes under faults', {
  skip: requires('etcd', 'network namespaces (root, iproute2)'),
}, () => {
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
      assert.ok(seen.heldUp > 0, 'a request was not answered for it');
      assert.deepEqual(seen.errors, []);
    });
  }

  test('everything acknowledged is there once, where it was said to be and in order, and all readers agree', async (t) => {
    assert.deepEqual((await load.finish(30_000)).slice(0, 20), []);
    t.diagnostic(`${load.events.length} events; ${load.traffic.told}`);
  });

  test('negative control: what acks=1 acknowledges is lost with its leader, and the judge says so', async (t) => {
    const one = await cluster.newTopic();
    await using careless = await Load.begin({
      bootstrap: cluster.processes.bootstrap,
      topic: one,
      partitions: usualShape.partitions,
      acks: 1,
    });
    const leader = await cluster.leaderOf(one, 'most');
    const others = cluster.network.members.filter((name) => name !== leader.name && name !== 'clients');
    cluster.network.cut(leader.name, ...others);
    // What was on its way just then may have come through.
    const cutAt = performance.now() + 500;
    // Its followers do not hear of these.
    await careless.until(() => careless.hasRecoveredSince(cutAt, 'acknowledgements'), 10_000, 'acknowledgements go on');
    await leader.end('SIGKILL');
    // Until others lead: what it had sent would else come through after its death, and one that came back at once would lead again, with all that it has.
    const leads = async (): Promise<boolean> =>
      (await cluster.partitionsOf(one)).some((each) => each.leader === leader.id);
    await careless.until(async () => !(await leads()), 30_000, 'others lead');
    cluster.network.heal();
    await leader.start();
    await cluster.whole(one, 60_000);
    const broken = await careless.finish(30_000);
    t.diagnostic(broken[0] ?? '');
    assert.match(broken.join('\n'), /^durability: /m);
  });
});
