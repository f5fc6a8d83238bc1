import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokerSettings, partitionIndex, TributaryError } from '@tributary/model';
import { fileBudget } from '../../src/file-budget.ts';
import type { PartitionLog } from '../../src/log/partition-log.ts';
import { counting } from './counting-files.ts';
import { batches, config, openDirectory, range, readAll, RecordingReplay, topic } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const partitions = 60;
const filesMax = 16;

/** Open at this moment, and the most there ever were. */
function countOpen(counted: ReturnType<typeof counting>): { now: number; most: number } {
  const open = { now: 0, most: 0 };
  counted.around = async (call, action) => {
    const done = await action();
    if (call === 'open') open.now++;
    if (call === 'close') open.now--;
    open.most = Math.max(open.most, open.now);
    return done;
  };
  return open;
}

for (const flushPolicy of ['commit', 'async'] as const) {
  test(`many more partitions than files that may be open are written and read, and nothing is lost with the power (${flushPolicy})`, async () => {
    await onSimulatedDisk(`open files ${flushPolicy}`, async ({ disk }) => {
      const counted = counting(disk.mount());
      const open = countOpen(counted);
      const directory = await openDirectory(counted.files);
      directory.openFiles.resize(filesMax);
      const settings = config({ 'segment.bytes': '400', 'flush.policy': flushPolicy });
      const logs: PartitionLog[] = [];
      const openLog = async (index: number): Promise<void> => {
        const options = { config: settings, role: 'sole' as const, replay: new RecordingReplay() };
        logs[index] = await directory.openLog(topic, partitionIndex(index), options);
      };
      for (const index of range(0, partitions)) await openLog(Number(index));
      for (let round = 0; round < 6; round++) {
        await Promise.all(
          logs.map(async (log) => {
            await log.append(batches(round * 2, round * 2 + 2));
            if (flushPolicy === 'commit') await log.sync();
          }),
        );
        for (const log of logs) assert.equal((await readAll(log)).length, round * 2 + 2);
      }
      assert.ok(directory.openFiles.count <= filesMax + 1, `${directory.openFiles.count} are open`);
      await Promise.all(logs.map((log) => log.sync()));
      disk.crash('power');
      const again = await openDirectory(disk.mount());
      again.openFiles.resize(filesMax);
      for (const index of range(0, partitions)) {
        const options = { config: settings, role: 'sole' as const, replay: new RecordingReplay() };
        const log = await again.openLog(topic, partitionIndex(Number(index)), options);
        assert.equal((await readAll(log)).length, 12);
      }
      assert.ok(open.most <= filesMax + partitions, `${open.most} were open at once`);
    });
  });
}

test('one log after the other needs no more files than are allowed', async () => {
  await onSimulatedDisk('open files in turn', async ({ disk }) => {
    const counted = counting(disk.mount());
    const directory = await openDirectory(counted.files);
    const open = countOpen(counted);
    directory.openFiles.resize(filesMax);
    for (let round = 0; round < 2; round++) {
      const logs: PartitionLog[] = [];
      for (const index of range(0, partitions)) {
        const options = { config: config(), role: 'sole' as const, replay: new RecordingReplay() };
        const partition = partitionIndex(Number(index) + round * partitions);
        logs.push(await directory.openLog(topic, partition, options));
      }
      for (const log of logs) {
        await log.append(batches(0, 2));
        await log.sync();
      }
      for (const log of logs) assert.equal((await readAll(log)).length, 2);
    }
    // Beside the segments, one small file at a time.
    assert.ok(open.most <= filesMax + 1, `${open.most} were open at once`);
  });
});

test('the files that a process may open are shared between logs and connections; too few are refused with what to do', () => {
  const settings = brokerSettings({ 'open.files.max': '4096', 'max.connections': '10000' });
  assert.deepEqual(fileBudget(settings, undefined), { files: 4096, connections: 10_000 });
  assert.deepEqual(fileBudget(settings, 1_000_000), { files: 4096, connections: 10_000 });
  const tight = fileBudget(settings, 1_024);
  assert.ok(tight.files > 0 && tight.connections > 0 && tight.files + tight.connections < 1_024, JSON.stringify(tight));
  const few = fileBudget(brokerSettings({ 'open.files.max': '4096', 'max.connections': '10' }), 1_024);
  assert.equal(few.connections, 10);
  assert.ok(few.files > 800, JSON.stringify(few));
  assert.throws(
    () => fileBudget(settings, 100),
    (thrown) => thrown instanceof TributaryError && /may open 100 files.*ulimit -n/.test(thrown.message),
  );
});
