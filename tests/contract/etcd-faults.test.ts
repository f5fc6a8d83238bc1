/** What the store promises while a real etcd is killed, paused, compacted, full, or not the one that was meant. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { limits } from '@tributary/model';
import { type MetadataStore, type WatchRevision, CompactedError, MetadataStoreError } from '@tributary/ports';
import { nodeClock } from '@tributary/runtime';
import { EtcdMetadataStore, openEtcdStore } from '@tributary/runtime/etcd-store';
import { Etcd3 } from 'etcd3';
import { requires } from '../requirements.ts';
import { Cable } from './cable.ts';
import { EtcdProcess } from './etcd-process.ts';

const never = new AbortController().signal;

async function put(store: MetadataStore, key: string, value = ''): Promise<bigint> {
  const { succeeded, revision } = await store.commit({ compare: [], put: [{ key, value }], delete: [] });
  assert.ok(succeeded);
  return revision;
}

/** Follows as the parts do: resumes at the next revision after a break. Ends at the key. */
async function keysUntil(store: MetadataStore, from: bigint, last: string): Promise<string[]> {
  const seen: string[] = [];
  let next = from;
  for (;;) {
    try {
      for await (const { revision, changes } of store.watch('/', next, never)) {
        next = revision + 1n;
        seen.push(...changes.map(({ key }) => key));
        if (seen.at(-1) === last) return seen;
      }
    } catch (thrown) {
      assert.ok(thrown instanceof MetadataStoreError, String(thrown));
      // The test has failed elsewhere.
      if (thrown.message.includes('is closed')) return seen;
      await nodeClock.sleep(limits.storeRetryMsMin, never);
    }
  }
}

/** Until it succeeds; what fails must have changed nothing. */
async function putInTheEnd(store: MetadataStore, key: string): Promise<void> {
  for (;;) {
    try {
      const { succeeded } = await store.commit({
        compare: [{ key, createRevision: 0n }],
        put: [{ key, value: '' }],
        delete: [],
      });
      if (!succeeded) assert.equal((await store.read(key)).entries.length, 1);
      return;
    } catch (thrown) {
      assert.ok(thrown instanceof MetadataStoreError && thrown.failure !== 'refused', String(thrown));
      await nodeClock.sleep(limits.storeRetryMsMin, never);
    }
  }
}

const fails = (failure: string, message: RegExp) => (thrown: unknown) => {
  assert.ok(thrown instanceof MetadataStoreError, String(thrown));
  assert.match(thrown.message, message);
  assert.equal(thrown.failure, failure);
  return true;
};

