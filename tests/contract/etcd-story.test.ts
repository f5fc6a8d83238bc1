/** The parts' own way with the store, on three etcd members of which one after the other fails. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '@tributary/model';
import { type MetadataStore, MetadataStoreError } from '@tributary/ports';
import { nodeClock } from '@tributary/runtime';
import { EtcdMetadataStore } from '@tributary/runtime/etcd-store';
import { requires } from '../requirements.ts';
import { EtcdProcess } from './etcd-process.ts';

const never = new AbortController().signal;
const pair = ['/n/a', '/n/b'] as const;

/** Fails with what nobody gets over: a bug, or the end of the test. */
function failUnlessPassing(thrown: unknown): MetadataStoreError {
  assert.ok(thrown instanceof MetadataStoreError && thrown.failure !== 'refused', String(thrown));
  if (thrown.message.includes('is closed')) throw thrown;
  return thrown;
}

async function current(store: MetadataStore): Promise<{ readonly n: number; readonly modRevision: bigint }> {
  for (;;) {
    try {
      const [first] = (await store.read(pair[0])).entries;
      return { n: Number(first?.value ?? 0), modRevision: first?.modRevision ?? 0n };
    } catch (thrown) {
      assert.equal(failUnlessPassing(thrown).failure, 'unreachable');
      await nodeClock.sleep(limits.storeRetryMsMin, never);
    }
  }
}

/** Counts both keys up together until `isOver`. After an unknown outcome it reads, and goes on from there. */
async function count(store: MetadataStore, isOver: () => boolean, outcomes: Map<string, number>): Promise<number> {
  for (;;) {
    const { n, modRevision } = await current(store);
    if (isOver()) return n;
    const put = pair.map((key) => ({ key, value: String(n + 1) }));
    let outcome: string;
    try {
      const { succeeded } = await store.commit({ compare: [{ key: pair[0], modRevision }], put, delete: [] });
      outcome = succeeded ? 'done' : 'overtaken';
    } catch (thrown) {
      outcome = failUnlessPassing(thrown).failure;
      await nodeClock.sleep(limits.storeRetryMsMin, never);
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    await nodeClock.sleep(5, never);
  }
}

/** Every number in turn, in both keys, until the last one. @returns how often it had to begin a new watch. */
async function follow(store: MetadataStore, from: bigint, last: () => number): Promise<number> {
  let [next, seen, watches] = [from, 0, 0];
  while (seen !== last()) {
    try {
      watches++;
      for await (const { revision, changes } of store.watch('/n/', next, never)) {
        assert.ok(revision >= next - 1n, 'it never goes back');
        next = revision + 1n;
        if (changes.length > 0) {
          const values = changes.map((change) => (change.kind === 'put' ? change.value : 'gone'));
          assert.deepEqual(values, [String(seen + 1), String(seen + 1)], 'whole, in order, none missed or repeated');
          seen++;
        }
        if (seen === last()) break;
      }
    } catch (thrown) {
      failUnlessPassing(thrown);
      await nodeClock.sleep(limits.storeRetryMsMin, never);
    }
  }
  return watches;
}

describe('three members of etcd', { skip: requires('etcd') }, () => {
  test('whichever is killed or paused, every follower sees every change of the counters once, and no increment is lost or doubled', async () => {
    await using all = new AsyncDisposableStack();
    const cluster = await EtcdProcess.startCluster(3);
    for (const member of cluster) all.use(member);
    const endpoints = cluster.map(({ endpoint }) => endpoint);
    // Each begins with another member.
    const stores = endpoints.map((_, i) =>
      all.use(new EtcdMetadataStore({ endpoints: [...endpoints.slice(i), ...endpoints.slice(0, i)] })),
    );
    const [first, second] = stores;
    assert.ok(first !== undefined && second !== undefined);
    const { revision } = await first.status();
    const outcomes = new Map<string, number>();
    let isOver = false;
    let last = Number.POSITIVE_INFINITY;
    const counting = Promise.all([first, second].map((store) => count(store, () => isOver, outcomes)));
    const following = Promise.all(stores.map((store) => follow(store, revision + 1n, () => last)));
    const failed = new AbortController();
    for (const work of [counting, following]) work.catch((thrown: unknown) => failed.abort(thrown));
    const doing = async (ms: number): Promise<void> => nodeClock.sleep(ms, failed.signal);

    for (const [i, member] of cluster.entries()) {
      await doing(700);
      if (i % 2 === 0) {
        await member.pause();
        await doing(2_000);
        member.resume();
      } else {
        await member.end();
        await doing(1_000);
        await member.restart();
      }
    }
    await doing(700);
    isOver = true;
    last = Math.max(...(await counting));
    const done = outcomes.get('done') ?? 0;
    const unknown = outcomes.get('unknown-outcome') ?? 0;
    assert.ok(done <= last && last <= done + unknown, `${done} done, ${unknown} unknown, counted to ${last}`);
    // One that is at the end already learns of it by the next change.
    const { succeeded } = await first.commit({
      compare: [],
      put: pair.map((key) => ({ key, value: String(last + 1) })),
      delete: [],
    });
    assert.ok(succeeded);
    last++;
    const watches = await following;
    assert.ok(done > 100, 'they got on');
    assert.ok((outcomes.get('overtaken') ?? 0) > 0, 'they raced');
    assert.ok(Math.max(...watches) > 1, 'watches broke');
  });
});
