/** What every MetadataStore promises: the embedded one, the simulated one, etcd. Everything in the tree relies on exactly this. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '@tributary/model';
import { type Clock, type MetadataStore, type Transaction, type WatchRevision, CompactedError } from '@tributary/ports';

export interface StoreBench {
  readonly store: MetadataStore;
  /** The clock that the store's leases and watches go by. */
  readonly clock: Clock;
}

/** Makes a store, runs the story on it, and takes it away. */
export type WithStore = (story: (bench: StoreBench) => Promise<void>) => Promise<void>;

/** Time to live of the leases that are left to run out. */
const ttlMs = 1_000;

const never = new AbortController().signal;
const put = (...entries: readonly (readonly [key: string, value: string])[]): Transaction => {
  return { compare: [], put: entries.map(([key, value]) => ({ key, value })), delete: [] };
};
const remove = (...keys: readonly string[]): Transaction => ({ compare: [], put: [], delete: keys });

async function revisionOf(store: MetadataStore, transaction: Transaction): Promise<bigint> {
  const { succeeded, revision } = await store.commit(transaction);
  assert.ok(succeeded);
  return revision;
}

async function values(store: MetadataStore, prefix: string): Promise<Record<string, string>> {
  const { entries } = await store.read(prefix);
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}

/** The first `count` revisions that change something. */
async function changes(watch: AsyncIterable<WatchRevision>, count: number): Promise<WatchRevision[]> {
  const found: WatchRevision[] = [];
  for await (const revision of watch) {
    if (revision.changes.length > 0) found.push(revision);
    if (found.length === count) break;
  }
  return found;
}

const told = ({ revision, changes: all }: WatchRevision): [bigint, string[]] => {
  return [
    revision,
    all.map((change) => (change.kind === 'put' ? `${change.key}=${change.value}` : `-${change.key}`)).sort(),
  ];
};

export function metadataStoreContract(name: string, withStore: WithStore): void {
  describe(`${name}: keys and revisions`, () => keysAndRevisions(withStore));
  describe(`${name}: transactions`, () => transactions(withStore));
  describe(`${name}: watches`, () => watches(withStore));
  describe(`${name}: unusual watches`, () => watchesOfTheUnusual(withStore));
  describe(`${name}: leases`, () => leases(withStore));
}

function keysAndRevisions(withStore: WithStore): void {
  test('a key is created at one revision, keeps it through changes, and gets a new one when it is created again', () =>
    withStore(async ({ store }) => {
      const created = await revisionOf(store, put(['/c/a', '1']));
      const changed = await revisionOf(store, put(['/c/a', '2']));
      assert.ok(changed > created);
      const before = await store.read('/c/a');
      assert.deepEqual(before.entries, [{ key: '/c/a', value: '2', createRevision: created, modRevision: changed }]);
      await revisionOf(store, remove('/c/a'));
      const again = await revisionOf(store, put(['/c/a', '3']));
      const after = await store.read('/c/a');
      assert.deepEqual(after.entries, [{ key: '/c/a', value: '3', createRevision: again, modRevision: again }]);
    }));

  test('a read returns the keys that begin with the prefix, sorted, and a revision that holds them', () =>
    withStore(async ({ store }) => {
      await store.commit(put(['/r/b', 'b'], ['/r/a/2', 'a2'], ['/r/a/10', 'a10'], ['/s/a', 's']));
      const { revision, entries } = await store.read('/r/');
      assert.deepEqual(
        entries.map((entry) => entry.key),
        ['/r/a/10', '/r/a/2', '/r/b'],
      );
      assert.ok(entries.every((entry) => entry.modRevision <= revision));
      assert.deepEqual((await store.read('/absent/')).entries, []);
    }));

  test('values of any text come back as they were', () =>
    withStore(async ({ store }) => {
      const odd = ['', '{"a":"\\u0000"}', 'Grüße, 世界 🚀', '\u0000\n"\\', 'x'.repeat(100_000)];
      await store.commit(put(...odd.map((value, i) => [`/v/${i}`, value] as const)));
      assert.deepEqual(Object.values(await values(store, '/v/')), odd);
    }));

  test('the status names the latest revision and says that the store can be written', () =>
    withStore(async ({ store }) => {
      const revision = await revisionOf(store, put(['/t/a', '']));
      assert.deepEqual(await store.status(), { revision, writable: true });
    }));
}

