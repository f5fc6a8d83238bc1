import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CompactedError, type MetadataStore, type Transaction, type WatchRevision } from '@tributary/ports';
import { Coverage } from '../coverage.ts';
import {
  createSimulatedMetadataStore,
  type MetadataStoreOptions,
  type SimulatedMetadataStore,
  StoreUnavailableError,
} from '../metadata-store.ts';
import { Scheduler } from '../scheduler.ts';
import { SeededRandom } from '../seeded-random.ts';

interface Bench {
  readonly world: SimulatedMetadataStore;
  readonly store: MetadataStore;
  readonly scheduler: Scheduler;
  readonly coverage: Coverage;
}

const never = new AbortController().signal;
const put = (key: string, value: string): Transaction => ({ compare: [], put: [{ key, value }], delete: [] });

async function withStore(
  seed: number,
  story: (bench: Bench) => Promise<void>,
  options: MetadataStoreOptions = {},
): Promise<void> {
  const random = new SeededRandom(`metadata test ${seed}`);
  const scheduler = new Scheduler(random.stream('scheduler'));
  const coverage = new Coverage();
  const { world, store } = createSimulatedMetadataStore(scheduler, random.stream('metadata'), coverage, options);
  await scheduler.run(() => story({ world, store, scheduler, coverage }));
}

/** The first `count` revisions with changes. */
async function changes(watch: AsyncIterable<WatchRevision>, count: number): Promise<WatchRevision[]> {
  const found: WatchRevision[] = [];
  for await (const revision of watch) {
    if (revision.changes.length > 0) found.push(revision);
    if (found.length === count) break;
  }
  return found;
}

