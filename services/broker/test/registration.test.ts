import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  encodeTransaction,
  type ImageSource,
  metadataKeys,
  openImageSource,
  type PartitionName,
  registerBroker,
  type Value,
} from '@tributary/metadata';
import {
  directoryId,
  type IncarnationId,
  incarnationId,
  nodeId,
  partitionIndex,
  topicId,
  TributaryError,
} from '@tributary/model';
import { type Logger, type MetadataStore, MetadataStoreError } from '@tributary/ports';
import { aRegistration } from '../../../packages/metadata/test/samples.ts';
import { type SimulatedBench, simulated } from '../../../packages/metadata/test/simulated-bench.ts';
import type { Disk } from '../src/log/disk.ts';
import { Identity } from '../src/log/identity.ts';
import { type RegisteredAs, Registration } from '../src/registration.ts';

const keys = metadataKeys('test');
const never = new AbortController().signal;
const me = nodeId(1);
const place = { kind: 'registration', nodeId: me } as const;
const suspect: PartitionName = { topicId: topicId('t'), partition: partitionIndex(3) };

const identity = (): Identity =>
  new Identity({ root: '/data', replace: async () => undefined } as unknown as Disk, {
    clusterId: undefined,
    brokerId: undefined,
    directoryId: directoryId('mine'),
    bootId: 'boot',
    cleanShutdown: false,
    lossy: true,
    lastRegisteredIncarnation: undefined,
    pendingIncarnation: undefined,
    earlierIncarnations: [],
    highestRevision: 0n,
    restoreGeneration: 0,
    failedSync: undefined,
  });

interface Bench extends SimulatedBench {
  readonly registration: Registration;
  readonly identity: Identity;
  readonly images: ImageSource;
  readonly seen: RegisteredAs[];
  readonly warnings: string[];
  /** Settles as `keep` does. */
  readonly keeping: Promise<void>;
  put(value: Value): Promise<void>;
  /** What the controller writes once it has looked. */
  admit(as: RegisteredAs | undefined): Promise<void>;
  until(condition: () => boolean): Promise<void>;
}

async function registered(seed: number, story: (bench: Bench) => Promise<void>, failing?: Partial<MetadataStore>) {
  await simulated(seed, async (bench) => {
    const { clock, random } = bench;
    const { store } = bench;
    await using images = await openImageSource(store, keys, clock, never);
    const warnings: string[] = [];
    const logger: Logger = {
      info: () => undefined,
      warn: (event, fields) => void warnings.push(`${event} ${String(fields?.['why'])}`),
      error: () => assert.fail('no errors'),
    };
    const where = { nodeId: me, address: 'b1:9095', host: 'h', rack: '', sessionTimeoutMs: 3_000, configs: {} };
    const mine = identity();
    const used: MetadataStore = Object.assign(Object.create(store) as MetadataStore, failing);
    const directory = { identity: mine, lastStop: 'lossy' } as const;
    const ports = { clock, random, store: used, keys, images, logger };
    const registration = new Registration(where, directory, ports);
    const stopping = new AbortController();
    const seen: RegisteredAs[] = [];
    const keeping = registration.keep([suspect], (as) => void seen.push(as), stopping.signal);
    keeping.catch(() => undefined);
    const put = async (value: Value): Promise<void> => {
      await store.commit(encodeTransaction(keys, { expect: [], put: [value], delete: [] }));
    };
    const admit = async (as: RegisteredAs | undefined): Promise<void> => {
      assert.ok(as !== undefined);
      const { epoch, incarnationId: incarnation } = as;
      const status = { nodeId: me, brokerEpoch: epoch, incarnationId: incarnation, directoryId: directoryId('mine') };
      await put({ kind: 'broker-status', value: { ...status, fenced: false, leaving: false } });
      await images.until((image) => registration.admitted(image), never);
      await registration.heard();
    };
    const until = async (condition: () => boolean): Promise<void> => {
      for (let i = 0; i < 1_000 && !condition(); i++) await clock.sleep(20, never);
      assert.ok(condition());
    };
    try {
      await story({ ...bench, registration, identity: mine, images, seen, warnings, keeping, put, admit, until });
    } finally {
      stopping.abort(new Error('over'));
      await keeping.catch(() => undefined);
    }
  });
}

const shown = ({ images }: Bench) => images.current.broker(me)?.registration;
const remove = async ({ store }: Bench): Promise<void> => {
  await store.commit(encodeTransaction(keys, { expect: [], put: [], delete: [place] }));
};

