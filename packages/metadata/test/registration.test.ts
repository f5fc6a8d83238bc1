import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TributaryError, directoryId, incarnationId, nodeId, topicId } from '@tributary/model';
import type { Entry, MetadataStore } from '@tributary/ports';
import { openImageSource } from '../src/image-source.ts';
import { metadataKeys } from '../src/keys.ts';
import { type HeldRegistration, keepRegistration, registerBroker } from '../src/registration.ts';
import { confirmRemoval } from '../src/removal.ts';
import type { RegistrationInfo } from '../src/state.ts';
import { encodeTransaction } from '../src/values.ts';
import { aRegistration, aTopic } from './samples.ts';
import { type SimulatedBench, simulated } from './simulated-bench.ts';

const keys = metadataKeys('test');
const never = new AbortController().signal;
const node = nodeId(1);
const mine = aRegistration(node);
const restarted = aRegistration(node, { incarnationId: incarnationId('second') });
const stranger = aRegistration(node, { directoryId: directoryId('other'), incarnationId: incarnationId('stranger') });

const register = (
  { store, clock }: SimulatedBench,
  info: RegistrationInfo,
  signal = never,
): Promise<HeldRegistration> => {
  return registerBroker(store, keys, info, clock, { signal, sessionTimeoutMs: 6_000 });
};

async function stored(store: MetadataStore): Promise<Entry | undefined> {
  return (await store.read(keys.of({ kind: 'registration', nodeId: node }))).entries[0];
}

const isDuplicate = (thrown: unknown): boolean =>
  thrown instanceof TributaryError && thrown.error === 'DUPLICATE_BROKER_REGISTRATION';