describe('a real etcd in trouble', { skip: requires('etcd'), concurrency: 4 }, () => {
  test('killed and started again: calls in between change nothing and say so, and a follower misses and repeats nothing', async () => {
    await using etcd = await EtcdProcess.start();
    await using store = etcd.store();
    const first = await put(store, '/0');
    const following = keysUntil(store, first, '/last');
    await put(store, '/1');
    await etcd.end();
    await assert.rejects(put(store, '/2'), MetadataStoreError);
    await assert.rejects(put(store, '/2'), fails('unreachable', /No etcd answers \(http.*ECONNREFUSED/));
    await assert.rejects(store.read('/'), fails('unreachable', /No etcd answers/));
    await etcd.restart();
    await putInTheEnd(store, '/3');
    await putInTheEnd(store, '/last');
    assert.deepEqual(await following, ['/0', '/1', '/3', '/last']);
  });

  test('paused: the outcome of a commit is unknown, and once; its lease is lost before etcd lets go of it; a follower goes on', async () => {
    await using etcd = await EtcdProcess.start();
    await using store = etcd.store();
    const lease = await store.lease(3_000, never);
    const { revision } = await store.commit({ compare: [], put: [{ key: '/leased', value: '', lease }], delete: [] });
    const following = keysUntil(store, revision, '/last');
    await etcd.pause();
    const begunMs = nodeClock.monotonicMs();
    await assert.rejects(put(store, '/paused'), fails('unknown-outcome', /may or may not have been done/));
    assert.ok(nodeClock.monotonicMs() - begunMs < 2 * limits.storeCallMs);
    await nodeClock.sleep(500, never);
    assert.ok(lease.lost.aborted, 'the holder knows although etcd, when it wakes, still has the key');
    etcd.resume();
    await putInTheEnd(store, '/last');
    const seen = await following;
    assert.equal(seen[0], '/leased');
    assert.ok(seen.filter((key) => key === '/paused').length <= 1);
    assert.equal(new Set(seen.filter((key) => key !== '/leased')).size, seen.filter((key) => key !== '/leased').length);
  });

  test('paused for long: a watch ends when it has been silent for its time, however alive its connection looks', async () => {
    await using etcd = await EtcdProcess.start();
    await using store = etcd.store();
    const revision = await put(store, '/0');
    const watch = store.watch('/', revision, never)[Symbol.asyncIterator]();
    assert.equal((await watch.next()).value?.revision, revision);
    await etcd.pause();
    const begunMs = nodeClock.monotonicMs();
    await assert.rejects(
      (async () => {
        for (;;) await watch.next();
      })(),
      fails('unreachable', /The watch at etcd http.* broke/),
    );
    assert.ok(nodeClock.monotonicMs() - begunMs < limits.watchSilenceMs + limits.storeCallMs);
    etcd.resume();
  });

  test('a revision is shown whole where etcd cuts its answer into fragments', async () => {
    await using etcd = await EtcdProcess.start();
    await using store = etcd.store();
    const value = 'x'.repeat(100_000);
    const written: (readonly [bigint, number])[] = [];
    for (let i = 0; i < 8; i++) {
      const keys = Array.from({ length: 13 }, (_, j) => ({ key: `/${i}/${j}`, value }));
      const { revision } = await store.commit({ compare: [], put: keys, delete: [] });
      written.push([revision, keys.length]);
    }
    const seen: (readonly [bigint, number])[] = [];
    for await (const { revision, changes } of store.watch('/', written[0]?.[0] ?? 0n, never)) {
      seen.push([revision, changes.length]);
      if (seen.length === written.length) break;
    }
    assert.deepEqual(seen, written);
  });

  test('a read of many pages is of one revision while they change', async () => {
    await using etcd = await EtcdProcess.start();
    await using store = etcd.store();
    const count = 2 * limits.storePage + 50;
    for (let i = 0; i < count; i += 100) {
      const keys = Array.from({ length: Math.min(100, count - i) }, (_, j) => ({ key: `/${i + j}`, value: '' }));
      await store.commit({ compare: [], put: keys, delete: [] });
    }
    let isReading = true;
    const changing = (async () => {
      for (let i = 0; isReading; i++) await put(store, `/new/${i}`);
    })();
    for (let i = 0; i < 5; i++) {
      const { revision, entries } = await store.read('/');
      const created = entries.filter(({ key }) => key.startsWith('/new/'));
      assert.equal(entries.length - created.length, count);
      assert.ok(entries.every(({ modRevision }) => modRevision <= revision));
      // Each of them was one revision, so none is missing.
      assert.equal(BigInt(created.length), revision - BigInt(Math.ceil(count / 100)) - 1n);
    }
    isReading = false;
    await changing;
  });

  test('compacted and defragmented under a watch: it goes on, and what is gone is said to be gone', async () => {
    await using etcd = await EtcdProcess.start();
    await using store = etcd.store();
    const first = await put(store, '/0');
    const second = await put(store, '/1');
    // Compacted before it was there, the watch would have to begin anew.
    const watch = store.watch('/', first, never)[Symbol.asyncIterator]();
    assert.equal((await watch.next()).value?.revision, first);
    assert.equal((await watch.next()).value?.revision, second);
    await store.compact(second);
    await store.compact(second);
    await store.compact(first);
    await assert.rejects(store.compact(second + 100n), fails('refused', /future revision/));
    using raw = new Raw(etcd.endpoint);
    await raw.etcd.maintenance.defragment();
    const third = await put(store, '/2');
    assert.equal((await watch.next()).value?.revision, third);
    await assert.rejects(store.watch('/', first, never)[Symbol.asyncIterator]().next(), CompactedError);
  });

  test('full: a change is refused as such, the status says so, and it goes on once an operator made room', async () => {
    const quota = 16 * 1024 * 1024;
    await using etcd = await EtcdProcess.start({ args: ['--quota-backend-bytes', String(quota)] });
    await using store = etcd.store();
    const value = 'x'.repeat(1_000_000);
    let full: unknown;
    for (let i = 0; full === undefined && i < 40; i++) {
      await put(store, '/large', value).catch((thrown: unknown) => (full = thrown));
    }
    assert.ok(fails('no-space', /is full .*etcdctl alarm disarm/)(full));
    const { revision, writable } = await store.status();
    assert.equal(writable, false);
    assert.equal((await store.read('/')).entries.length, 1, 'it can still be read');
    await store.compact(revision);
    using raw = new Raw(etcd.endpoint);
    // etcd compacts in the background: defragmenting too early frees nothing, and the alarm comes back.
    for (let isMended = false; !isMended; await nodeClock.sleep(50, never)) {
      await raw.etcd.maintenance.defragment();
      for (const alarm of (await raw.etcd.maintenance.alarm({ action: 'Get' })).alarms) {
        await raw.etcd.maintenance.alarm({ action: 'Deactivate', ...alarm });
      }
      const outcome = await put(store, '/small').catch((thrown: unknown) => thrown);
      isMended = typeof outcome === 'bigint' || !fails('no-space', /is full/)(outcome);
    }
    assert.equal((await store.status()).writable, true);
  });

  test('cut off from etcd: whoever holds a lease knows of its end before others can see it', async () => {
    await using etcd = await EtcdProcess.start();
    await using observer = etcd.store();
    await using cable = new Cable(Number(new URL(etcd.endpoint).port));
    await using holder = new EtcdMetadataStore({ endpoints: [`http://${await cable.listen()}`] });
    const lease = await holder.lease(2_000, never);
    const { revision } = await holder.commit({ compare: [], put: [{ key: '/leased', value: '', lease }], delete: [] });
    await nodeClock.sleep(1_500, never);
    const cutMs = nodeClock.monotonicMs();
    await cable[Symbol.asyncDispose]();
    for await (const { changes } of observer.watch('/', revision + 1n, never)) {
      if (changes.length === 0) continue;
      assert.deepEqual(changes, [{ kind: 'delete', key: '/leased' }]);
      break;
    }
    assert.ok(lease.lost.aborted);
    assert.ok(nodeClock.monotonicMs() - cutMs > 500, 'it had been kept alive until then');
    await assert.rejects(put(holder, '/0'), MetadataStoreError);
    assert.equal((await observer.read('/')).entries.length, 0);
  });

  test('a lease that is revoked while etcd is away goes soon after it is back, long before its time', async () => {
    await using etcd = await EtcdProcess.start();
    await using store = etcd.store();
    const lease = await store.lease(60_000, never);
    await store.commit({ compare: [], put: [{ key: '/leased', value: '', lease }], delete: [] });
    await etcd.end();
    await assert.rejects(lease.revoke(), fails('unreachable', /No etcd answers/));
    assert.ok(lease.lost.aborted);
    await etcd.restart();
    const backMs = nodeClock.monotonicMs();
    await using observer = etcd.store();
    while ((await observer.read('/leased')).entries.length > 0) await nodeClock.sleep(50, never);
    assert.ok(nodeClock.monotonicMs() - backMs < 3 * limits.storeRetryMsMax);
  });

  test('closed: its leases count as lost, its watches end and its calls are refused', async () => {
    await using etcd = await EtcdProcess.start();
    const store = etcd.store();
    const revision = await put(store, '/0');
    const lease = await store.lease(60_000, never);
    const watching = store
      .watch('/', revision + 1n, never)
      [Symbol.asyncIterator]()
      .next();
    const ended = assert.rejects(watching, fails('unreachable', /is closed/));
    await nodeClock.sleep(200, never);
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await ended;
    assert.ok(lease.lost.aborted);
    await assert.rejects(put(store, '/1'), fails('unreachable', /is closed/));
    await assert.rejects(store.read('/'), fails('unreachable', /is closed/));
  });

  test('one member of three is paused: a commit that it had is not sent to another, and all that follows is', async () => {
    const cluster = await EtcdProcess.startCluster(3);
    await using all = new AsyncDisposableStack();
    for (const member of cluster) all.use(member);
    const store = all.use(new EtcdMetadataStore({ endpoints: cluster.map(({ endpoint }) => endpoint) }));
    const first = await put(store, '/0');
    await cluster[0]?.pause();
    await assert.rejects(put(store, '/0', 'again'), fails('unknown-outcome', /lost/));
    await putInTheEnd(store, '/1');
    cluster[0]?.resume();
    await nodeClock.sleep(500, never);
    const later = (await keysUntil(store, first, '/1')).filter((key) => key === '/0');
    assert.ok(later.length <= 2, 'the first one, and the unknown one if it was done');
  });

  test('one member of three is killed: calls, a watch and a lease go on with the others', async () => {
    const cluster = await EtcdProcess.startCluster(3);
    await using all = new AsyncDisposableStack();
    for (const member of cluster) all.use(member);
    const store = all.use(new EtcdMetadataStore({ endpoints: cluster.map(({ endpoint }) => endpoint) }));
    await store.check();
    const lease = await store.lease(6_000, never);
    const { revision } = await store.commit({ compare: [], put: [{ key: '/leased', value: '', lease }], delete: [] });
    const following = keysUntil(store, revision, '/last');
    await put(store, '/0');
    await cluster[0]?.end();
    const begunMs = nodeClock.monotonicMs();
    await putInTheEnd(store, '/1');
    assert.equal((await store.read('/')).entries.length, 3);
    // If the leader was killed, an election comes first.
    assert.ok(nodeClock.monotonicMs() - begunMs < 4 * limits.storeCallMs);
    await nodeClock.sleep(3_000, never);
    assert.ok(!lease.lost.aborted);
    await putInTheEnd(store, '/last');
    assert.deepEqual(await following, ['/leased', '/0', '/1', '/last']);

    await cluster[1]?.end();
    await using alone = cluster[2]?.store();
    await assert.rejects(
      (async () => alone?.check())(),
      fails('unreachable', /runs, but its cluster does not decide.*Start its other members/),
    );
  });
});

/** etcd3 itself, for what only operators do. */
class Raw implements Disposable {
  readonly etcd: Etcd3;

  constructor(endpoint: string, auth?: { readonly username: string; readonly password: string }) {
    this.etcd = new Etcd3({ hosts: endpoint, ...(auth === undefined ? {} : { auth }) });
  }

  [Symbol.dispose](): void {
    this.etcd.close();
  }
}

describe('an etcd that is not the one that was meant', { skip: requires('etcd'), concurrency: 4 }, () => {
  test('nobody there, or somebody else: one error that names the address and what to check', async () => {
    for (const endpoint of ['http://127.0.0.1:1', 'http://no-such-host.invalid:2379']) {
      const begunMs = nodeClock.monotonicMs();
      await assert.rejects(
        openEtcdStore({ endpoints: [endpoint] }),
        fails('unreachable', new RegExp(`No etcd answers \\(${endpoint}: .*Check that the addresses`)),
      );
      assert.ok(nodeClock.monotonicMs() - begunMs < 2 * limits.storeCallMs);
    }
  });

  test('members of two clusters are refused, before anything is written to the second', async () => {
    await using one = await EtcdProcess.start();
    await using other = await EtcdProcess.start();
    const endpoints = [one.endpoint, other.endpoint];
    await assert.rejects(openEtcdStore({ endpoints }), fails('refused', /name members of one etcd cluster only/));
    await using unchecked = new EtcdMetadataStore({ endpoints });
    await put(unchecked, '/0');
    await one.end();
    await assert.rejects(put(unchecked, '/1'), MetadataStoreError);
    await assert.rejects(put(unchecked, '/1'), fails('refused', /name members of one etcd cluster only/));
    await using second = other.store();
    assert.deepEqual((await second.read('/')).entries, []);
  });

  test('with a certificate: its CA is needed, and enough', async () => {
    await using etcd = await EtcdProcess.start({ tls: true });
    await using store = await openEtcdStore({ endpoints: [etcd.endpoint], ca: await etcd.ca() });
    await put(store, '/0');
    await assert.rejects(openEtcdStore({ endpoints: [etcd.endpoint] }), fails('unreachable', /certificate/));
  });

  for (const tokens of ['simple', 'jwt'] as const) {
    test(`with users and ${tokens} tokens: the right password is enough, also when the token runs out or roles change; others are refused`, () =>
      withUsers(tokens));
  }

  test('addresses that cannot be meant are refused at once', () => {
    const refused = (options: ConstructorParameters<typeof EtcdMetadataStore>[0], message: RegExp): void => {
      assert.throws(() => new EtcdMetadataStore(options), fails('refused', message));
    };
    refused({ endpoints: [] }, /name at least one/);
    refused({ endpoints: ['etcd'] }, /etcd is no address/);
    refused({ endpoints: ['http://a:1', 'https://b:1'] }, /all or none/);
    refused({ endpoints: ['http://a:1'], ca: Buffer.of() }, /write https/);
    refused({ endpoints: ['http://a:1'], user: 'me' }, /a user and a password, or neither/);
  });
});

async function withUsers(tokens: 'simple' | 'jwt'): Promise<void> {
  await using keys = tokens === 'jwt' ? await signingKeys() : undefined;
  const jwt = keys === undefined ? [] : ['--auth-token', `jwt,${keys.options},sign-method=RS256,ttl=2s`];
  await using etcd = await EtcdProcess.start({ args: ['--auth-token-ttl', '1', ...jwt] });
  using raw = new Raw(etcd.endpoint);
  await raw.etcd.role('root').create();
  await raw.etcd.role('ours').create();
  await raw.etcd.auth.roleGrantPermission({
    name: 'ours',
    perm: { permType: 'Readwrite', key: Buffer.from('/ours/'), range_end: Buffer.from('/ours0') },
  });
  await raw.etcd.user('root').create('secret');
  await raw.etcd.user('root').addRole('root');
  await raw.etcd.user('us').create('ours');
  await raw.etcd.user('us').addRole('ours');
  await raw.etcd.auth.authEnable();
  const endpoints = [etcd.endpoint];
  await using root = await openEtcdStore({ endpoints, user: 'root', password: 'secret' });
  const revision = await put(root, '/ours/0');
  const lease = await root.lease(3_000, never);
  await nodeClock.sleep(4_000, never);
  assert.ok(!lease.lost.aborted);
  const watch: AsyncIterator<WatchRevision> = root.watch('/', revision, never)[Symbol.asyncIterator]();
  assert.equal((await watch.next()).value?.revision, revision);
  await watch.return?.();
  using operator = new Raw(etcd.endpoint, { username: 'root', password: 'secret' });
  await operator.etcd.user('new').create('new');
  await put(root, '/ours/0');
  assert.equal((await root.status()).writable, true);
  await assert.rejects(openEtcdStore({ endpoints, user: 'root', password: 'wrong' }), fails('refused', /password/));
  await assert.rejects(openEtcdStore({ endpoints }), fails('refused', /user name is empty|password/));
  await using us = new EtcdMetadataStore({ endpoints, user: 'us', password: 'ours' });
  await put(us, '/ours/1');
  assert.equal((await us.read('/ours/')).entries.length, 2);
  await assert.rejects(us.read('/others/'), fails('refused', /does not let this user/));
  await assert.rejects(put(us, '/others/0'), fails('refused', /does not let this user/));
}

/** A pair of keys in a folder of their own, as etcd's option names them. */
async function signingKeys(): Promise<{ readonly options: string } & AsyncDisposable> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'tributary-etcd-keys-'));
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  const [publicFile, privateFile] = [path.join(directory, 'public.pem'), path.join(directory, 'private.pem')];
  await writeFile(publicFile, pair.publicKey);
  await writeFile(privateFile, pair.privateKey);
  return {
    options: `pub-key=${publicFile},priv-key=${privateFile}`,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
