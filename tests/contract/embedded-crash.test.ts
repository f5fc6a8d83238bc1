/** The embedded store against a disk that fails, fills up and loses power: nothing acknowledged is lost, nothing is half there. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EmbeddedMetadataStore } from '@tributary/metadata';
import { TributaryError, limits } from '@tributary/model';
import {
  type Clock,
  type Entry,
  type FileSystem,
  type MetadataStore,
  CompactedError,
  FileError,
} from '@tributary/ports';
import { MachineClock } from '../simulator/clock.ts';
import { Coverage } from '../simulator/coverage.ts';
import { type DiskOptions, SimulatedDisk } from '../simulator/disk.ts';
import { Scheduler } from '../simulator/scheduler.ts';
import { SeededRandom } from '../simulator/seeded-random.ts';

const never = new AbortController().signal;
const journal = 'data/metadata/metadata.journal';

class Bench {
  readonly scheduler: Scheduler;
  readonly disk: SimulatedDisk;
  readonly clock: Clock;
  readonly #random: SeededRandom;

  constructor(seed: number, options: DiskOptions = {}) {
    this.#random = new SeededRandom(`embedded store ${seed}`);
    this.scheduler = new Scheduler(this.#random.stream('scheduler'));
    this.disk = new SimulatedDisk(this.scheduler, this.#random.stream('disk'), new Coverage(), options);
    this.clock = new MachineClock(this.scheduler).forProcess(() => true);
  }

  open(
    files: FileSystem = this.disk.mount(),
    crash: (reason: string) => void = () => undefined,
  ): Promise<EmbeddedMetadataStore> {
    return EmbeddedMetadataStore.open(files, 'data/metadata', this.clock, this.#random.stream('store'), { crash });
  }
}

/** What a workload was told, by transaction number. */
interface Told {
  readonly asked: Set<number>;
  readonly acknowledged: Map<number, bigint>;
  leased: boolean;
}

const untold = (): Told => ({ asked: new Set(), acknowledged: new Map(), leased: false });

/** Transactions of two keys each, alone and several at once, with a leased key among them. */
async function work(store: MetadataStore, told: Told, rounds: number, filler = ''): Promise<void> {
  const lease = await store.lease(60_000, never);
  const write = async (n: number): Promise<void> => {
    told.asked.add(n);
    const put = ['a', 'b'].map((half) => ({ key: `/k/${n}/${half}`, value: n + filler }));
    const { revision } = await store.commit({ compare: [], put, delete: [] });
    told.acknowledged.set(n, revision);
  };
  for (let round = 0; round < rounds; round++) {
    await write(round * 4);
    await Promise.all([1, 2, 3].map((i) => write(round * 4 + i)));
    if (round === 1) {
      const { succeeded } = await store.commit({
        compare: [],
        put: [{ key: '/leased', value: '', lease }],
        delete: [],
      });
      told.leased = succeeded;
    }
  }
}

/** What is there after a crash is a prefix of what was asked, in whole transactions, with all that was acknowledged. */
async function check(store: MetadataStore, told: Told, filler = ''): Promise<void> {
  const { revision, entries } = await store.read('/');
  const halves = new Map<number, Entry[]>();
  for (const entry of entries) {
    assert.ok(entry.key.startsWith('/k/'), `${entry.key}: leases are void`);
    const n = Number(entry.key.split('/')[2]);
    assert.ok(told.asked.has(n));
    assert.equal(entry.value, n + filler);
    halves.set(n, [...(halves.get(n) ?? []), entry]);
  }
  for (const [n, both] of halves) {
    assert.equal(both.length, 2, `transaction ${n} is whole`);
    assert.equal(both[0]?.modRevision, both[1]?.modRevision);
  }
  for (const [n, at] of told.acknowledged)
    assert.equal(halves.get(n)?.[0]?.modRevision, at, `transaction ${n} was acknowledged at ${at}`);
  const revisions = [...halves.values()].map(([first]) => Number(first?.modRevision)).sort((a, b) => a - b);
  // The leased key's own revision, and that of its end, are the only ones without a trace.
  const traceless = Number(revision) - 1 - revisions.length;
  assert.ok(traceless === 0 || traceless === 2, `revisions ${revisions.join(' ')} of ${revision}`);
  if (told.leased) assert.equal(traceless, 2);
}

/** Journals that were rewritten while the workload ran. */
let rewrites = 0;