function transactions(withStore: WithStore): void {
  test('everything in a transaction happens at one revision', () =>
    withStore(async ({ store }) => {
      await store.commit(put(['/t/old', 'x']));
      const revision = await revisionOf(store, { ...put(['/t/a', '1'], ['/t/b', '2']), delete: ['/t/old'] });
      const { entries } = await store.read('/t/');
      assert.deepEqual(entries, [
        { key: '/t/a', value: '1', createRevision: revision, modRevision: revision },
        { key: '/t/b', value: '2', createRevision: revision, modRevision: revision },
      ]);
    }));

  test('one comparison that does not hold undoes the whole transaction and costs no revision', () =>
    withStore(async ({ store }) => {
      const first = await revisionOf(store, put(['/t/a', '1'], ['/t/b', '1']));
      const second = await revisionOf(store, put(['/t/b', '2']));
      const refused: Transaction['compare'][] = [
        [{ key: '/t/a', createRevision: 0n }],
        [{ key: '/t/a', modRevision: second }],
        [{ key: '/t/b', modRevision: first }],
        [{ key: '/t/b', createRevision: second }],
        [{ key: '/t/absent', createRevision: first }],
        [
          { key: '/t/a', modRevision: first },
          { key: '/t/b', modRevision: first },
        ],
        [{ key: '/t/b', createRevision: first, modRevision: first }],
      ];
      for (const compare of refused) {
        const result = await store.commit({ compare, put: [{ key: '/t/a', value: 'no' }], delete: ['/t/b'] });
        assert.deepEqual(result, { succeeded: false, revision: second });
      }
      assert.deepEqual(await values(store, '/t/'), { '/t/a': '1', '/t/b': '2' });
    }));

  test('comparisons that hold let it through: created at, modified at, absent', () =>
    withStore(async ({ store }) => {
      const first = await revisionOf(store, put(['/t/a', '1']));
      const second = await revisionOf(store, put(['/t/a', '2']));
      const compare = [
        { key: '/t/a', createRevision: first, modRevision: second },
        { key: '/t/b', createRevision: 0n },
      ];
      assert.deepEqual(await store.commit({ ...put(['/t/b', '']), compare }), {
        succeeded: true,
        revision: second + 1n,
      });
    }));

  test('a transaction that changes nothing costs no revision', () =>
    withStore(async ({ store }) => {
      const revision = await revisionOf(store, put(['/t/a', '1']));
      assert.deepEqual(await store.commit(remove('/t/absent')), { succeeded: true, revision });
      assert.deepEqual(
        await store.commit({ compare: [{ key: '/t/a', createRevision: revision }], put: [], delete: [] }),
        { succeeded: true, revision },
      );
    }));

  test('a key named twice, or more operations than allowed, is refused and changes nothing', () =>
    withStore(async ({ store }) => {
      const before = await revisionOf(store, put(['/t/a', '1']));
      await assert.rejects(store.commit(put(['/t/b', '1'], ['/t/b', '2'])));
      await assert.rejects(store.commit({ ...put(['/t/b', '1']), delete: ['/t/b'] }));
      const many = Array.from({ length: limits.transactionOperations + 1 }, (_, i) => [`/t/${i}`, ''] as const);
      await assert.rejects(store.commit(put(...many)));
      const both = many.slice(0, limits.transactionOperations / 2 + 1).map(([key]) => ({ key, createRevision: 0n }));
      const twice = both.map((each) => ({ ...each, modRevision: before }));
      await assert.rejects(store.commit({ compare: twice, put: [], delete: [] }), 'each revision counts');
      assert.ok((await store.commit(put(...many.slice(1)))).succeeded);
      assert.equal((await store.status()).revision, before + 1n);
    }));

  test('of those who change a key they have read, at the same time, one wins each round', () =>
    withStore(async ({ store }) => {
      await store.commit(put(['/n', '0']));
      const increment = async (): Promise<number> => {
        for (let lost = 0; ; lost++) {
          const [entry] = (await store.read('/n')).entries;
          assert.ok(entry !== undefined);
          const compare = [{ key: '/n', modRevision: entry.modRevision }];
          if ((await store.commit({ ...put(['/n', String(Number(entry.value) + 1)]), compare })).succeeded) return lost;
        }
      };
      const lost = await Promise.all(Array.from({ length: 20 }, increment));
      assert.deepEqual(await values(store, '/n'), { '/n': '20' });
      assert.ok(Math.max(...lost) > 0, 'they raced');
    }));
}

