import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokerSettings, TributaryError } from '@tributary/model';
import type { Clock, Logger } from '@tributary/ports';
import type { Replicas } from '../src/replicas.ts';
import { upkeep } from '../src/upkeep.ts';

/** Every sleep but the first of retention lasts for ever. */
function clockOf(retentionCheckMs: number): Clock {
  let slept = false;
  return {
    monotonicMs: () => 0,
    wallMs: () => 0,
    sleep: async (ms, signal) => {
      if (ms === retentionCheckMs && !slept) {
        slept = true;
        return;
      }
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  };
}

/** Retention once over two partitions, of which the first fails. @returns the partitions it looked at, and what was logged. */
async function retainOnce(
  failure: Error,
): Promise<{ readonly visited: readonly string[]; readonly warned: readonly string[] }> {
  const visited: string[] = [];
  const warned: string[] = [];
  const stop = new AbortController();
  const partition = (name: string, enforceRetention: () => Promise<number>) => ({
    partition: { state: { name, role: { kind: 'leading' } }, log: { enforceRetention } },
  });
  const open = () => [
    partition('t-0', async () => {
      visited.push('t-0');
      throw failure;
    }),
    partition('t-1', async () => {
      visited.push('t-1');
      queueMicrotask(() => stop.abort());
      return 0;
    }),
  ];
  const logger: Logger = { info: () => undefined, warn: (event) => warned.push(event), error: () => undefined };
  const replicas = { open, retry: () => Promise.resolve() } as unknown as Pick<Replicas, 'open' | 'retry'>;
  const directory = { checkpoint: () => Promise.resolve(), lookAtDisk: () => Promise.resolve({ free: 1, total: 1 }) };
  await upkeep(
    replicas,
    directory,
    {
      settings: {
        current: brokerSettings({ 'log.retention.check.interval.ms': '7' }),
        onChange: () => () => undefined,
      },
      checkpointMs: 8,
    },
    { clock: clockOf(7), logger },
    stop.signal,
  );
  return { visited, warned };
}

test('a disk too full for retention of one partition ends neither the broker nor the retention of the others', async () => {
  const { visited, warned } = await retainOnce(new TributaryError('KAFKA_STORAGE_ERROR', 'the disk is full'));
  assert.deepEqual(visited, ['t-0', 't-1']);
  assert.deepEqual(warned, ['retention-put-off']);
});

test('what else goes wrong with retention is not hidden', async () => {
  await assert.rejects(retainOnce(new Error('a bug')), /a bug/);
});
