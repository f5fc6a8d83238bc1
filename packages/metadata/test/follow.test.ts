import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { TributaryError, clusterId, leaderEpoch, limits, nodeId, partitionIndex, topicId } from '@tributary/model';
import type { MetadataStore } from '@tributary/ports';
import { type ClusterDelta, mergeDeltas } from '../src/delta.ts';
import { StoreWentBackError, follow } from '../src/follow.ts';
import { type ImageSource, openImageSource } from '../src/image-source.ts';
import { type ImageChange, ClusterImage, deltaFromNothing } from '../src/image.ts';
import { metadataKeys } from '../src/keys.ts';
import type { Value } from '../src/state.ts';
import { encodeTransaction } from '../src/values.ts';
import { aPartition, aTopic } from './samples.ts';
import { type SimulatedBench, simulated } from './simulated-bench.ts';

const keys = metadataKeys('test');
const never = new AbortController().signal;
const t = topicId('t');

const write = async (store: MetadataStore, ...put: readonly Value[]): Promise<bigint> => {
  return (await store.commit(encodeTransaction(keys, { expect: [], put, delete: [] }))).revision;
};

/** Two keys that are only ever written together, with the same number. */
const pair = (n: number): Value[] => [
  { kind: 'topic', value: aTopic(t, { partitions: n }) },
  { kind: 'partition', value: aPartition(t, 0, { effectiveMinIsr: n }) },
];

function assertWhole(image: ClusterImage): void {
  const topic = image.topic(t);
  const partition = image.partition(t, partitionIndex(0));
  assert.equal(topic?.partitions, partition?.effectiveMinIsr, `revision ${image.revision} is whole`);
}

/** Writes pairs while the world goes wrong in every way a watch can, then heals. */
async function writeAmidFaults({ world, store, clock, random }: SimulatedBench, rounds: number): Promise<bigint> {
  let last = 0n;
  for (let n = 1; n <= rounds; n++) {
    const fault = random.below(8);
    if (fault === 0) world.breakWatches();
    if (fault === 1) world.killWatch();
    if (fault === 2) world.compactNow();
    if (fault === 3) {
      world.away = true;
      await clock.sleep(random.between(100, 12_000), never);
      world.away = false;
    }
    if (fault === 4) await clock.sleep(random.between(1, 3_000), never);
    if (fault === 5)
      await store.commit({ compare: [], put: [{ key: '/tributary/test2/other', value: String(n) }], delete: [] });
    last = await write(store, ...pair(n));
  }
  return last;
}

describe('following the store', () => {
  test('shows whole revisions only, in order, and arrives at the end whatever befalls its watches', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      await simulated(seed, async (bench) => {
        await write(bench.store, ...pair(0));
        const stop = new AbortController();
        let image = ClusterImage.empty;
        const following = (async () => {
          for await (const step of follow(bench.store, keys, bench.clock, stop.signal)) {
            assert.ok(step.image.revision > image.revision || image === ClusterImage.empty);
            image = step.image;
            assertWhole(image);
          }
        })().catch((thrown: unknown) => thrown);
        const last = await writeAmidFaults(bench, 25);
        // The worst: a watch just gone silent, and the longest wait before the store is asked again.
        await bench.clock.sleep(2 * limits.watchSilenceMs + 2 * limits.storeRetryMsMax, never);
        assert.ok(image.revision >= last, `${image.revision} of ${last}`);
        assert.equal(image.topic(t)?.partitions, 25);
        stop.abort(new Error('enough'));
        assert.match(String(await following), /enough/);
      });
    }
  });

  test('takes a watch that is silent past its interval for dead, not before', () =>
    simulated(1, async ({ world, store, clock }) => {
      await write(store, ...pair(0));
      await using images = await openImageSource(store, keys, clock, never);
      await clock.sleep(1_000, never);
      assert.ok(world.killWatch());
      const revision = await write(store, ...pair(1));
      await clock.sleep(limits.watchSilenceMs - 1_500, never);
      assert.ok(images.current.revision < revision);
      await clock.sleep(2_000, never);
      assert.ok(images.current.revision >= revision);
    }));

  test('a quiet store does not cost it its watch', () =>
    simulated(1, async ({ world, store, clock }) => {
      await write(store, ...pair(0));
      await using images = await openImageSource(store, keys, clock, never);
      await clock.sleep(10 * limits.watchSilenceMs, never);
      // A watch that had been given up and taken up again would list after a compaction.
      world.compactNow();
      const revision = await write(store, ...pair(1));
      await images.reached(revision, never);
      assert.equal(images.current.topic(t)?.partitions, 1);
    }));

  test('stops when the store shows an older state than before, and says that it was restored', () =>
    simulated(1, async ({ world, store, clock }) => {
      await write(store, ...pair(0));
      await write(store, ...pair(1));
      const restored: MetadataStore = {
        ...store,
        read: (() => {
          let reads = 0;
          return async (prefix: string) => {
            const answer = await store.read(prefix);
            return reads++ === 0 ? answer : { ...answer, revision: 1n };
          };
        })(),
      };
      await using images = await openImageSource(restored, keys, clock, never);
      world.killWatch();
      world.compactNow();
      await write(store, ...pair(2));
      world.compactNow();
      await assert.rejects(images.reached(1_000n, never), StoreWentBackError);
      assert.ok(images.over.aborted);
      assert.match(String(images.over.reason), /revision 1.*restored/);
    }));

  test('M6: stops where a leader epoch goes back: a restored store that was written to since is past every revision that it has shown', () =>
    simulated(1, async ({ store, clock }) => {
      await using images = await openImageSource(store, keys, clock, never);
      const partition = (epoch: number) =>
        ({ kind: 'partition', value: aPartition(t, 0, { leaderEpoch: leaderEpoch(epoch) }) }) as const;
      await write(store, { kind: 'topic', value: aTopic(t) }, partition(3));
      await images.reached(await write(store, partition(4)), never);
      await write(store, partition(3));
      await assert.rejects(images.reached(1_000n, never), StoreWentBackError);
      assert.match(String(images.over.reason), /partition 0 of topic t at leader epoch 3, but had shown 4.*restored/);
    }));

  test('stops at a value that it cannot read, and names the key', () =>
    simulated(1, async ({ store, clock }) => {
      await using images = await openImageSource(store, keys, clock, never);
      await store.commit({ compare: [], put: [{ key: keys.of({ kind: 'cluster' }), value: '{' }], delete: [] });
      await assert.rejects(
        images.reached(1_000n, never),
        (thrown) => thrown instanceof TributaryError && thrown.message.includes('/tributary/test/cluster'),
      );
    }));

  test('waits for a store that does not answer yet', () =>
    simulated(1, async ({ world, store, clock }) => {
      await write(store, ...pair(7));
      world.away = true;
      const opening = openImageSource(store, keys, clock, never);
      await clock.sleep(20_000, never);
      world.away = false;
      await using images = await opening;
      assert.equal(images.current.topic(t)?.partitions, 7);
    }));
});

