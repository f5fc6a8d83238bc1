import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BrokerEpoch, TributaryError, nodeId } from '@tributary/model';
import type { Logger } from '@tributary/ports';
import { CoordinatorRegistration } from '../src/coordinator-registration.ts';
import { openImageSource } from '../src/image-source.ts';
import { metadataKeys } from '../src/keys.ts';
import { type SimulatedBench, simulated } from './simulated-bench.ts';

const keys = metadataKeys('test');
const never = new AbortController().signal;
const node = nodeId(7);
const place = { kind: 'coordinator-registration', nodeId: node } as const;
const sessionMs = 6_000;

/** A process that keeps registered as coordinator 7 until it is stopped. */
async function running({ store, clock, random }: SimulatedBench, address = 'host:9097') {
  const images = await openImageSource(store, keys, clock, never);
  const where = { nodeId: node, address, host: 'h', rack: '', sessionTimeoutMs: sessionMs };
  const warnings: string[] = [];
  const logger: Logger = { info() {}, warn: (event) => warnings.push(event), error() {} };
  const registration = new CoordinatorRegistration(where, { clock, random, store, keys, images, logger });
  const stop = new AbortController();
  const epochs: BrokerEpoch[] = [];
  const over = registration
    .keep((epoch) => epochs.push(epoch), stop.signal)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  const epoch = (): BrokerEpoch => {
    const newest = epochs.at(-1);
    assert.ok(newest !== undefined, 'it is registered');
    return newest;
  };
  return { registration, stop, epochs, epoch, over, warnings };
}

async function registeredAt({ store }: SimulatedBench): Promise<bigint | undefined> {
  return (await store.read(keys.of(place))).entries[0]?.createRevision;
}

const isDuplicate = (thrown: unknown): boolean =>
  thrown instanceof TributaryError && thrown.error === 'DUPLICATE_BROKER_REGISTRATION';

describe('a coordinator', () => {
  test('is registered for as long as it runs, and known by the revision of that', () =>
    simulated(1, async (bench) => {
      const { registration, stop, epochs } = await running(bench);
      await bench.clock.sleep(60_000, never);
      assert.deepEqual(epochs, [await registeredAt(bench)]);
      assert.equal(epochs.length, 1);
      assert.equal(registration.current?.epoch, epochs[0]);
      stop.abort();
      await bench.clock.sleep(20_000, never);
      assert.equal(await registeredAt(bench), undefined);
    }));

  test('that was restarted takes the place of its earlier life at once, in a newer epoch, and keeps it', () =>
    simulated(2, async (bench) => {
      const first = await running(bench);
      await bench.clock.sleep(1_000, never);
      first.stop.abort();
      const second = await running(bench);
      await bench.clock.sleep(1_000, never);
      assert.equal(await registeredAt(bench), second.epoch());
      await bench.clock.sleep(20_000, never);
      assert.equal(await registeredAt(bench), second.epoch());
      second.stop.abort();
    }));

  test('whose registration the controller has deleted registers anew; one that hands over does not', () =>
    simulated(3, async (bench) => {
      const { registration, stop, epochs, epoch, over } = await running(bench);
      await bench.clock.sleep(1_000, never);
      await bench.store.commit({ compare: [], put: [], delete: [keys.of(place)] });
      await bench.clock.sleep(5_000, never);
      assert.equal(epochs.length, 2);
      assert.equal(await registeredAt(bench), epoch());
      registration.handedOver();
      await bench.store.commit({ compare: [], put: [], delete: [keys.of(place)] });
      await bench.clock.sleep(5_000, never);
      assert.equal(await over, undefined);
      assert.equal(await registeredAt(bench), undefined);
      stop.abort();
    }));

  test('with the id of a living one at another address is refused, naming both, after longer than a crashed one would be registered', () =>
    simulated(4, async (bench) => {
      const first = await running(bench);
      await bench.clock.sleep(1_000, never);
      const beganMs = bench.clock.monotonicMs();
      const second = await running(bench, 'other:9097');
      const thrown = await second.over;
      assert.ok(isDuplicate(thrown));
      assert.match(String(thrown), /host:9097.*other:9097/s);
      const tookMs = bench.clock.monotonicMs() - beganMs;
      assert.ok(tookMs > sessionMs && tookMs < 2 * sessionMs, `${tookMs} ms`);
      assert.equal(await registeredAt(bench), first.epoch());
      first.stop.abort();
    }));

  test('that was restarted at another address says that its id is taken, and has it at the end of the earlier lease at the latest', () =>
    simulated(6, async (bench) => {
      const first = await running(bench);
      await bench.clock.sleep(1_000, never);
      first.stop.abort();
      const crashed = first.epoch();
      const second = await running(bench, 'other:9097');
      await bench.clock.sleep(1_000, never);
      assert.deepEqual([await registeredAt(bench), second.warnings], [crashed, ['node-id-taken']]);
      await bench.clock.sleep(1.2 * sessionMs, never);
      assert.equal(await registeredAt(bench), second.epoch());
      assert.deepEqual(second.warnings, ['node-id-taken']);
      second.stop.abort();
    }));

  test('that was restarted at another address has its id as soon as the controller has found the earlier life dead (R10)', () =>
    simulated(7, async (bench) => {
      const first = await running(bench);
      await bench.clock.sleep(1_000, never);
      first.stop.abort();
      const second = await running(bench, 'other:9097');
      await bench.clock.sleep(500, never);
      await bench.store.commit({ compare: [], put: [], delete: [keys.of(place)] });
      await bench.clock.sleep(1_000, never);
      assert.equal(await registeredAt(bench), second.epoch());
      second.stop.abort();
    }));

  test('that finds another process at its own address gives way, instead of taking the registration back for ever', () =>
    simulated(5, async (bench) => {
      const first = await running(bench);
      await bench.clock.sleep(1_000, never);
      const second = await running(bench);
      assert.ok(isDuplicate(await first.over));
      await bench.clock.sleep(20_000, never);
      assert.equal(await registeredAt(bench), second.epoch());
      second.stop.abort();
    }));
});
