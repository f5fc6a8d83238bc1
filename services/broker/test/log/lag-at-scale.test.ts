// What a question about many readers costs, with real files: told, not judged, because machines differ.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits, offset, partitionIndex } from '@tributary/model';
import type { LagBudget, ReaderLag } from '../../src/log/lag-meter.ts';
import type { PartitionLog } from '../../src/log/partition-log.ts';
import { batches, config, openDirectory, RecordingReplay, topic } from './harness.ts';
import { onRealDisk } from './on-disk.ts';

const partitions = 1_000;
const perPartition = 10;
const records = 200;

function budget(): LagBudget & { read: number } {
  const self = {
    read: 0,
    mayRead: (): boolean => self.read++ < limits.lagReads,
    breathe: (): undefined => undefined,
  };
  return self;
}

test('G7: one question about 10 readers of each of 1,000 partitions is answered, from memory and from files', async (t) => {
  await onRealDisk(async (files, root) => {
    const settings = config({ 'segment.bytes': '20000', 'flush.policy': 'async' });
    const opened = async () => {
      const directory = await openDirectory(files, { root });
      const logs: PartitionLog[] = [];
      for (let index = 0; index < partitions; index++) {
        const options = { config: settings, role: 'sole' as const, replay: new RecordingReplay() };
        logs.push(await directory.openLog(topic, partitionIndex(index), options));
      }
      return { directory, logs };
    };
    const offsets = Array.from({ length: perPartition }, (_, index) =>
      offset(BigInt((index * records) / perPartition)),
    );
    const asked = async (logs: readonly PartitionLog[], from: string): Promise<void> => {
      const question = { offsets, upTo: offset(BigInt(records)), nowMs: 10_000 };
      const spent = budget();
      const before = process.memoryUsage().heapUsed;
      const began = performance.now();
      const answers: ReaderLag[][] = [];
      for (let at = 0; at < logs.length; at += limits.partitionsOpenedAtOnce) {
        const some = logs.slice(at, at + limits.partitionsOpenedAtOnce);
        answers.push(...(await Promise.all(some.map((log) => log.lag.measure(question, spent)))));
      }
      const ms = (performance.now() - began).toFixed(0);
      const mib = ((process.memoryUsage().heapUsed - before) / 2 ** 20).toFixed(1);
      const guesses = answers.flat().filter(({ isEstimated }) => isEstimated).length;
      t.diagnostic(
        `${from}: ${ms} ms, ${mib} MiB, ${Math.min(spent.read, limits.lagReads)} look-ups, ${guesses} of ${partitions * perPartition} estimated`,
      );
      for (const lags of answers) {
        assert.equal(lags.length, perPartition);
        // Estimates are right to an entry of the index.
        for (const [index, lag] of lags.entries())
          assert.ok(
            lag.timestampMs >= 1_000 && lag.bytes > 0 && lag.bytes <= (lags[index - 1]?.bytes ?? lag.bytes) + 4_200,
          );
      }
    };
    const written = await opened();
    for (const log of written.logs) {
      await log.append(batches(0, records));
      log.noteHighWatermark(offset(BigInt(records)));
    }
    await asked(written.logs, 'from memory');
    await written.directory.close();
    const again = await opened();
    await asked(again.logs, 'from files, with nothing in memory');
    await asked(again.logs, 'from files, again');
    await again.directory.close();
  });
});