describe('an image source', () => {
  /** Takes changes at its own pace, and checks that each leads on from the last. */
  async function listen(
    images: ImageSource,
    pause: () => Promise<void>,
    until: bigint,
  ): Promise<{ readonly image: ClusterImage; readonly all: ClusterDelta; readonly steps: number }> {
    let all: ClusterDelta | undefined;
    let image = ClusterImage.empty;
    let steps = 0;
    for await (const step of images.changes(never)) {
      checkLeadsOn(image, step);
      all = all === undefined ? step.delta : mergeDeltas(all, step.delta);
      image = step.image;
      steps++;
      if (image.revision >= until) break;
      await pause();
    }
    assert.ok(all !== undefined);
    return { image, all, steps };
  }

  function checkLeadsOn(before: ClusterImage, { image, delta }: ImageChange): void {
    for (const { topicId: id, partition, before: old, after } of delta.partitions.values()) {
      assert.equal(old, before.partition(id, partition));
      assert.equal(after, image.partition(id, partition));
    }
  }

  test('gives each listener everything first, then each change once; a slow one gets several as one', () =>
    simulated(1, async ({ store, clock }) => {
      await write(store, ...pair(0), { kind: 'partition', value: aPartition(topicId('u'), 0) });
      await using images = await openImageSource(store, keys, clock, never);
      const until = images.current.revision + 50n;
      const quick = listen(images, () => Promise.resolve(), until);
      const slow = listen(images, () => clock.sleep(100, never), until);
      for (let n = 1; n <= 50; n++) await write(store, ...pair(n));
      for (const { image, all } of [await quick, await slow]) {
        assert.equal(image.topic(t)?.partitions, 50);
        assert.deepEqual([...all.partitions.keys()].sort(), [...deltaFromNothing(image).partitions.keys()].sort());
      }
      assert.ok((await slow).steps < (await quick).steps / 2);
    }));

  test('says when a revision is reached, also one that is long past, and gives up with the signal', () =>
    simulated(1, async ({ store, clock }) => {
      const past = await write(store, ...pair(0));
      await using images = await openImageSource(store, keys, clock, never);
      assert.equal((await images.reached(past, never)).topic(t)?.partitions, 0);
      const reaching = images.reached(past + 1n, never);
      await write(store, ...pair(1));
      assert.equal((await reaching).topic(t)?.partitions, 1);
      const stop = new AbortController();
      const refused = assert.rejects(images.reached(past + 100n, stop.signal), /too long/);
      stop.abort(new Error('too long'));
      await refused;
    }));

  test('waits for a condition, and does not wait when it holds', () =>
    simulated(1, async ({ store, clock }) => {
      await using images = await openImageSource(store, keys, clock, never);
      const named = images.until((image) => image.cluster !== undefined, never);
      await write(store, { kind: 'cluster', value: { clusterId: clusterId('c'), version: 1, restoreGeneration: 0 } });
      assert.equal((await named).cluster?.clusterId, 'c');
      assert.equal(await images.until((image) => image.broker(nodeId(1)) === undefined, never), images.current);
    }));

  test('ends everything that waits on it when it is disposed', () =>
    simulated(1, async ({ store, clock }) => {
      const images = await openImageSource(store, keys, clock, never);
      const waiting = assert.rejects(images.reached(1_000n, never), /stopped following/);
      const listening = assert.rejects(
        listen(images, () => Promise.resolve(), 1_000n),
        /stopped following/,
      );
      await clock.sleep(10, never);
      await images[Symbol.asyncDispose]();
      await waiting;
      await listening;
      assert.ok(images.over.aborted);
    }));
});
