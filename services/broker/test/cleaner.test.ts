/** Which log is compacted when, and what happens where that fails (L5). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokerSettings, offset, type TopicConfig, topicConfig, TributaryError } from '@tributary/model';
import type { Clock, Logger } from '@tributary/ports';
import { keepClean } from '../src/cleaner.ts';
import type { CompactionReport } from '../src/log/compaction.ts';
import type { Cleanable } from '../src/log/compaction-plan.ts';
import type { Replicas } from '../src/replicas.ts';

interface FakeLog {
  readonly name: string;
  config: TopicConfig;
  cleanable: Partial<Cleanable> | undefined;
  failure?: Error;
}

const at = offset(1n);
const compacted = (): TopicConfig => topicConfig({ 'cleanup.policy': 'compact' });
const due = (ratio: number, isOverdue = false): Partial<Cleanable> => ({ ratio, isOverdue, isDue: true });
const report: CompactionReport = {
  from: at,
  to: at,
  bytesBefore: 10,
  bytesAfter: 4,
  bytesRead: 20,
  recordsBefore: 2,
  recordsAfter: 1,
  tombstonesGone: 0,
  segmentsBefore: 2,
  segmentsAfter: 1,
  longestSliceMs: 1,
};

/** So many sweeps over the logs. @param between called before each. @returns what was compacted, in order, and what was logged. */
async function sweeps(logs: readonly FakeLog[], count: number, between: (sweep: number) => void = () => {}) {
  const visited: string[] = [];
  const events: string[] = [];
  const stop = new AbortController();
  let sweep = 0;
  const clock: Clock = {
    monotonicMs: () => sweep * 1_000,
    wallMs: () => 0,
    sleep: async () => {
      if (sweep === count) stop.abort();
      stop.signal.throwIfAborted();
      between(sweep++);
    },
  };
  const partitions = logs.map((log) => ({
    partition: {
      state: {
        name: log.name,
        get config() {
          return log.config;
        },
      },
      log: {
        endOffset: at,
        cleanable: () => Promise.resolve(log.cleanable),
        compact: async () => {
          visited.push(log.name);
          if (log.failure !== undefined) throw log.failure;
          log.cleanable = undefined;
          return report;
        },
      },
    },
  }));
  const note = (event: string): void => void events.push(event);
  const logger: Logger = { info: note, warn: note, error: note };
  let compactions = 0;
  let stopped = 0;
  await keepClean(
    { open: () => partitions } as unknown as Pick<Replicas, 'open'>,
    { current: brokerSettings({ 'log.cleaner.backoff.ms': '500' }), onChange: () => () => undefined },
    { compacted: () => void compactions++, stopped: () => void stopped++ },
    { clock, logger, random: { nextU32: () => 1 } },
    stop.signal,
  );
  return { visited, events, compactions, stopped };
}

test('what has waited too long is compacted first, then the dirtiest; what is not due, or not a compacted topic, is left alone', async () => {
  const told = await sweeps(
    [
      { name: 'half', config: compacted(), cleanable: due(0.5) },
      { name: 'clean', config: compacted(), cleanable: { ratio: 0.2, isDue: false, isOverdue: false } },
      { name: 'dirty', config: compacted(), cleanable: due(0.9) },
      { name: 'deleted', config: topicConfig({}), cleanable: due(1) },
      { name: 'late', config: compacted(), cleanable: due(0.1, true) },
    ],
    1,
  );
  assert.deepEqual(told.visited, ['late', 'dirty', 'half']);
  assert.equal(told.compactions, 3);
});

test('a damaged log keeps neither the broker nor the other logs from their work, and is left alone until its settings change', async () => {
  const damaged: FakeLog = {
    name: 'damaged',
    config: compacted(),
    cleanable: due(1),
    failure: new TributaryError('CORRUPT_MESSAGE', 'a bit has turned over'),
  };
  const other: FakeLog = { name: 'other', config: compacted(), cleanable: due(0.5) };
  const told = await sweeps([damaged, other], 4, (sweep) => {
    if (sweep === 3) damaged.config = compacted();
  });
  assert.deepEqual(told.visited, ['damaged', 'other', 'damaged']);
  assert.deepEqual(
    told.events.filter((event) => event !== 'compaction'),
    ['compaction-stopped', 'compaction-stopped'],
  );
  assert.equal(told.stopped, 2);
});

test('a full disk puts compaction off until the next sweep', async () => {
  const full: FakeLog = {
    name: 'full',
    config: compacted(),
    cleanable: due(1),
    failure: new TributaryError('KAFKA_STORAGE_ERROR', 'the disk is full'),
  };
  const told = await sweeps([full], 3);
  assert.deepEqual(told.visited, ['full', 'full', 'full']);
  assert.equal(told.stopped, 0);
  assert.deepEqual(new Set(told.events), new Set(['compaction-put-off']));
});