describe('a broker', () => {
  test('R10: that the controller took for dead registers anew, with a newer epoch; nothing was lost, so it tells of nothing', () =>
    registered(1, async (bench) => {
      const { seen, admit, until, registration } = bench;
      await until(() => seen.length === 1);
      await admit(seen[0]);
      await remove(bench);
      await until(() => seen.length === 2);
      assert.ok((seen[1]?.epoch ?? 0n) > (seen[0]?.epoch ?? 0n));
      assert.notEqual(seen[1]?.incarnationId, seen[0]?.incarnationId);
      await until(() => shown(bench)?.createRevision === seen[1]?.epoch);
      assert.equal(shown(bench)?.lossy, false);
      assert.deepEqual(shown(bench)?.suspects, []);
      assert.equal(registration.admitted(bench.images.current), false, 'R6: it leads nothing in the old epoch');
      assert.match(bench.warnings.join(), /registration-gone the controller took this part for dead/);
      await bench.clock.sleep(20_000, never);
      assert.equal(seen.length, 2);
    }));

  test('R6: tells of suspects and a lossy stop until a registration that did is admitted, and remembers that over a restart', () =>
    registered(2, async (bench) => {
      const { seen, admit, until } = bench;
      await until(() => seen.length === 1);
      await remove(bench);
      await until(() => seen.length === 2);
      await until(() => shown(bench)?.createRevision === seen[1]?.epoch);
      assert.equal(shown(bench)?.lossy, true);
      assert.deepEqual(shown(bench)?.suspects, [suspect]);
      assert.equal(bench.identity.meta.lossy, true);
      await admit(seen[1]);
      assert.equal(bench.identity.meta.lossy, false);
    }));

  test('R6: knows every incarnation by which metadata may know its directory', () =>
    registered(3, async (bench) => {
      const { seen, admit, until, images } = bench;
      const inMetadata = (): IncarnationId[] => {
        const broker = images.current.broker(me);
        return [broker?.registration, broker?.status].flatMap((each) => each?.incarnationId ?? []);
      };
      await until(() => seen.length === 1);
      await admit(seen[0]);
      for (let n = 2; n <= 6; n++) {
        await remove(bench);
        await until(() => seen.length === n && shown(bench)?.createRevision === seen[n - 1]?.epoch);
        assert.deepEqual(inMetadata(), [seen[n - 1]?.incarnationId, seen[0]?.incarnationId]);
        for (const each of inMetadata()) assert.ok(bench.identity.incarnations.includes(each));
        assert.ok(bench.identity.incarnations.length <= 4);
      }
    }));

  test('whose id has been taken by another directory meanwhile is told so, and does not take it back', () =>
    registered(4, async (bench) => {
      const { seen, until, store, clock } = bench;
      await until(() => seen.length === 1);
      const other = aRegistration(me, { directoryId: directoryId('other'), incarnationId: incarnationId('x') });
      const stop = new AbortController();
      for (let isTaken = false; !isTaken; ) {
        await remove(bench);
        // Unless the broker itself is first.
        const taking = registerBroker(store, keys, other, clock, { signal: stop.signal });
        isTaken = await taking.then(
          () => true,
          () => false,
        );
      }
      await assert.rejects(bench.keeping, (thrown) => {
        assert.ok(thrown instanceof TributaryError && thrown.error === 'DUPLICATE_BROKER_REGISTRATION');
        return true;
      });
      stop.abort();
    }));

  test('and a second process with a copy of its directory: one of them stops and names the other, instead of taking turns for ever', async () => {
    for (let seed = 10; seed < 30; seed++) {
      await registered(seed, async (bench) => {
        const { seen, admit, until, store, clock, keeping } = bench;
        await until(() => seen.length === 1);
        await admit(seen[0]);
        const copied = seen[0]?.incarnationId;
        const copy = { directoryId: directoryId('mine'), incarnationId: incarnationId('twin'), address: 'b9:9095' };
        const options = { signal: never, isOwn: (id: IncarnationId) => id === copied };
        const second = registerBroker(store, keys, aRegistration(me, copy), clock, options);
        const ended = await Promise.race([
          keeping.then(
            () => assert.fail('it ended'),
            (thrown: unknown) => thrown,
          ),
          second.then(
            () => new Promise<never>(() => undefined),
            (thrown: unknown) => thrown,
          ),
        ]);
        assert.ok(ended instanceof TributaryError && ended.error === 'DUPLICATE_BROKER_REGISTRATION');
        assert.match(ended.message, /Another process, at b\d:9095, has registered as broker 1 with a copy of data/);
      });
    }
  });

  test('that is about to stop does not register anew when others have seen it go', () =>
    registered(8, async (bench) => {
      const { seen, admit, until, keeping, registration } = bench;
      await until(() => seen.length === 1);
      await admit(seen[0]);
      registration.handedOver();
      await remove(bench);
      await keeping;
      assert.equal(seen.length, 1);
      assert.deepEqual(bench.warnings, []);
    }));

  test('M5: that was only cut off from the store keeps its registration, and nobody notices', () =>
    registered(5, async (bench) => {
      const { seen, admit, until, world, clock } = bench;
      await until(() => seen.length === 1);
      await admit(seen[0]);
      world.away = true;
      await clock.sleep(2_900, never);
      assert.ok(bench.registration.admitted(bench.images.current));
      world.away = false;
      await clock.sleep(10_000, never);
      assert.equal(seen.length, 1);
      assert.ok(bench.registration.admitted(bench.images.current));
    }));

  test('that the store refuses once and for all says so and ends, instead of asking for ever', () =>
    registered(
      6,
      async ({ keeping, warnings }) => {
        await assert.rejects(keeping, /user is not allowed/);
        assert.match(warnings.join(), /registering-failed.*user is not allowed/);
      },
      {
        commit: () => Promise.reject(new MetadataStoreError('refused', 'The user is not allowed to write; grant it.')),
      },
    ));
});
