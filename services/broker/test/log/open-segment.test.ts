/** The open file of one segment, while others look for files to close and compaction replaces it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { offset } from '@tributary/model';
import { Disk } from '../../src/log/disk.ts';
import { IndexCache } from '../../src/log/index-cache.ts';
import { Segment } from '../../src/log/segment.ts';
import { SegmentRetired } from '../../src/log/segment-file.ts';
import { type Counted, counting } from './counting-files.ts';
import { silent, testClock, testHost } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

interface Bench {
  readonly disk: Disk;
  readonly counted: Counted;
  readonly segment: Segment;
}

async function onSegment(title: string, story: (bench: Bench) => Promise<void>): Promise<void> {
  await onSimulatedDisk(title, async (bench) => {
    const counted = counting(bench.disk.mount());
    const disk = new Disk(counted.files, 'data', { clock: testClock(), host: testHost(), logger: silent });
    await counted.files.makeDirectory('data');
    const place = { disk, indexes: new IndexCache(1 << 20), folder: 'data' };
    await story({ disk, counted, segment: new Segment(place, offset(0n), 'new') });
  });
}

test('a file that was opened to be written or flushed is not closed before it is, however many others are to be opened', async () => {
  await onSegment('opened to be written', async ({ disk, counted, segment }) => {
    const storm = async (): Promise<void> => {
      for (let tick = 0; tick < 100; tick++) await disk.openFiles.closeOne();
    };
    const storms: Promise<void>[] = [];
    counted.around = async (call, action) => {
      const done = await action();
      if (call === 'open') storms.push(storm());
      return done;
    };
    await segment.append([Buffer.from('one')]);
    await segment.release();
    await segment.append([Buffer.from('two')]);
    await segment.release();
    await segment.syncAnyway();
    await Promise.all(storms);
    assert.ok(storms.length >= 3);
  });
});

test('readers that come while the file is opened for writing leave no file open', async () => {
  await onSegment('opened twice', async ({ disk, counted, segment }) => {
    const look = (): Promise<number> => segment.use((file) => Promise.resolve(file.size));
    await segment.append([Buffer.from('one')]);
    await segment.sync();
    await segment.release();
    let open = 0;
    let opens = 0;
    const [begun, opened, closing, reopened] = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    assert.ok(begun !== undefined && opened !== undefined && closing !== undefined && reopened !== undefined);
    counted.around = async (call, action) => {
      if (call === 'open' && ++opens === 1) {
        // The writer's: a reader overtakes it, and another one while the first one's file is being closed.
        begun.resolve();
        await opened.promise;
      }
      if (call === 'close' && opens === 2) {
        closing.resolve();
        await reopened.promise;
      }
      const done = await action();
      if (call === 'open') open++;
      if (call === 'close') open--;
      return done;
    };
    const writing = segment.append([Buffer.from('two')]);
    await begun.promise;
    await look();
    opened.resolve();
    await closing.promise;
    await look();
    reopened.resolve();
    await writing;
    assert.equal(await look(), 6);
    await segment.sync();
    await segment.release();
    assert.equal(open, 0);
    assert.equal(disk.openFiles.count, 0);
  });
});

test('a segment that is replaced while a reader opens it does not count as open for ever', async () => {
  await onSegment('opened late', async ({ disk, counted, segment }) => {
    await segment.append([Buffer.from('one')]);
    await segment.sync();
    await segment.release();
    let retired: Promise<void> | undefined;
    counted.around = async (call, action) => {
      const done = await action();
      if (call === 'open') retired = segment.retire();
      return done;
    };
    await assert.rejects(
      segment.use(() => Promise.resolve()),
      SegmentRetired,
    );
    await retired;
    assert.equal(disk.openFiles.count, 0);
  });
});

test('a reader that finds the file gone because its segment was replaced looks for the other one', async () => {
  await onSegment('gone', async ({ disk, counted, segment }) => {
    await segment.append([Buffer.from('one')]);
    await segment.sync();
    await segment.release();
    let isFirst = true;
    counted.before = async (call, path) => {
      if (call !== 'open' || !isFirst) return;
      isFirst = false;
      await segment.retire();
      await disk.files.remove(path);
    };
    await assert.rejects(
      segment.use(() => Promise.resolve()),
      SegmentRetired,
    );
    assert.equal(disk.openFiles.count, 0);
  });
});
