/** G7: what is said of readers, against records that are kept in an array. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { offset } from '@tributary/model';
import { readBatchHeader } from '@tributary/record';
import type { LagBudget, ReaderLag } from '../../src/log/lag-meter.ts';
import type { LogBatch } from '../../src/log/log-types.ts';
import { compacted, line, opened, options, reopened, write } from './compacting.ts';
import { batch, type Broker, config, range, start } from './harness.ts';
import { onSimulatedDisk } from './on-disk.ts';

const free: LagBudget = { mayRead: () => true, breathe: () => undefined };
const poor: LagBudget = { mayRead: () => false, breathe: () => undefined };
const settings = { 'segment.bytes': '3000', 'index.interval.bytes': '400', 'retention.ms': '100000' };

const measured = async (
  { log }: Pick<Broker, 'log'>,
  offsets: readonly (number | bigint)[],
  budget = free,
  nowMs = 5_000,
  upTo = log.highWatermark,
): Promise<readonly ReaderLag[]> =>
  await log.lag.measure({ offsets: offsets.map((each) => offset(BigInt(each))), upTo, nowMs }, budget);

/** Batches of one to four records from offset 0, a second apart, or at times that go to and fro. */
function made(count: number, random: () => number, isOrdered = true): LogBatch[] {
  const batches: LogBatch[] = [];
  let at = 0n;
  for (let index = 0; index < count; index++) {
    const records = 1 + (random() % 4);
    const one = batch({
      at,
      records,
      valueBytes: random() % 200,
      timestamp: 1_000 * (1 + (isOrdered ? index : random() % 60)),
    });
    batches.push(one);
    at = one.lastOffset + 1n;
  }
  return batches;
}

/** The records of `batch` have timestamps one millisecond apart. */
const firstTime = ({ bytes }: LogBatch): number => readBatchHeader(bytes, 0).baseTimestamp;

interface Expected {
  readonly bytes: number;
  readonly exactMs: number;
  readonly holder: LogBatch | undefined;
}

function expected(batches: readonly LogBatch[], from: bigint, logStart: bigint, upTo: bigint): Expected {
  const at = from > logStart ? from : logStart;
  const behind = batches.filter(({ baseOffset, lastOffset }) => lastOffset >= at && baseOffset < upTo);
  const holder = behind[0];
  if (at >= upTo || holder === undefined) return { bytes: 0, exactMs: -1, holder: undefined };
  const bytes = behind.reduce((sum, each) => sum + each.bytes.length, 0);
  return { bytes, exactMs: firstTime(holder) + Number(at - holder.baseOffset), holder };
}