describe('a registration', () => {
  test('has the revision at which it was created as its epoch, and stays while it is kept alive', () =>
    simulated(1, async (bench) => {
      const { epoch: brokerEpoch, lost } = await register(bench, mine);
      assert.equal((await stored(bench.store))?.createRevision, brokerEpoch);
      await bench.clock.sleep(60_000, never);
      assert.equal((await stored(bench.store))?.createRevision, brokerEpoch);
      assert.ok(!lost.aborted);
    }));

  test('of a restarted broker replaces a live one of the same directory, with a newer epoch, and outlives the lease of the old', () =>
    simulated(1, async (bench) => {
      const stop = new AbortController();
      const first = await register(bench, mine, stop.signal);
      const second = await register(bench, restarted);
      assert.ok(second.epoch > first.epoch);
      stop.abort();
      await bench.clock.sleep(30_000, never);
      const entry = await stored(bench.store);
      assert.equal(entry?.createRevision, second.epoch);
      assert.match(entry?.value ?? '', /second/);
    }));

  test('with another directory is refused while the lease lives, naming both, and possible once it has run out', () =>
    simulated(1, async (bench) => {
      const stop = new AbortController();
      const { epoch: brokerEpoch } = await register(bench, mine, stop.signal);
      await assert.rejects(register(bench, stranger), (thrown) => {
        assert.ok(isDuplicate(thrown) && thrown instanceof TributaryError);
        assert.match(thrown.message, /broker-1:9095.*directory-1.*other/s);
        return true;
      });
      assert.equal((await stored(bench.store))?.createRevision, brokerEpoch);
      stop.abort();
      await bench.clock.sleep(10_000, never);
      assert.ok((await register(bench, stranger)).epoch > brokerEpoch);
    }));

  test('goes at once when it is revoked', () =>
    simulated(1, async (bench) => {
      const { revoke, lost } = await register(bench, mine);
      await revoke();
      assert.equal(await stored(bench.store), undefined);
      assert.ok(lost.aborted);
    }));

  test('that was lost to its holder is known as lost', () =>
    simulated(1, async (bench) => {
      const { lost } = await register(bench, mine);
      assert.ok(bench.world.takeLease());
      await bench.clock.sleep(6_000, never);
      assert.ok(lost.aborted);
    }));

  test('whose answers are lost ends with one key, whose epoch the broker knows', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      await simulated(seed, async (bench) => {
        if (seed % 2 === 0) await register(bench, mine);
        for (let i = 0; i < seed % 5; i++) bench.world.loseNextCommit(bench.random.chance(0.5) ? 'done' : 'not done');
        const { epoch: brokerEpoch, lost } = await register(bench, restarted);
        await bench.clock.sleep(30_000, never);
        const entry = await stored(bench.store);
        assert.equal(entry?.createRevision, brokerEpoch);
        assert.match(entry?.value ?? '', /second/);
        assert.ok(!lost.aborted);
      });
    }
  });

  test('whose lease is in doubt is kept under another, with its epoch, whatever answers are lost, and outlives the lease of before', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      await simulated(seed, async (bench) => {
        const stop = new AbortController();
        const { epoch: brokerEpoch } = await register(bench, mine, stop.signal);
        for (let i = 0; i < seed % 4; i++) bench.world.loseNextCommit(bench.random.chance(0.5) ? 'done' : 'not done');
        const kept = await keepRegistration(bench.store, keys, mine, brokerEpoch, bench.clock, { signal: never });
        assert.equal(kept?.epoch, brokerEpoch);
        stop.abort();
        await bench.clock.sleep(30_000, never);
        assert.equal((await stored(bench.store))?.createRevision, brokerEpoch);
        assert.ok(kept?.lost.aborted === false);
      });
    }
  });

  test('that is gone, or of another incarnation, is not kept', () =>
    simulated(1, async (bench) => {
      const first = await register(bench, mine);
      const keep = () => keepRegistration(bench.store, keys, mine, first.epoch, bench.clock, { signal: never });
      const second = await register(bench, restarted);
      assert.equal(await keep(), undefined);
      assert.match((await stored(bench.store))?.value ?? '', /second/);
      await second.revoke();
      assert.equal(await keep(), undefined);
      assert.equal(await stored(bench.store), undefined);
    }));

  test('of two brokers with one node id and different directories, at the same time, one is admitted and one refused', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      await simulated(seed, async (bench) => {
        const both = await Promise.allSettled([register(bench, mine), register(bench, stranger)]);
        assert.deepEqual(both.map((each) => each.status).sort(), ['fulfilled', 'rejected']);
        for (const each of both) if (each.status === 'rejected') assert.ok(isDuplicate(each.reason));
      });
    }
  });

  test('that nobody wants any more is given up, and leaves nothing', () =>
    simulated(1, async (bench) => {
      bench.world.away = true;
      const stop = new AbortController();
      const registering = assert.rejects(register(bench, mine, stop.signal), /no longer/);
      await bench.clock.sleep(5_000, never);
      stop.abort(new Error('no longer'));
      bench.world.away = false;
      await registering;
      await bench.clock.sleep(30_000, never);
      assert.equal(await stored(bench.store), undefined);
    }));
});

test('a removal is confirmed once and for all, and a topic that is gone needs none', () =>
  simulated(1, async ({ world, store, clock }) => {
    const t = topicId('t');
    const topic = { kind: 'topic', value: aTopic(t, { phase: 'deleting', removingReplicas: [mine] }) } as const;
    await store.commit(encodeTransaction(keys, { expect: [], put: [topic], delete: [] }));
    await using images = await openImageSource(store, keys, clock, never);
    const shown = images.current.topic(t);
    assert.ok(shown !== undefined);
    world.loseNextCommit('done');
    await confirmRemoval(store, keys, shown, mine, clock, never);
    assert.equal((await store.read('/tributary/test/removals/')).entries.length, 1);
    await store.commit({
      compare: [],
      put: [],
      delete: [keys.of({ kind: 'topic', topicId: t }), keys.of({ kind: 'removal', topicId: t, nodeId: node })],
    });
    await confirmRemoval(store, keys, shown, mine, clock, never);
    assert.equal((await store.read('/tributary/test/removals/')).entries.length, 0);
  }));
