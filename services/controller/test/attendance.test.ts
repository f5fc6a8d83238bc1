import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type TopicId, limits, nodeId, topicId } from '@tributary/model';
import { type IsrProposal, methods } from '@tributary/wire';
import type { BrokerProcess } from './broker-process.ts';
import { leadership } from './pure-cluster.ts';
import { type CandidateProcess, SimulatedCluster } from './simulated-cluster.ts';

const sessionMs = limits.sessionTimeoutMs;

interface Scene {
  readonly cluster: SimulatedCluster;
  readonly controllers: readonly CandidateProcess[];
  readonly brokers: readonly BrokerProcess[];
  readonly id: TopicId;
  broker(id: number): BrokerProcess;
  show(): Promise<string>;
  isr(...nodes: readonly number[]): Promise<IsrProposal>;
}

/** Three brokers that attend, a topic with three replicas and min ISR 2, led by 1. */
async function scene(seed: number, story: (scene: Scene) => Promise<void>, controllers = 1): Promise<void> {
  const cluster = new SimulatedCluster(seed);
  await cluster.scheduler.run(async () => {
    const candidates = Array.from({ length: controllers }, (_, i) => cluster.controller(10 + i));
    for (const each of candidates) {
      each.electionTimeoutMs = limits.controllerLeaseMs;
      await each.start();
    }
    const brokers = [1, 2, 3].map((id) => cluster.broker(id));
    for (const each of brokers) await each.start();
    await cluster.sleep(1_000);
    const [first] = candidates;
    assert.ok(first !== undefined);
    const configs = { 'min.insync.replicas': '2' };
    const wish = { context: undefined, name: 'orders', partitions: 1, replicationFactor: 3, validateOnly: false };
    const created = await first.call(methods.createTopic, { ...wish, configs });
    const id = topicId(created.topicId);
    const partition = async () => {
      const found = (await cluster.stored()).partitionsOf(id)[0];
      assert.ok(found !== undefined);
      return found;
    };
    let proposalId = 0n;
    await story({
      cluster,
      controllers: candidates,
      brokers,
      id,
      broker: (node) => {
        const found = brokers[node - 1];
        assert.ok(found !== undefined);
        return found;
      },
      show: async () => leadership(await partition()),
      isr: async (...nodes) => {
        const { leaderEpoch, partitionEpoch } = await partition();
        const members = nodes.map((node) => {
          return { nodeId: node, brokerEpoch: brokers[node - 1]?.registration?.epoch ?? 0n };
        });
        proposalId++;
        return { proposalId, topicId: id, partition: 0, leaderEpoch, partitionEpoch, isr: members };
      },
    });
    for (const each of candidates) assert.equal(each.crashed, undefined);
  });
}

const decisionsOf = (broker: BrokerProcess) => broker.answers.flatMap(({ decisions }) => decisions);

describe('attending', () => {
  test('each message is answered, the first with the session timeout, and nobody is taken for dead', () =>
    scene(1, async ({ cluster, brokers, show }) => {
      await cluster.sleep(3 * sessionMs);
      for (const { answers } of brokers) {
        assert.equal(answers[0]?.sessionTimeoutMs, sessionMs);
        assert.ok(answers.length >= 15, `${answers.length} answers`);
      }
      assert.equal(await show(), 'leader 1 epoch 0 isr 1,2,3');
    }));

  test('a proposal is decided at a revision that shows it, or refused with the reason', () =>
    scene(1, async ({ cluster, broker, show, isr }) => {
      const leader = broker(1);
      const [shrink, old] = [await isr(1, 2), await isr(1, 3)];
      leader.say([shrink, old]);
      await cluster.sleep(500);
      const [decided, refused] = decisionsOf(leader);
      assert.equal(decided?.errorCode, 0);
      assert.equal((await cluster.stored()).revision >= (decided?.revision ?? 0n), true);
      assert.equal(refused?.errorCode, 95);
      assert.match(refused?.errorMessage ?? '', /Partition 0 of topic orders: .* partition epoch 0; it is 1 by now/);
      assert.equal(await show(), 'leader 1 epoch 0 isr 1,2');
    }));

  test('a proposal does not wait behind all that clients have asked for, nor is it refused because of them', () =>
    scene(1, async ({ cluster, controllers: [first], broker, isr }) => {
      assert.ok(first !== undefined);
      first.commitMs = 20;
      const settings = { partitions: 1, replicationFactor: 1, validateOnly: false, configs: {} };
      const creating = Array.from({ length: limits.controllerRequests }, (_, i) =>
        first.call(methods.createTopic, { context: undefined, name: `t${i}`, ...settings }).catch(() => undefined),
      );
      await cluster.sleep(100);
      broker(1).say([await isr(1, 2)]);
      await cluster.sleep(500);
      assert.deepEqual(
        decisionsOf(broker(1)).map(({ errorCode }) => errorCode),
        [0],
      );
      first.kill();
      void creating;
    }));

  test('the identical proposal on the next stream, after the answer was lost, is answered as decided', () =>
    scene(1, async ({ cluster, broker, show, isr }) => {
      const leader = broker(1);
      const shrink = await isr(1, 2);
      leader.say([shrink]);
      leader.breakStream();
      await cluster.sleep(2_000);
      leader.say([shrink]);
      await cluster.sleep(500);
      assert.deepEqual(
        decisionsOf(leader).map(({ errorCode }) => errorCode),
        [0],
      );
      assert.equal(await show(), 'leader 1 epoch 0 isr 1,2');
    }));

  test('what an older stream said is decided before the newer one is answered, or never (M4)', async () => {
    let decided = 0;
    for (let seed = 1; seed <= 30; seed++) {
      await scene(seed, async ({ cluster, controllers, broker, isr, show }) => {
        const leader = broker(1);
        // Long enough for a new stream.
        for (const each of controllers) each.commitMs = 500;
        const before = leader.answers.length;
        leader.say([await isr(1, 2)]);
        await cluster.sleep(cluster.random.below(3));
        leader.breakStream();
        while (leader.answers.slice(before).every((answer) => answer.sessionTimeoutMs === 0)) await cluster.sleep(1);
        const atFirst = await show();
        if (atFirst.endsWith('isr 1,2')) decided++;
        await cluster.sleep(2_000);
        assert.equal(await show(), atFirst);
      });
    }
    assert.ok(decided > 0 && decided < 30, `${decided} of 30 decided`);
  });

  test('a stream is refused to who is not what is registered, and to who takes another term for the present one', () =>
    scene(1, async ({ cluster, broker }) => {
      const { hello } = broker(1);
      assert.ok(hello !== undefined);
      const term = (await cluster.stored()).controller?.createRevision ?? 0n;
      const right = { ...hello, controllerTerm: term, streamNumber: 1_000n };
      const context = { clusterId: 'another', clientId: '', principal: '', originalPrincipal: '', host: '', hops: 0 };
      const wrongs = [
        [{ ...right, controllerTerm: term - 1n }, 'NOT_CONTROLLER'],
        [{ ...right, brokerEpoch: right.brokerEpoch - 1n }, 'STALE_BROKER_EPOCH'],
        [{ ...right, brokerId: 9 }, 'BROKER_ID_NOT_REGISTERED'],
        [{ ...right, incarnationId: 'another' }, 'STALE_BROKER_EPOCH'],
        [{ ...right, streamNumber: 0n }, 'INVALID_REQUEST'],
        [{ ...right, context: { ...context, minRevision: 0n } }, 'INCONSISTENT_CLUSTER_ID'],
        [undefined, 'INVALID_REQUEST'],
      ] as const;
      const transport = cluster.network.transport({ machine: 'stranger', alive: true });
      for (const [greeting, error] of wrongs) {
        await using peer = transport.connect('controller-10:9096');
        const stream = peer.stream(methods.attend, new AbortController().signal);
        stream.send({ hello: greeting, proposals: [], leaving: false });
        await assert.rejects(Array.fromAsync(stream), { error }, error);
      }
    }));
});