function watches(withStore: WithStore): void {
  test('a watch from a past revision shows whole revisions in order, then what comes', () =>
    withStore(async ({ store }) => {
      const first = await revisionOf(store, put(['/w/a', '1'], ['/w/b', '1'], ['/x', '1']));
      const second = await revisionOf(store, { ...put(['/w/a', '2']), delete: ['/w/b'] });
      await store.commit(put(['/x', '2']));
      const watching = changes(store.watch('/w/', first, never), 4);
      const third = await revisionOf(store, remove('/w/a'));
      const fourth = await revisionOf(store, put(['/w/c', '']));
      assert.deepEqual((await watching).map(told), [
        [first, ['/w/a=1', '/w/b=1']],
        [second, ['-/w/b', '/w/a=2']],
        [third, ['-/w/a']],
        [fourth, ['/w/c=']],
      ]);
    }));

  test('a watched value carries the revisions of its key', () =>
    withStore(async ({ store }) => {
      const created = await revisionOf(store, put(['/w/a', '1']));
      const changed = await revisionOf(store, put(['/w/a', '2']));
      const [revision] = await changes(store.watch('/w/', changed, never), 1);
      assert.deepEqual(revision?.changes, [
        { kind: 'put', key: '/w/a', value: '2', createRevision: created, modRevision: changed },
      ]);
    }));

  test('watches resumed at the next revision miss and repeat nothing', () =>
    withStore(async ({ store }) => {
      const first = await revisionOf(store, put(['/w/0', '']));
      const writing = (async (): Promise<void> => {
        for (let i = 1; i < 30; i++) await store.commit(put([`/w/${i}`, '']));
      })();
      const seen: string[] = [];
      let next = first;
      while (seen.length < 30) {
        for await (const { revision, changes: all } of store.watch('/w/', next, never)) {
          next = revision + 1n;
          seen.push(...all.map((change) => change.key));
          if (seen.length % 3 === 0) break;
        }
      }
      await writing;
      assert.deepEqual(
        seen,
        Array.from({ length: 30 }, (_, i) => `/w/${i}`),
      );
    }));

  test('a watch with nothing to show reports the revision that it has reached, within its interval', () =>
    withStore(async ({ store, clock }) => {
      const revision = await revisionOf(store, put(['/w/a', '1']));
      const begunMs = clock.monotonicMs();
      const watching = store.watch('/w/', revision + 1n, never);
      const other = await revisionOf(store, put(['/x', '1']));
      for await (const progress of watching) {
        assert.deepEqual(progress.changes, []);
        assert.ok(progress.revision >= revision, 'it never goes back');
        if (progress.revision >= other) break;
      }
      assert.ok(clock.monotonicMs() - begunMs < 2 * limits.watchSilenceMs);
    }));

  test('an aborted watch ends, also while it waits', () =>
    withStore(async ({ store }) => {
      const { revision } = await store.status();
      const stop = new AbortController();
      const waiting = changes(store.watch('/w/', revision + 1n, stop.signal), 1).catch((thrown: unknown) => thrown);
      stop.abort(new Error('enough'));
      await waiting;
      const late = await changes(store.watch('/w/', revision + 1n, stop.signal), 1).catch((thrown: unknown) => thrown);
      assert.ok(late instanceof Error || Array.isArray(late));
    }));

  test('what is compacted cannot be watched any more; what is there can still be read', () =>
    withStore(async ({ store }) => {
      const first = await revisionOf(store, put(['/w/a', '1']));
      const second = await revisionOf(store, put(['/w/a', '2']));
      const third = await revisionOf(store, put(['/w/a', '3']));
      await store.compact(second);
      await assert.rejects(changes(store.watch('/w/', first, never), 1), CompactedError);
      await assert.rejects(changes(store.watch('/w/', second, never), 1), CompactedError);
      assert.deepEqual((await changes(store.watch('/w/', third, never), 1)).map(told), [[third, ['/w/a=3']]]);
      assert.deepEqual(await values(store, '/w/'), { '/w/a': '3' });
    }));
}

function watchesOfTheUnusual(withStore: WithStore): void {
  test('what was deleted at the revision of the compaction cannot be missed: a watch from there is refused', () =>
    withStore(async ({ store }) => {
      await store.commit(put(['/w/a', '1']));
      const deleted = await revisionOf(store, remove('/w/a'));
      await store.compact(deleted);
      await assert.rejects(changes(store.watch('/w/', deleted, never), 1), CompactedError);
      const next = changes(store.watch('/w/', deleted + 1n, never), 1);
      const created = await revisionOf(store, put(['/w/a', '2']));
      assert.deepEqual((await next).map(told), [[created, ['/w/a=2']]]);
    }));

  test('compacting the same history again, or what is gone already, changes nothing; what is yet to come is refused', () =>
    withStore(async ({ store }) => {
      const first = await revisionOf(store, put(['/w/a', '1']));
      const second = await revisionOf(store, put(['/w/a', '2']));
      await store.compact(second);
      await store.compact(second);
      await store.compact(first);
      await assert.rejects(store.compact(second + 1n));
      assert.deepEqual(await store.status(), { revision: second, writable: true });
    }));

  test('a watch of another prefix keeps up with the revisions that are not its own, and misses none that is', () =>
    withStore(async ({ store }) => {
      const first = await revisionOf(store, put(['/w/a', '1'], ['/w/b', '1']));
      const watch = store.watch('/w/', first + 1n, never);
      const others = (async (): Promise<bigint> => {
        for (let i = 0; i < 20; i++) await store.commit(put([`/x/${i}`, '']));
        return (await store.status()).revision;
      })();
      const seen: (readonly [bigint, string[]])[] = [];
      let isChanged = false;
      for await (const revision of watch) {
        assert.ok(revision.revision > (seen.at(-1)?.[0] ?? first) || revision.changes.length === 0);
        if (revision.changes.length > 0) seen.push(told(revision));
        if (seen.length === 2) break;
        if (isChanged || revision.revision < (await others)) continue;
        isChanged = true;
        // As many keys as before, and none of them new.
        await store.commit({ ...put(['/w/a', '2']), delete: ['/w/b'] });
        await store.commit(put(['/w/b', '1']));
      }
      const after = (await others) + 1n;
      assert.deepEqual(seen, [
        [after, ['-/w/b', '/w/a=2']],
        [after + 1n, ['/w/b=1']],
      ]);
    }));

  test('a watch from beyond the store, as after a restored backup, tells how far the store is', () =>
    withStore(async ({ store }) => {
      const revision = await revisionOf(store, put(['/w/a', '1']));
      for await (const progress of store.watch('/w/', revision + 1_000n, never)) {
        assert.deepEqual(progress, { revision, changes: [] });
        break;
      }
    }));
}

