/** One segment takes the place of others, or it does not: whatever a crash leaves of the names (ADR 6). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileSystem, Host } from '@tributary/ports';
import { Disk } from '../../src/log/disk.ts';
import { decideSwap, finishSwap, rollForward } from '../../src/log/segment-swap.ts';
import { silent, testClock } from './harness.ts';
import { at } from './keyed.ts';
import { type Crash, Machine } from './machine.ts';
import { onSimulatedDisk } from './on-disk.ts';

const folder = 'data/t-0';
const range = { base: at(10), end: at(30) };
const name = (base: number, kind: string): string => `${String(base).padStart(20, '0')}.${kind}`;
const before = [0, 10, 20, 30].flatMap((base) => [name(base, 'index'), name(base, 'log'), name(base, 'timeindex')]);
const after = before.filter(
  (each) => !each.startsWith(name(20, '')) && each !== name(10, 'index') && each !== name(10, 'timeindex'),
);

const diskOf = (files: FileSystem, host: Host): Disk =>
  new Disk(files, 'data', { host, clock: testClock(), logger: silent });

async function write(files: FileSystem, path: string, text: string): Promise<void> {
  const file = await files.open(path, 'append');
  await file.append([Buffer.from(text)]);
  await file.sync();
  await file.close();
}

async function contentOf(disk: Disk, base: number): Promise<string> {
  return Buffer.from((await disk.readWhole(`${folder}/${name(base, 'log')}`)) ?? []).toString();
}

/** @param crashAt at which disk operation; 0: none. @returns operations of the swap, and whether it took place. */
async function swap(
  seed: number,
  how: Crash,
  crashAt: number,
): Promise<{ readonly operations: number; readonly isNew: boolean }> {
  let told = { operations: 0, isNew: false };
  await onSimulatedDisk(`swap ${seed} ${how} ${crashAt}`, async (bench) => {
    const machine = new Machine(bench, how);
    const temporary = `${folder}/${name(10, 'log')}.tmp`;
    await machine.run(async (files) => {
      await files.makeDirectory(folder);
      for (const each of before) await write(files, `${folder}/${each}`, `old ${each}`);
      await write(files, temporary, 'new');
      for (const path of ['.', 'data', folder]) await files.syncDirectory(path);
    });
    const first = bench.disk.operations;
    await machine.run(async (files, host) => {
      const disk = diskOf(files, host);
      await decideSwap(disk, folder, temporary, range);
      await finishSwap(disk, folder, range);
    }, crashAt);
    const operations = bench.disk.operations - first;
    machine.crash(how);
    // The next start may be cut short as well.
    await machine.run(
      async (files, host) => void (await rollForward(diskOf(files, host), folder, await files.list(folder))),
      1 + (seed % 12),
    );
    machine.crash(how);
    await machine.run(async (files, host) => {
      const disk = diskOf(files, host);
      await rollForward(disk, folder, await files.list(folder));
      const names = (await files.list(folder)).filter((each) => !each.endsWith('.tmp'));
      const isNew = (await contentOf(disk, 10)) === 'new';
      assert.deepEqual(names, isNew ? after : before, `${how} at ${crashAt}, seed ${seed}`);
      for (const base of isNew ? [0, 30] : [0, 10, 20, 30])
        assert.equal(await contentOf(disk, base), `old ${name(base, 'log')}`, `${how} at ${crashAt}, seed ${seed}`);
      told = { operations, isNew };
    });
  });
  return told;
}

test('segments are replaced as a whole or not at all, wherever a crash cuts it short, and the start after it', async () => {
  for (const how of ['process', 'power'] as const) {
    const { operations, isNew } = await swap(0, how, 0);
    assert.ok(operations >= 10 && isNew, `${operations} disk operations`);
    const outcomes = { old: 0, new: 0 };
    for (let crashAt = 1; crashAt <= operations; crashAt++)
      for (let seed = 0; seed < 25; seed++) outcomes[(await swap(seed, how, crashAt)).isNew ? 'new' : 'old']++;
    assert.ok(outcomes.old > 10 && outcomes.new > 100, JSON.stringify(outcomes));
  }
});
