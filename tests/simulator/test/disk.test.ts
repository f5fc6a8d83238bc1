import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FileSystem } from '@tributary/ports';
import { FileError } from '@tributary/ports';
import { Coverage } from '../coverage.ts';
import { type DiskOptions, SimulatedDisk } from '../disk.ts';
import { Scheduler } from '../scheduler.ts';
import { SeededRandom } from '../seeded-random.ts';

interface Bench {
  readonly disk: SimulatedDisk;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly scheduler: Scheduler;
}

const text = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? 'absent' : Buffer.from(bytes).toString('latin1');
const bytes = (words: string): Uint8Array => Buffer.from(words, 'latin1');

async function onDisk(seed: number, options: DiskOptions, story: (bench: Bench) => Promise<void>): Promise<Coverage> {
  const random = new SeededRandom(`disk test ${seed}`);
  const scheduler = new Scheduler(random.stream('scheduler'));
  const coverage = new Coverage();
  const disk = new SimulatedDisk(scheduler, random.stream('disk'), coverage, options);
  await scheduler.run(() => story({ disk, random, coverage, scheduler }));
  return coverage;
}

/** The same story under many seeds: what survives is a matter of chance. */
async function underSeeds(story: (bench: Bench) => Promise<void>, options: DiskOptions = {}): Promise<Coverage> {
  const all = new Coverage();
  for (let seed = 1; seed <= 200; seed++) all.add((await onDisk(seed, options, story)).entries());
  return all;
}

async function write(files: FileSystem, path: string, words: string, sync: boolean): Promise<void> {
  const file = await files.open(path, 'append');
  await file.append([bytes(words)]);
  if (sync) await file.sync();
  await file.close();
}

async function contents(files: FileSystem, path: string): Promise<string> {
  try {
    const file = await files.open(path, 'read');
    const into = new Uint8Array(file.size);
    await file.read(into, 0);
    return text(into);
  } catch (error) {
    assert.ok(error instanceof FileError && error.reason === 'absent', String(error));
    return 'absent';
  }
}