describe('lag', () => {
  for (const memory of ['the tail', 'the files'] as const) {
    test(`bytes are exact, and so is the time unless said otherwise, by ${memory}: any offset, any high watermark, any log start`, async () => {
      await onSimulatedDisk(`lag ${memory}`, async ({ disk, random }) => {
        const next = (): number => random.nextU32();
        for (let round = 0; round < 6; round++) {
          const root = `data-${round}`;
          const options = { config: config(settings), root };
          disk.provision(root);
          let broker = await start(disk.mount(), options);
          const batches = made(60, next);
          for (const one of batches) await broker.append(one);
          await broker.log.sync();
          const end = broker.log.endOffset;
          const boundary = batches[30 + (next() % 30)]?.baseOffset ?? end;
          broker.log.noteHighWatermark(boundary);
          // In the midst of a batch, perhaps.
          if (round % 2 === 1) assert.ok(await broker.log.advanceStart(offset(BigInt(next() % 60))));
          if (memory === 'the files') {
            await broker.directory.close();
            broker = await start(disk.mount(), options);
          }
          const { startOffset } = broker.log;
          let exact = 0;
          const offsets = [...range(0, Number(end) + 3)];
          for (const upTo of [boundary, end]) {
            const lags = await measured(broker, offsets, free, 5_000, upTo);
            for (const [index, lag] of lags.entries()) {
              const wanted = expected(batches, BigInt(index), startOffset, upTo);
              const what = `round ${round}, offset ${index}, start ${startOffset}, up to ${upTo}`;
              assert.equal(lag.bytes, wanted.bytes, what);
              if (!lag.isEstimated) exact++;
              if (lag.isEstimated && wanted.holder !== undefined) {
                assert.ok(lag.timestampMs >= firstTime(wanted.holder), what);
                assert.ok(lag.timestampMs <= wanted.holder.maxTimestamp, what);
              } else assert.equal(lag.timestampMs, wanted.exactMs, what);
            }
          }
          assert.ok(exact > offsets.length / 2, `${exact} of ${2 * offsets.length} are exact`);
          await broker.directory.close();
        }
      });
    });
  }

  test('where no more may be read it is estimated, says so, and is right to an index entry or, where none is in memory, to a segment', async () => {
    await onSimulatedDisk('poor', async ({ disk, random }) => {
      const options = { config: config(settings) };
      let broker = await start(disk.mount(), options);
      const batches = made(80, () => random.nextU32());
      for (const one of batches) await broker.append(one);
      broker.log.noteHighWatermark(await broker.log.sync());
      await broker.directory.close();
      broker = await start(disk.mount(), options);
      const end = Number(broker.log.endOffset);
      const upTo = broker.log.highWatermark;
      for (const [indexes, off] of [
        ['none', 3_000],
        ['loaded', 400 + 1_000],
      ] as const) {
        if (indexes === 'loaded') await measured(broker, range(0, end), free);
        const lags = await measured(broker, range(0, end), poor);
        for (const [index, lag] of lags.entries()) {
          const wanted = expected(batches, BigInt(index), 0n, upTo);
          assert.ok(lag.isEstimated);
          assert.ok(Math.abs(lag.bytes - wanted.bytes) <= off, `${indexes}: ${lag.bytes}, and it is ${wanted.bytes}`);
          assert.ok(Math.abs(lag.timestampMs - wanted.exactMs) <= 20_000, `${lag.timestampMs}, ${wanted.exactMs}`);
        }
      }
    });
  });

  test('at the high watermark and beyond nobody is behind', async () => {
    await onSimulatedDisk('end', async ({ disk }) => {
      const broker = await start(disk.mount(), { config: config(settings) });
      assert.deepEqual(await measured(broker, [0, 7]), [none, none]);
      await broker.append(batch({ at: 0n, records: 3 }));
      broker.log.noteHighWatermark(offset(3n));
      assert.deepEqual(await measured(broker, [3, 4]), [none, none]);
      assert.deepEqual(await measured(broker, []), []);
    });
  });

  test('the loss that is foretold is when retention takes the record, to the millisecond', async () => {
    for (const extra of [{}, { 'retention.bytes': '6000' }, { 'retention.bytes': '6000', 'retention.ms': '-1' }]) {
      await onSimulatedDisk(`loss ${JSON.stringify(extra)}`, async ({ disk, random }) => {
        let foretold = 0;
        for (let round = 0; round < 5; round++) {
          const root = `data-${round}`;
          const clock = { now: 1 };
          disk.provision(root);
          const broker = await start(disk.mount(), { config: config({ ...settings, ...extra }), root });
          for (const one of made(40, () => random.nextU32(), false)) await broker.append(one);
          broker.log.noteHighWatermark(await broker.log.sync());
          clock.now = 5_000;
          const at = random.nextU32() % Number(broker.log.endOffset);
          const lost = (await measured(broker, [at], free, clock.now))[0]?.lostAtMs;
          if (lost === undefined) {
            await broker.log.enforceRetention(clock.now);
            assert.ok(broker.log.startOffset <= BigInt(at), 'nobody foretold it');
          } else {
            foretold++;
            assert.ok(lost >= clock.now);
            if (lost > clock.now) await broker.log.enforceRetention(lost);
            assert.ok(broker.log.startOffset <= BigInt(at), `${at} is gone before ${lost}`);
            await broker.log.enforceRetention(lost + 1);
            assert.ok(broker.log.startOffset > BigInt(at), `${at} is there after ${lost}`);
          }
          await broker.directory.close();
        }
        if (extra['retention.ms'] === undefined) assert.equal(foretold, 5);
      });
    }
  });

  test('a compacted log loses nothing by age, and its gaps are no lag', async () => {
    await onSimulatedDisk('compacted', async ({ disk }) => {
      let broker = await opened(disk.mount());
      for (let index = 0; index < 40; index++) await write(broker, [line(index % 2 === 0 ? 'a' : 'b', `${index}`)]);
      await broker.log.compact(options());
      broker = await reopened(broker, disk.mount(), { config: compacted() });
      const sizes = new Map<bigint, number>();
      for (const index of range(0, 40)) {
        const slice = await broker.log.read(offset(BigInt(index)), 1, 1 << 20, broker.log.endOffset);
        if (slice.kind !== 'records') continue;
        for (const bytes of slice.records) sizes.set(readBatchHeader(bytes, 0).baseOffset, bytes.length);
      }
      assert.ok(sizes.size < 20, `${[...sizes.keys()].join(' ')}`);
      for (const [index, lag] of (await measured(broker, range(0, 40))).entries()) {
        const bytes = [...sizes].reduce((sum, [base, size]) => (base >= index ? sum + size : sum), 0);
        assert.equal(lag.bytes, bytes, `offset ${index}`);
        assert.equal(lag.lostAtMs, undefined);
        assert.equal(lag.timestampMs, 1_000);
      }
    });
  });

  test('retention and appending meanwhile change no answer into nonsense', async () => {
    await onSimulatedDisk('meanwhile', async ({ disk, random }) => {
      const options = { config: config(settings) };
      let broker = await start(disk.mount(), options);
      const batches = made(80, () => random.nextU32());
      for (const one of batches) await broker.append(one);
      broker.log.noteHighWatermark(await broker.log.sync());
      await broker.directory.close();
      broker = await start(disk.mount(), options);
      const { log } = broker;
      const upTo = log.highWatermark;
      const total = log.sizeBytes;
      const asking = Promise.all(range(0, 20).map(() => measured(broker, range(0, Number(upTo)), free, 5_000, upTo)));
      await log.append([batch({ at: log.endOffset, timestamp: 90_000 })]);
      await log.advanceStart(offset(100n));
      for (const lags of await asking) {
        for (const lag of lags) assert.ok(lag.bytes > 0 && lag.bytes <= total && lag.timestampMs > 0);
        for (const [index, lag] of lags.entries())
          assert.ok(index < 101 || lag.bytes === expected(batches, BigInt(index), 100n, upTo).bytes);
      }
    });
  });
});

const none: ReaderLag = { bytes: 0, timestampMs: -1, isEstimated: false, lostAtMs: undefined };