/** Runs the workload until something goes wrong at the disk operation of that number. @returns false when it came to its end before. */
async function crashAt(
  seed: number,
  operation: number,
  how: 'process' | 'power',
  rounds: number,
  filler = '',
): Promise<boolean> {
  const bench = new Bench(seed);
  return bench.scheduler.run(async () => {
    const told = untold();
    const crashed = Promise.withResolvers<true>();
    let renames = 0;
    bench.disk.onOperation = (number, what) => {
      if (what === 'rename' && ++renames === 2) rewrites++;
      if (number !== operation) return;
      bench.disk.crash(how);
      crashed.resolve(true);
    };
    const working = (async () => {
      const store = await bench.open();
      await work(store, told, rounds, filler);
      return false;
    })();
    const reached = await Promise.race([working, crashed.promise]);
    bench.disk.onOperation = undefined;
    await reopenTwice(bench, told, filler);
    return reached;
  });
}

async function reopenTwice(bench: Bench, told: Told, filler = ''): Promise<void> {
  bench.disk.onOperation = undefined;
  bench.disk.crash('process');
  {
    await using store = await bench.open();
    await check(store, told, filler);
  }
  bench.disk.crash('power');
  await using store = await bench.open();
  await check(store, told, filler);
  assert.ok((await store.commit({ compare: [], put: [{ key: '/k/after', value: '' }], delete: [] })).succeeded);
}

/** Every operation in turn; @returns how many there were. */
async function crashEverywhere(seed: number, how: 'process' | 'power', rounds: number, filler = ''): Promise<number> {
  let operation = 1;
  while (await crashAt(seed, operation, how, rounds, filler)) operation++;
  return operation - 1;
}

describe('the embedded store', () => {
  test('killed at any disk operation, it loses nothing that was acknowledged', async () => {
    for (let seed = 1; seed <= 8; seed++) assert.ok((await crashEverywhere(seed, 'process', 3)) > 20);
  });

  test('without power at any disk operation, it loses nothing that was acknowledged', async () => {
    for (let seed = 1; seed <= 25; seed++) assert.ok((await crashEverywhere(seed, 'power', 3)) > 20);
  });

  test('the same while its journal is rewritten', async () => {
    // Two values a transaction, four transactions a round: the fifth passes the limit.
    const filler = 'x'.repeat(limits.metadataJournal / 10);
    const before = rewrites;
    for (const how of ['process', 'power'] as const) {
      for (let seed = 1; seed <= 2; seed++) await crashEverywhere(seed, how, 2, filler);
    }
    assert.ok(rewrites - before >= 4);
  });

  test('after a failed sync it answers nothing more, says so, and the next start has what was acknowledged', async () => {
    let failures = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const bench = new Bench(seed);
      await bench.scheduler.run(async () => {
        const told = untold();
        const crashed = Promise.withResolvers<string>();
        const store = await bench.open(undefined, crashed.resolve);
        const failAfter = bench.disk.operations + 1 + (seed % 15);
        bench.disk.onOperation = (number) => {
          if (number === failAfter) bench.disk.failSyncs(1);
        };
        await work(store, told, 4).catch(() => undefined);
        assert.match(await crashed.promise, /cannot write/);
        failures++;
        assert.deepEqual(await store.status().then((status) => status.writable), false);
        await assert.rejects(
          store.commit({ compare: [], put: [{ key: '/k/9', value: '' }], delete: [] }),
          /cannot write/,
        );
        // What a later reader sees may be in the cache only: the start writes it anew, so it stays.
        bench.disk.crash('process');
        const seen = await (await bench.open()).read('/k/');
        bench.disk.crash('process');
        bench.disk.evictPages();
        bench.disk.crash('power');
        const after = await bench.open();
        assert.deepEqual((await after.read('/k/')).entries, seen.entries);
        await check(after, told);
      });
    }
    assert.equal(failures, 60);
  });

  test('on a full disk commits are refused and reads go on; with room again commits go on, and nothing is torn', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const bench = new Bench(seed, { capacity: 1_000_000 });
      await bench.scheduler.run(async () => {
        const told = untold();
        const store = await bench.open();
        await work(store, told, 1);
        bench.disk.occupy(999_999 - (seed % 7) * 20 - (1_000_000 - bench.disk.freeBytes));
        // More than the headroom, a sixteenth of the disk, has room for.
        const refused = { compare: [], put: [{ key: '/k/100/a', value: 'x'.repeat(70_000) }], delete: [] };
        await assert.rejects(
          store.commit(refused),
          (thrown) => thrown instanceof TributaryError && thrown.error === 'KAFKA_STORAGE_ERROR',
        );
        assert.equal((await store.read('/k/')).entries.length, 8);
        assert.ok((await store.status()).writable);
        bench.disk.occupy(0);
        told.asked.add(200);
        const put = ['a', 'b'].map((half) => ({ key: `/k/200/${half}`, value: '200' }));
        told.acknowledged.set(200, (await store.commit({ compare: [], put, delete: [] })).revision);
        bench.disk.crash('power');
        await check(await bench.open(), told);
      });
    }
  });
});

