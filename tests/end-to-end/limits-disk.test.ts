// A disk without a free byte, on a small file system of its own (needs the right to mount one; skipped, and said so, without).

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect, serializers, TributaryError } from '@tributary/client';
import { DevProcess } from './dev-process.ts';

const diskBytes = 96 * 1024 * 1024;

class SmallDisk implements Disposable {
  readonly path: string;

  private constructor(folder: string) {
    this.path = folder;
  }

  /** undefined: this user may mount nothing here. */
  static mount(): SmallDisk | undefined {
    const folder = mkdtempSync(path.join(tmpdir(), 'tributary-disk-'));
    const options = ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', folder];
    if (spawnSync('mount', options, { timeout: 5_000 }).status === 0) return new SmallDisk(folder);
    rmSync(folder, { recursive: true });
    return undefined;
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Somebody else takes all that is left. */
  fill(): void {
    const file = openSync(`${this.path}/somebody-elses`, 'a');
    try {
      for (;;) writeSync(file, Buffer.alloc(Math.min(1024 * 1024, this.freeBytes) || 4096));
    } catch (thrown) {
      assert.equal((thrown as NodeJS.ErrnoException).code, 'ENOSPC');
    } finally {
      closeSync(file);
    }
  }

  [Symbol.dispose](): void {
    spawnSync('umount', ['-l', this.path], { timeout: 5_000 });
    rmSync(this.path, { recursive: true, force: true });
  }
}

const isFull = (thrown: unknown): boolean => {
  assert.ok(thrown instanceof TributaryError, String(thrown));
  assert.match(thrown.message, /bytes are free|disk is full/);
  assert.match(thrown.message, /Delete topics|disk is full/);
  return true;
};

test('a broker on a full disk refuses records, starts without a free byte, reads, deletes a topic, and then takes records again', async (context: TestContext) => {
  using disk = SmallDisk.mount();
  if (disk === undefined) {
    context.skip('no right to mount a small file system');
    return;
  }
  await using dev = await DevProcess.begin({ dataDirectory: path.join(disk.path, 'data') });
  await using cluster = await connect({ bootstrap: dev.bootstrap });
  await cluster.admin.createTopic({ name: 'kept' });
  await cluster.admin.createTopic({ name: 'large' });
  await using kept = cluster.producer();
  await kept.sendAll(Array.from({ length: 100 }, (_, index) => ({ topic: 'kept', value: `${index}` })));

  await context.test('at the mark the producer is told why, how much is free, and what to do', async () => {
    await using large = cluster.producer({ deliveryTimeoutMs: 3_000 });
    const value = Buffer.alloc(500_000, 7);
    await assert.rejects(async () => {
      for (let sent = 0; sent < diskBytes; sent += value.length) await large.send({ topic: 'large', value });
    }, isFull);
    const { freeBytes } = disk;
    assert.ok(freeBytes > diskBytes * 0.03 && freeBytes < diskBytes * 0.06, `${freeBytes} bytes are free`);
  });

  for (const how of ['killed', 'stopped'] as const) {
    await context.test(`${how}, it starts again without a free byte, and serves what it has`, async () => {
      disk.fill();
      assert.equal(disk.freeBytes, 0);
      if (how === 'killed') await dev.kill();
      else await dev.stop();
      disk.fill();
      assert.equal(disk.freeBytes, 0);
      await dev.start();
      await using consumer = cluster.consumer({ valueDeserializer: serializers.string });
      await consumer.assign([{ topic: 'kept', offset: 'beginning' }]);
      let next = 0;
      for await (const { value } of consumer) {
        assert.equal(value, `${next++}`);
        if (next === 100) break;
      }
      assert.equal((await consumer.endOffsets([{ topic: 'large', partition: 0 }])).length, 1);
      await using refused = cluster.producer({ deliveryTimeoutMs: 1_500 });
      await assert.rejects(Promise.resolve(refused.send({ topic: 'kept', value: 'no' })), isFull);
    });
  }

  await context.test('a topic can be deleted, and the room that it had is used', async () => {
    await cluster.admin.deleteTopic('large');
    await using again = cluster.producer({ deliveryTimeoutMs: 20_000 });
    const { offset } = await again.send({ topic: 'kept', value: 'again' });
    assert.equal(offset, 100n);
  });
});