describe('the simulated disk', () => {
  test('keeps what was synced, and its name, through a loss of power', async () => {
    await underSeeds(async ({ disk }) => {
      const files = disk.mount();
      await files.makeDirectory('data/p');
      await write(files, 'data/p/log', 'durable', true);
      for (const folder of ['', 'data', 'data/p']) await files.syncDirectory(folder);
      await write(files, 'data/p/log', ' and not', false);
      disk.crash('power');
      assert.match(await contents(disk.mount(), 'data/p/log'), /^durable/);
    });
  });

  test('really loses, tears and punctures what was not synced', async () => {
    const seen = new Set<string>();
    await underSeeds(async ({ disk }) => {
      const files = disk.mount();
      await write(files, 'log', 'durable', true);
      await files.syncDirectory('');
      await write(files, 'log', 'ABCDEFGH', false);
      disk.crash('power');
      const left = await contents(disk.mount(), 'log');
      assert.equal(left.slice(0, 7), 'durable');
      const tail = left.slice(7);
      seen.add(tail === '' ? 'lost' : tail === 'ABCDEFGH' ? 'kept' : 'ABCDEFGH'.startsWith(tail) ? 'torn' : 'hole');
    });
    assert.deepEqual([...seen].sort(), ['hole', 'kept', 'lost', 'torn']);
  });

  test('loses or keeps names that were not synced, and never half a renaming', async () => {
    const seen = new Set<string>();
    await underSeeds(async ({ disk }) => {
      const files = disk.mount();
      await write(files, 'final', 'old', true);
      await files.syncDirectory('');
      await write(files, 'temporary', 'new', true);
      await files.rename('temporary', 'final');
      disk.crash('power');
      const after = disk.mount();
      const final = await contents(after, 'final');
      seen.add(`${final}, ${await contents(after, 'temporary')}`);
    });
    assert.deepEqual([...seen].sort(), ['new, absent', 'old, absent', 'old, new']);
  });

  test('a synced renaming holds, whatever came before it unsynced', async () => {
    await underSeeds(async ({ disk }) => {
      const files = disk.mount();
      await write(files, 'temporary', 'new', true);
      await files.rename('temporary', 'final');
      await files.syncDirectory('');
      disk.crash('power');
      assert.equal(await contents(disk.mount(), 'final'), 'new');
    });
  });

  test('keeps the page cache when only the process is killed', async () => {
    await underSeeds(async ({ disk }) => {
      const files = disk.mount();
      await write(files, 'log', 'unsynced', false);
      disk.crash('process');
      assert.equal(await contents(disk.mount(), 'log'), 'unsynced');
    });
  });

  test('a call of a killed process never returns, and has left all, a part or nothing', async () => {
    const seen = new Set<string>();
    await underSeeds(async ({ disk, scheduler }) => {
      const files = disk.mount();
      const file = await files.open('log', 'append');
      let returned = false;
      disk.onOperation = (_number, operation) => {
        if (operation === 'append') disk.crash('process');
      };
      file.append([bytes('0123'), bytes('4567')]).then(
        () => (returned = true),
        () => (returned = true),
      );
      disk.onOperation = undefined;
      await scheduler.pause(10_000_000);
      assert.equal(returned, false);
      const left = await contents(disk.mount(), 'log');
      assert.ok('01234567'.startsWith(left));
      seen.add(left === '' ? 'nothing' : left.length === 8 ? 'all' : 'part');
    });
    assert.deepEqual([...seen].sort(), ['all', 'nothing', 'part']);
  });

  test('after a failed sync it serves from the cache what the platter lacks, and a second sync does not mend it', async () => {
    let lost = 0;
    const coverage = await underSeeds(async ({ disk }) => {
      const files = disk.mount();
      const file = await files.open('log', 'append');
      await files.syncDirectory('');
      await file.append([bytes('acknowledged?')]);
      disk.failSyncs(1);
      await assert.rejects(file.sync(), (error: unknown) => error instanceof FileError && error.reason === 'io');
      await file.sync();
      assert.equal(await contents(files, 'log'), 'acknowledged?');
      disk.evictPages();
      if ((await contents(files, 'log')) !== 'acknowledged?') lost += 1;
    });
    assert.ok(lost > 50, `lost under ${lost} of 200 seeds`);
    assert.ok(coverage.of('disk: pages evicted after a failed sync') > 50);
  });

  test('a sync covers what was there when it was called, not what came during it', async () => {
    let lost = 0;
    await underSeeds(async ({ disk }) => {
      const files = disk.mount();
      const file = await files.open('log', 'append');
      await files.syncDirectory('');
      await file.append([bytes('before')]);
      const syncing = file.sync();
      await file.append([bytes('during')]);
      await syncing;
      disk.crash('power');
      const left = await contents(disk.mount(), 'log');
      assert.ok(left.startsWith('before'));
      if (left !== 'beforeduring') lost += 1;
    });
    assert.ok(lost > 20, `lost under ${lost} of 200 seeds`);
  });

  test('refuses what does not fit, after perhaps writing a part', async () => {
    const lengths = new Set<number>();
    await underSeeds(
      async ({ disk }) => {
        const files = disk.mount();
        const file = await files.open('log', 'append');
        await file.append([bytes('12345678')]);
        await assert.rejects(
          file.append([bytes('abcd')]),
          (error: unknown) => error instanceof FileError && error.reason === 'full',
        );
        lengths.add(file.size);
        assert.equal(await files.freeBytes(''), 10 - file.size);
        await file.truncate(8);
        await file.append([bytes('ab')]);
        assert.equal(await contents(files, 'log'), '12345678ab');
      },
      { capacity: 10 },
    );
    assert.deepEqual(
      [...lengths].sort((a, b) => a - b),
      [8, 9, 10],
    );
  });

  test('a lock is held by one process, and ends with it', async () => {
    await onDisk(1, {}, async ({ disk }) => {
      const first = disk.mount();
      await first.makeDirectory('data');
      await first.lock('data/lock');
      await assert.rejects(
        disk.mount().lock('data/lock'),
        (error: unknown) => error instanceof FileError && error.reason === 'locked',
      );
      first.end();
      await using _held = await disk.mount().lock('data/lock');
    });
  });

  test('a removed folder is gone, or after a loss of power perhaps only its files', async () => {
    const seen = new Set<string>();
    await underSeeds(async ({ disk }) => {
      const files = disk.mount();
      await files.makeDirectory('p');
      await write(files, 'p/a', 'A', true);
      await files.syncDirectory('p');
      await files.syncDirectory('');
      await files.remove('p');
      assert.deepEqual(await files.list(''), []);
      disk.crash('power');
      const after = disk.mount();
      seen.add(`${(await after.list('')).join()}:${(await after.list('p')).join()}`);
    });
    assert.deepEqual([...seen].sort(), [':', 'p:', 'p:a']);
  });

  test('a folder that somebody put back is as it was when it was copied, whatever was under way', async () => {
    await onDisk(1, {}, async ({ disk }) => {
      disk.provision('data/a');
      const files = disk.mount();
      await write(files, 'data/a/one', 'old', true);
      await files.syncDirectory('data/a');
      const copy = disk.copyOf('data/a');
      await write(files, 'data/a/one', ' and new', true);
      await write(files, 'data/a/two', 'newer', false);
      disk.crash('process');
      disk.replaceContents('data/a', copy);
      disk.crash('power');
      const left = [...disk.cachedFiles()].map(([path, content]) => [path, text(content)]);
      assert.deepEqual(left, [['data/a/one', 'old']]);
      disk.replaceContents('data/a', new Map());
      assert.deepEqual([...disk.cachedFiles()], []);
    });
  });
});