describe('the simulated metadata store', () => {
  test('does all of a transaction at one revision, or nothing', async () => {
    await withStore(1, async ({ store }) => {
      const first = await store.commit({
        compare: [{ key: 'a', createRevision: 0n }],
        put: [
          { key: 'a', value: '1' },
          { key: 'b', value: '2' },
        ],
        delete: [],
      });
      assert.ok(first.succeeded);
      const second = await store.commit({
        compare: [{ key: 'a', createRevision: 0n }],
        put: [{ key: 'c', value: '3' }],
        delete: ['a'],
      });
      assert.deepEqual(second, { succeeded: false, revision: first.revision });
      const third = await store.commit({
        compare: [{ key: 'a', modRevision: first.revision }],
        put: [{ key: 'b', value: '4' }],
        delete: ['a'],
      });
      assert.deepEqual(third, { succeeded: true, revision: first.revision + 1n });
      assert.deepEqual(await store.read(''), {
        revision: third.revision,
        entries: [{ key: 'b', value: '4', createRevision: first.revision, modRevision: third.revision }],
      });
      await assert.rejects(store.commit({ compare: [], put: [{ key: 'x', value: '' }], delete: ['x'] }), /twice/);
    });
  });

  test('a watch brings whole revisions in order from where it was asked, however late', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      await withStore(
        seed,
        async ({ store }) => {
          const { revision } = await store.commit(put('a/0', '0'));
          const watched = changes(store.watch('a/', revision, never), 11);
          for (let i = 1; i <= 10; i++) {
            await store.commit({
              compare: [],
              put: [
                { key: `a/${i}`, value: '' },
                { key: 'a/last', value: `${i}` },
                { key: 'b', value: '' },
              ],
              delete: [],
            });
          }
          const found = await watched;
          assert.deepEqual(
            found.map((each) => each.revision),
            Array.from({ length: 11 }, (_, i) => revision + BigInt(i)),
          );
          assert.ok(found.slice(1).every((each) => each.changes.length === 2));
        },
        { lateWatchChance: 0.5 },
      );
    }
  });

  test('a watch with nothing to say reports how far the store has come', async () => {
    await withStore(1, async ({ store, scheduler }) => {
      for await (const { revision, changes: none } of store.watch('a/', 1n, never)) {
        assert.deepEqual(none, []);
        assert.equal(revision, 1n);
        break;
      }
      assert.ok(scheduler.nowMicros < 3_000_000);
    });
  });

  test('a watch of what is compacted says so', async () => {
    await withStore(1, async ({ store }) => {
      await store.commit(put('a', '1'));
      const { revision } = await store.commit(put('a', '2'));
      await store.compact(revision);
      await assert.rejects(changes(store.watch('a', revision, never), 1), CompactedError);
      const watched = changes(store.watch('a', revision + 1n, never), 1);
      await store.commit(put('a', '3'));
      assert.equal((await watched)[0]?.revision, revision + 1n);
    });
  });

  test('a lost reply leaves the commit done or not done', async () => {
    for (const how of ['done', 'not done'] as const) {
      await withStore(1, async ({ store, world }) => {
        world.loseNextCommit(how);
        await assert.rejects(store.commit(put('a', '1')), StoreUnavailableError);
        assert.equal((await store.read('a')).entries.length, how === 'done' ? 1 : 0);
      });
    }
  });

  test('a lease lives as long as its holder, and its keys go with it', async () => {
    await withStore(1, async ({ store, world, scheduler }) => {
      const user = { machine: 'm', alive: true };
      const mine = world.client(user);
      const lease = await mine.lease(6_000, never);
      await mine.commit({ compare: [], put: [{ key: 'a', value: '1', lease }], delete: [] });
      await scheduler.pause(60_000_000);
      assert.equal((await store.read('a')).entries.length, 1);
      user.alive = false;
      await scheduler.pause(3_000_000);
      assert.equal((await store.read('a')).entries.length, 1);
      await scheduler.pause(6_000_000);
      assert.equal((await store.read('a')).entries.length, 0);
      await assert.rejects(store.commit({ compare: [], put: [{ key: 'a', value: '1', lease }], delete: [] }), /lease/);
    });
  });

  test('a holder that is cut off knows that its lease may be over before anybody else acts on it', async () => {
    await withStore(1, async ({ store, world, scheduler }) => {
      const lease = await world.client({ machine: 'm', alive: true }).lease(6_000, never);
      await world
        .client({ machine: 'm', alive: true })
        .commit({ compare: [], put: [{ key: 'a', value: '1', lease }], delete: [] });
      await scheduler.pause(10_000_000);
      world.cutOff('m', true);
      while (!lease.lost.aborted) {
        assert.equal((await store.read('a')).entries.length, 1);
        await scheduler.pause(10_000);
      }
      await scheduler.pause(1_000_000);
      assert.equal((await store.read('a')).entries.length, 0);
    });
  });

  test('a machine on whose way back everything is lost has its calls done, hears nothing, and gives its lease up in time', async () => {
    await withStore(1, async ({ store, world, scheduler }) => {
      const deaf = world.client({ machine: 'm', alive: true });
      const lease = await deaf.lease(6_000, never);
      await deaf.commit({ compare: [], put: [{ key: 'a', value: '1', lease }], delete: [] });
      world.deafen('m', true);
      const put = { compare: [], put: [{ key: 'b', value: '1' }], delete: [] };
      await assert.rejects(deaf.commit(put), StoreUnavailableError);
      assert.equal((await store.read('b')).entries.length, 1);
      while (!lease.lost.aborted) {
        assert.equal((await store.read('a')).entries.length, 1);
        await scheduler.pause(10_000);
      }
    });
  });

  test('no lease runs out while the store itself is away', async () => {
    await withStore(1, async ({ store, world, scheduler }) => {
      const lease = await store.lease(6_000, never);
      await store.commit({ compare: [], put: [{ key: 'a', value: '1', lease }], delete: [] });
      world.away = true;
      await assert.rejects(store.read('a'), StoreUnavailableError);
      await scheduler.pause(30_000_000);
      world.away = false;
      assert.equal((await store.read('a')).entries.length, 1);
    });
  });

  test('a revoked lease, and one that was taken away, end at once', async () => {
    await withStore(1, async ({ store, world, scheduler }) => {
      for (const how of ['revoked', 'taken'] as const) {
        const lease = await store.lease(6_000, never);
        await store.commit({ compare: [], put: [{ key: how, value: '1', lease }], delete: [] });
        if (how === 'revoked') await lease.revoke();
        else world.takeLease();
        assert.equal((await store.read(how)).entries.length, 0);
        await scheduler.pause(3_000_000);
        assert.ok(lease.lost.aborted);
      }
    });
  });

  test('a dead watch says nothing, a broken one throws, and neither reaches a dead process', async () => {
    await withStore(1, async ({ store, world, scheduler }) => {
      const stop = new AbortController();
      let heard = 0;
      const dead = (async () => {
        for await (const _ of store.watch('a', 1n, stop.signal)) heard += 1;
      })();
      await scheduler.pause(1_000);
      assert.ok(world.killWatch());
      await store.commit(put('a', '1'));
      await scheduler.pause(20_000_000);
      assert.equal(heard, 0);
      stop.abort(new Error('silent too long'));
      await assert.rejects(dead, /silent too long/);
      const broken = changes(store.watch('a', 10n, never), 1);
      await scheduler.pause(1_000);
      world.breakWatches();
      await assert.rejects(broken, StoreUnavailableError);
    });
  });
});
