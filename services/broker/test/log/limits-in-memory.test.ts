/** What bounds the memory and the disk work of all logs together. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, offset, partitionIndex } from '@tributary/model';
import { IndexCache } from '../../src/log/index-cache.ts';
import { SyncPool } from '../../src/log/sync-pool.ts';
import type { LogBatch } from '../../src/log/log-types.ts';
import { TailCache } from '../../src/log/tail-cache.ts';
import { counting } from './counting-files.ts';
import { batches, config, openDirectory, RecordingReplay, range, topic } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const inOwnMemory = (batch: LogBatch): LogBatch => ({ ...batch, bytes: new Uint8Array(batch.bytes) });

describe('the tails in memory', () => {
  test('count all that a batch keeps: the message that it came in, once for all the batches of that message', () => {
    const message = new Uint8Array(10_000);
    const cache = new TailCache(25_000);
    const [a, b] = [cache.tail(), cache.tail()];
    const [first, second, third] = batches(0, 3).map((one) => ({ ...one, bytes: message.subarray(0, 100) }));
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    a.add(first);
    b.add(second);
    assert.equal(cache.bytes, 10_000);
    a.clear();
    assert.equal(cache.bytes, 10_000);
    b.add({ ...third, bytes: new Uint8Array(20_000).subarray(0, 1) });
    assert.equal(cache.bytes, 20_000);
    b.clear();
    assert.equal(cache.bytes, 0);
  });

  test('stay within one budget for all logs, the oldest batch of all goes first, and what stays has no hole', () => {
    const size = batches(0, 1)[0]?.bytes.length ?? 0;
    const cache = new TailCache(10 * size);
    const [a, b] = [cache.tail(), cache.tail()];
    for (const [index, one] of batches(0, 30).map(inOwnMemory).entries()) {
      (index % 3 === 0 ? a : b).add(one);
      assert.ok(cache.bytes <= 10 * size);
    }
    const held = (tail: typeof a): number[] =>
      range(0, 30).filter((base) => {
        const slice = tail.read(offset(BigInt(base)), 1, 1 << 20, offset(30n));
        return slice?.kind === 'records' && slice.next === BigInt(base + 1);
      });
    assert.deepEqual(
      [...held(a), ...held(b)].sort((x, y) => x - y),
      range(20, 30),
    );
  });

  test('forget what was cut, and all of a closed log', () => {
    const cache = new TailCache(1 << 20);
    const tail = cache.tail();
    for (const one of batches(0, 10)) tail.add(one);
    tail.truncate(offset(4n));
    assert.equal(tail.read(offset(4n), 1, 1 << 20, offset(10n))?.kind, 'end');
    assert.equal(tail.read(offset(3n), 1, 1 << 20, offset(10n))?.kind, 'records');
    tail.clear();
    assert.equal(cache.bytes, 0);
    assert.equal(tail.read(offset(3n), 1, 1 << 20, offset(10n)), undefined);
  });

  test('drop a batch larger than the budget rather than exceed it', () => {
    const cache = new TailCache(100);
    const tail = cache.tail();
    for (const one of batches(0, 3, { valueBytes: 500 })) tail.add(one);
    assert.equal(cache.bytes, 0);
  });
});

describe('the indexes in memory', () => {
  test('go back to their files when the budget is used up, the least recently searched first', () => {
    const cache = new IndexCache(100);
    const released: string[] = [];
    const index = (name: string) => ({ bytesInMemory: 40, release: () => void released.push(name) });
    const [a, b, c] = [index('a'), index('b'), index('c')];
    for (const used of [a, b, a, c]) cache.used(used);
    assert.deepEqual(released, ['b']);
    assert.equal(cache.bytes, 80);
  });
});

describe('syncs', () => {
  test('are bounded, and come in the order in which they were asked for', async () => {
    const pool = new SyncPool(3);
    const order: number[] = [];
    let running = 0;
    let most = 0;
    await Promise.all(
      range(0, 20).map((number) =>
        pool.run(async () => {
          order.push(number);
          running++;
          most = Math.max(most, running);
          await new Promise((resolve) => setImmediate(resolve));
          running--;
        }),
      ),
    );
    assert.equal(most, 3);
    assert.deepEqual(order, range(0, 20));
  });

  test('of many logs at once never exceed limits.syncsInFlight', async () => {
    await onSimulatedDisk('many', async ({ disk }) => {
      const counted = counting(disk.mount());
      const directory = await openDirectory(counted.files);
      const logs = await Promise.all(
        range(0, 60).map((index) =>
          directory.openLog(topic, partitionIndex(index), {
            config: config(),
            role: 'sole',
            replay: new RecordingReplay(),
          }),
        ),
      );
      let running = 0;
      let most = 0;
      counted.around = async (call, action) => {
        if (call !== 'sync' && call !== 'sync directory') return await action();
        running++;
        most = Math.max(most, running);
        try {
          return await action();
        } finally {
          running--;
        }
      };
      await Promise.all(
        logs.map(async (log) => {
          await log.append(batches(0, 1));
          assert.equal(await log.sync(), 1n);
        }),
      );
      assert.equal(most, limits.syncsInFlight);
    });
  });
});