describe('a broker that is leaving', () => {
  test('is told that nothing is left to move once others lead what it led', () =>
    scene(1, async ({ cluster, broker, show }) => {
      const leader = broker(1);
      leader.isLeaving = true;
      leader.say([]);
      await cluster.sleep(3_000);
      const progress = leader.answers.flatMap(({ leave }) => leave ?? []);
      assert.deepEqual([progress.at(-1)?.toMove, progress.at(-1)?.withoutSuccessor], [0, 0]);
      assert.equal(await show(), 'leader 2 epoch 1 isr 2,3');
    }));
});

describe('a death', () => {
  test('of a process is seen at once: nothing listens where it was (R10)', () =>
    scene(1, async ({ cluster, broker, show }) => {
      broker(1).kill();
      await cluster.sleep(200);
      assert.equal(await show(), 'leader 2 epoch 1 isr 2,3');
      assert.equal((await cluster.stored()).broker(nodeId(1))?.registration, undefined);
    }));

  test('by silence is one after the session timeout, and a broker that was alive after all registers anew', () =>
    scene(1, async ({ cluster, broker, show }) => {
      broker(1).isStopped = true;
      await cluster.sleep(sessionMs - 1_500);
      assert.equal(await show(), 'leader 1 epoch 0 isr 1,2,3');
      await cluster.sleep(2_500);
      assert.equal(await show(), 'leader 2 epoch 1 isr 2,3');
      broker(1).isStopped = false;
      await cluster.sleep(2_000);
      const { registration, status } = (await cluster.stored()).broker(nodeId(1)) ?? {};
      assert.equal(status?.fenced, false);
      assert.equal(status?.brokerEpoch, registration?.createRevision);
    }));

  test('of a broker is seen although its controller died with it', () =>
    scene(
      1,
      async ({ cluster, controllers, broker, show }) => {
        controllers[0]?.kill();
        broker(1).kill();
        // The election's lease, an election, then the first question at the address.
        await cluster.sleep(limits.controllerLeaseMs + 2_000);
        assert.equal(await show(), 'leader 2 epoch 1 isr 2,3');
      },
      2,
    ));

  test('is not what a stream that breaks is, while its broker answers at its address', () =>
    scene(1, async ({ cluster, broker, show }) => {
      for (let i = 0; i < 5; i++) {
        broker(1).breakStream();
        await cluster.sleep(1_000);
      }
      assert.equal(await show(), 'leader 1 epoch 0 isr 1,2,3');
    }));
});

describe('a controller that is cut off from most brokers', () => {
  test('declares none of them dead, resigns, and another takes over that hears them', () =>
    scene(
      3,
      async ({ cluster, controllers, show }) => {
        for (const broker of ['broker-1', 'broker-2', 'broker-3']) {
          cluster.network.silence('controller-10', broker);
          cluster.network.silence(broker, 'controller-10');
        }
        await cluster.sleep(2.5 * sessionMs);
        assert.deepEqual(
          controllers.map((each) => each.isActive),
          [false, true],
        );
        assert.equal(await show(), 'leader 1 epoch 0 isr 1,2,3');
        await cluster.sleep(3 * sessionMs);
        assert.equal(await show(), 'leader 1 epoch 0 isr 1,2,3');
      },
      2,
    ));
});