describe('on a disk without a free byte', () => {
  test('the store opens, commits from its headroom, and is whole after a power loss', async () => {
    const bench = new Bench(1, { capacity: 1_000_000 });
    await bench.scheduler.run(async () => {
      const told = untold();
      await work(await bench.open(), told, 1);
      bench.disk.crash('process');
      for (let start = 0; start < 3; start++) {
        bench.disk.occupy(0);
        bench.disk.occupy(bench.disk.freeBytes);
        const store = await bench.open();
        const n = 200 + start;
        told.asked.add(n);
        const put = ['a', 'b'].map((half) => ({ key: `/k/${n}/${half}`, value: String(n) }));
        told.acknowledged.set(n, (await store.commit({ compare: [], put, delete: [] })).revision);
        bench.disk.crash('power');
      }
      await check(await bench.open(), told);
    });
  });
});

describe('the embedded store', () => {
  const once = async (story: (bench: Bench) => Promise<void>): Promise<void> => {
    const bench = new Bench(1);
    await bench.scheduler.run(() => story(bench));
  };

  test('is opened by one process at a time', () =>
    once(async (bench) => {
      const first = await bench.open();
      await assert.rejects(bench.open(), (thrown) => thrown instanceof FileError && thrown.reason === 'locked');
      await first[Symbol.asyncDispose]();
      await using second = await bench.open();
      assert.ok((await second.status()).writable);
    }));

  test('commits that wait together share a sync, and none is seen before it', () =>
    once(async (bench) => {
      await using store = await bench.open();
      let syncs = 0;
      const seenEarly: Promise<number>[] = [];
      bench.disk.onOperation = (_, operation) => {
        if (operation !== 'sync') return;
        syncs++;
        seenEarly.push(store.read('/k/').then(({ entries }) => entries.length));
      };
      await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          store.commit({ compare: [], put: [{ key: `/k/${i}`, value: '' }], delete: [] }),
        ),
      );
      assert.equal(syncs, 1);
      assert.deepEqual(await Promise.all(seenEarly), [0]);
      assert.equal((await store.read('/k/')).entries.length, 100);
    }));

  test('opened again, it has every key with the value and the revisions that it had', () =>
    once(async (bench) => {
      const store = await bench.open();
      const random = new SeededRandom('reopening');
      for (let i = 0; i < 300; i++) {
        const key = `/k/${random.below(20)}`;
        await store.commit(
          random.chance(0.3)
            ? { compare: [], put: [], delete: [key] }
            : { compare: [], put: [{ key, value: String(i) }], delete: [] },
        );
      }
      const before = await store.read('/');
      assert.ok(before.entries.some((entry) => entry.createRevision < entry.modRevision));
      for (let i = 0; i < 2; i++) {
        bench.disk.crash('process');
        assert.deepEqual(await (await bench.open()).read('/'), before);
      }
    }));

  test('opening voids all leases in one revision', () =>
    once(async (bench) => {
      const store = await bench.open();
      const lease = await store.lease(60_000, never);
      await store.commit({ compare: [], put: [{ key: '/kept', value: '' }], delete: [] });
      const { revision } = await store.commit({
        compare: [],
        put: ['/a', '/b'].map((key) => ({ key, value: '', lease })),
        delete: [],
      });
      await store[Symbol.asyncDispose]();
      assert.ok(lease.lost.aborted);
      await using again = await bench.open();
      const after = await again.read('/');
      assert.equal(after.revision, revision + 1n);
      assert.deepEqual(
        after.entries.map((entry) => entry.key),
        ['/kept'],
      );
    }));

  test('what is older than its window cannot be watched, and the follower is told to list again', () =>
    once(async (bench) => {
      await using store = await bench.open();
      const change = { compare: [], put: [{ key: '/k', value: '' }], delete: [] };
      for (let i = 0; i < limits.metadataHistoryRevisions + 2; i += 100)
        await Promise.all(Array.from({ length: 100 }, () => store.commit(change)));
      await assert.rejects(store.watch('/', 2n, never).next(), CompactedError);
      const { revision } = await store.status();
      const oldest = revision - BigInt(limits.metadataHistoryRevisions) + 1n;
      assert.equal((await store.watch('/', oldest, never).next()).value.revision, oldest);
      await assert.rejects(store.watch('/', oldest - 1n, never).next(), CompactedError);
    }));

  test('a damaged byte anywhere but in the last write is refused, naming file and place, and the file is left as it is', () =>
    once(async (bench) => {
      const lastWrite = { begin: 0 };
      {
        await using store = await bench.open();
        await work(store, untold(), 2);
        lastWrite.begin = await sizeOf(bench);
        await store.commit({ compare: [], put: [{ key: '/k/9/a', value: '' }], delete: [] });
      }
      const whole = await bytesOf(bench);
      assert.ok(lastWrite.begin < whole.length);
      for (let at = 0; at < whole.length; at += 3) {
        const damaged = Uint8Array.from(whole, (byte, i) => (i === at ? byte ^ 0x10 : byte));
        await replace(bench, damaged);
        if (at < lastWrite.begin) {
          await assert.rejects(bench.open(), (thrown) => {
            assert.ok(thrown instanceof TributaryError);
            assert.equal(thrown.error, 'CORRUPT_MESSAGE');
            assert.match(thrown.message, /metadata\.journal is damaged at byte \d+/);
            return true;
          });
          assert.deepEqual(await bytesOf(bench), damaged);
        } else {
          // Indistinguishable from a write that the power cut off.
          await using store = await bench.open();
          assert.deepEqual((await store.read('/k/9/')).entries, []);
          assert.equal((await store.read('/k/')).entries.length, 16);
        }
      }
    }));

  test('a torn end of any length is cut, and what was before it is there', () =>
    once(async (bench) => {
      {
        await using store = await bench.open();
        await work(store, untold(), 1);
      }
      const whole = await bytesOf(bench);
      {
        await using store = await bench.open();
        assert.equal((await store.read('/k/')).entries.length, 8);
      }
      await replace(bench, whole);
      const lastFrame = lastFrameOf(whole);
      for (let size = lastFrame; size < whole.length; size++) {
        await replace(bench, whole.subarray(0, size));
        await using store = await bench.open();
        assert.equal((await store.read('/k/')).entries.length, 2);
      }
      await replace(bench, Uint8Array.from([...whole, ...new Uint8Array(4096)]));
      await using store = await bench.open();
      assert.equal((await store.read('/k/')).entries.length, 8);
    }));

  test('a file of a newer format is refused and left as it is', () =>
    once(async (bench) => {
      const { crc32c } = await import('@tributary/record');
      const text = new TextEncoder().encode('{"format":2,"revision":7,"items":[]}');
      const bytes = new Uint8Array(8 + text.length);
      new DataView(bytes.buffer).setUint32(0, text.length);
      new DataView(bytes.buffer).setUint32(4, crc32c(text));
      bytes.set(text, 8);
      await bench.disk.mount().makeDirectory('data/metadata');
      await replace(bench, bytes);
      await assert.rejects(
        bench.open(),
        (thrown) => thrown instanceof TributaryError && thrown.error === 'UNSUPPORTED_VERSION',
      );
      assert.deepEqual(await bytesOf(bench), bytes);
    }));
});

async function bytesOf(bench: Bench): Promise<Uint8Array> {
  const file = await bench.disk.mount().open(journal, 'read');
  const bytes = new Uint8Array(file.size);
  await file.read(bytes, 0);
  await file.close();
  return bytes;
}

const sizeOf = async (bench: Bench): Promise<number> => (await bytesOf(bench)).length;

async function replace(bench: Bench, bytes: Uint8Array): Promise<void> {
  const files = bench.disk.mount();
  await files.remove(journal);
  const file = await files.open(journal, 'append');
  await file.append([bytes]);
  await file.close();
}

function lastFrameOf(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  for (;;) {
    const next = at + 8 + view.getUint32(at);
    if (next >= bytes.length) return at;
    at = next;
  }
}