function leases(withStore: WithStore): void {
  test('when a lease is no longer kept alive its keys go after its time, all in one revision, and its holder knows', () =>
    withStore(async ({ store, clock }) => {
      const stop = new AbortController();
      const lease = await store.lease(ttlMs, stop.signal);
      await store.commit(put(['/l/free', '']));
      const last = await revisionOf(store, {
        compare: [],
        put: ['/l/a', '/l/b'].map((key) => ({ key, value: '', lease })),
        delete: [],
      });
      const watching = changes(store.watch('/l/', last + 1n, never), 1);
      const stoppedMs = clock.monotonicMs();
      stop.abort();
      assert.equal(Object.keys(await values(store, '/l/')).length, 3, 'they outlive the last sign of life');
      const [end] = await watching;
      assert.ok(end !== undefined);
      assert.deepEqual(told(end)[1], ['-/l/a', '-/l/b']);
      assert.ok(lease.lost.aborted, 'nobody learns of it before the holder can');
      assert.ok(clock.monotonicMs() - stoppedMs < 6 * ttlMs);
      assert.deepEqual(await values(store, '/l/'), { '/l/free': '' });
    }));

  test('a lease that is kept alive outlives its time', () =>
    withStore(async ({ store, clock }) => {
      const lease = await store.lease(ttlMs, never);
      await store.commit({ compare: [], put: [{ key: '/l/a', value: '', lease }], delete: [] });
      await clock.sleep(2.5 * ttlMs, never);
      assert.ok(!lease.lost.aborted);
      assert.deepEqual(await values(store, '/l/'), { '/l/a': '' });
      await lease.revoke();
    }));

  test('revoking a lease removes its keys in one revision; nothing can be put under it any more', () =>
    withStore(async ({ store }) => {
      const lease = await store.lease(60_000, never);
      const held = await revisionOf(store, {
        compare: [],
        put: ['/l/a', '/l/b'].map((key) => ({ key, value: '', lease })),
        delete: [],
      });
      await lease.revoke();
      assert.ok(lease.lost.aborted);
      assert.deepEqual(await store.read('/l/'), { revision: held + 1n, entries: [] });
      await assert.rejects(
        store.commit({
          compare: [],
          put: [
            { key: '/l/a', value: '', lease },
            { key: '/l/c', value: '' },
          ],
          delete: [],
        }),
      );
      assert.deepEqual(await values(store, '/l/'), {});
      await lease.revoke().catch(() => undefined);
    }));

  test('a key follows the lease of its last put', () =>
    withStore(async ({ store }) => {
      const [first, second] = [await store.lease(60_000, never), await store.lease(60_000, never)];
      await store.commit({
        compare: [],
        put: ['/l/kept', '/l/moved', '/l/goes'].map((key) => ({ key, value: '1', lease: first })),
        delete: [],
      });
      await store.commit(put(['/l/kept', '2']));
      await store.commit({ compare: [], put: [{ key: '/l/moved', value: '2', lease: second }], delete: [] });
      await first.revoke();
      assert.deepEqual(await values(store, '/l/'), { '/l/kept': '2', '/l/moved': '2' });
      await second.revoke();
      assert.deepEqual(await values(store, '/l/'), { '/l/kept': '2' });
    }));

  test('the end of a lease that holds nothing costs no revision', () =>
    withStore(async ({ store }) => {
      const { revision } = await store.status();
      const lease = await store.lease(60_000, never);
      await lease.revoke();
      assert.equal((await store.status()).revision, revision);
    }));
}
