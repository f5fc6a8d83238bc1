/** What recovery makes of a damaged log (L3, L6): who cuts, who keeps, what is said about it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { offset, type TopicConfig, TributaryError } from '@tributary/model';
import type { FileSystem } from '@tributary/ports';
import {
  bases,
  batch,
  batches,
  type Broker,
  config,
  folder,
  range,
  readAll,
  start,
  type StartOptions,
  testHost,
} from './harness.ts';
import { type Bench, onSimulatedDisk } from './on-disk.ts';

/** Recovery begins at the last index entry below the recovery point: without entries it reads the whole segment. */
const unindexed = config({ 'index.interval.bytes': '1000000' });
const segmented = config({ 'index.interval.bytes': '1000000', 'segment.bytes': '1500' });
const asynchronous = config({ 'index.interval.bytes': '1000000', 'flush.policy': 'async' });

const logFile = (base: number): string => `data/${folder}/${String(base).padStart(20, '0')}.log`;

/** Changes a file of a stopped broker. */
async function edit(files: FileSystem, path: string, change: (bytes: Buffer) => Buffer): Promise<void> {
  const file = await files.open(path, 'append');
  const bytes = Buffer.alloc(file.size);
  await file.read(bytes, 0);
  const changed = change(bytes);
  await file.truncate(0);
  await file.append([changed]);
  await file.sync();
  await file.close();
}

const positionOf = (index: number): number => index * batch({ at: 0n }).bytes.length;

/** Damages the batches with these numbers; each is as long as the others. */
const spoil =
  (...numbers: readonly number[]) =>
  (bytes: Buffer): Buffer => {
    for (const number of numbers) bytes[positionOf(number) + 70] = (bytes[positionOf(number) + 70] ?? 0) ^ 0xff;
    return bytes;
  };

interface Life {
  readonly config: TopicConfig;
  /** Records 0 … count − 1, one in a batch. */
  readonly count: number;
  readonly highWatermark: number;
}

/** A broker that flushed all and checkpointed its high watermark, and was then killed. */
async function killed({ disk }: Bench, life: Life, options: StartOptions = {}): Promise<FileSystem> {
  const broker = await start(disk.mount(), { ...options, config: life.config });
  for (const one of batches(0, life.count)) await broker.append(one);
  await broker.log.sync();
  broker.log.noteHighWatermark(offset(BigInt(life.highWatermark)));
  await broker.directory.checkpoint();
  disk.crash('process');
  return disk.mount();
}

async function refusal(broker: Broker, from: number): Promise<TributaryError> {
  try {
    await broker.log.read(offset(BigInt(from)), 4096, 4096, broker.log.endOffset);
  } catch (thrown) {
    assert.ok(thrown instanceof TributaryError);
    return thrown;
  }
  return assert.fail(`offset ${from} was served`);
}

const copies = async (files: FileSystem): Promise<readonly string[]> =>
  (await files.list(`data/${folder}`)).filter((name) => name.endsWith('.cut'));

describe('a sole replica whose log is damaged', () => {
  test('cuts a torn tail without a word', async () => {
    await onSimulatedDisk('torn', async (bench) => {
      const files = await killed(bench, { config: unindexed, count: 10, highWatermark: 8 });
      await edit(files, logFile(0), (bytes) => bytes.subarray(0, bytes.length - 5));
      // The recovery point has to lie below, as after any append that was not yet checkpointed.
      const broker = await start(files, { config: unindexed });
      assert.equal(broker.log.endOffset, 9n);
      assert.deepEqual(broker.log.health.damaged, []);
    });
  });

  test('says that it may have lost something when a whole batch lies behind what it cuts above the HW, and keeps a copy', async () => {
    await onSimulatedDisk('followed', async (bench) => {
      const files = await killed(bench, { config: unindexed, count: 10, highWatermark: 4 });
      await edit(files, logFile(0), spoil(6));
      const broker = await start(files, { config: unindexed });
      assert.equal(broker.log.endOffset, 6n);
      assert.equal(broker.log.health.possibleLoss, true);
      assert.equal(broker.log.health.suspect, false);
      assert.deepEqual(broker.log.health.damaged, []);
      assert.deepEqual(bases(await readAll(broker.log)), range(0, 6));
      assert.deepEqual(broker.replay.seen, range(0, 6).map(String));
      const [copy, ...more] = await copies(files);
      assert.deepEqual(more, []);
      const kept = await files.open(`data/${folder}/${copy}`, 'read');
      assert.equal(kept.size, positionOf(4));
    });
  });

  test('serves what is whole around damage below the HW, names the range, and remembers it', async () => {
    await onSimulatedDisk('below', async (bench) => {
      const files = await killed(bench, { config: unindexed, count: 20, highWatermark: 20 });
      await edit(files, logFile(0), spoil(5, 6, 12));
      const check = async (broker: Broker): Promise<void> => {
        assert.deepEqual(broker.log.health.damaged, [
          { from: 5n, to: 7n },
          { from: 12n, to: 13n },
        ]);
        assert.equal(broker.log.health.possibleLoss, true);
        assert.deepEqual(bases(await readAll(broker.log, 0n, 5n)), range(0, 5));
        assert.deepEqual(bases(await readAll(broker.log, 7n, 12n)), range(7, 12));
        assert.deepEqual(bases(await readAll(broker.log, 13n, 20n)), range(13, 20));
        for (const lost of [5, 6, 12]) {
          const { error, message } = await refusal(broker, lost);
          assert.equal(error, 'CORRUPT_MESSAGE');
          assert.match(
            message,
            lost === 12 ? /offsets 12 to 12 are lost.*goes on at 13/ : /offsets 5 to 6 are lost.*goes on at 7/,
          );
        }
      };
      const broker = await start(files, { config: unindexed });
      await check(broker);
      await broker.append(...batches(20, 22));
      await broker.log.sync();
      bench.disk.crash('power');
      const again = await start(bench.disk.mount(), { config: unindexed, host: testHost('boot-2') });
      assert.equal(again.log.endOffset, 22n);
      await check(again);
      await again.directory.close();
      const clean = await start(bench.disk.mount(), { config: unindexed, host: testHost('boot-2') }).catch(
        () => undefined,
      );
      assert.equal(clean?.log.recovery.how, 'clean');
      if (clean !== undefined) await check(clean);
    });
  });

  test('does not give out offsets below the HW again when the end of the log is gone', async () => {
    await onSimulatedDisk('end gone', async (bench) => {
      const files = await killed(bench, { config: segmented, count: 40, highWatermark: 40 });
      const [, ...segments] = (await files.list(`data/${folder}`)).filter((name) => name.endsWith('.log'));
      for (const name of segments) await files.remove(`data/${folder}/${name}`);
      await edit(files, logFile(0), (bytes) => bytes.subarray(0, positionOf(7) + 30));
      const broker = await start(files, { config: segmented });
      assert.equal(broker.log.endOffset, 40n);
      assert.deepEqual(broker.log.health.damaged, [{ from: 7n, to: 40n }]);
      await broker.append(...batches(40, 42));
      assert.deepEqual(bases(await readAll(broker.log, 40n, 42n)), [40, 41]);
      assert.equal((await refusal(broker, 39)).error, 'CORRUPT_MESSAGE');
      await broker.log.sync();
      bench.disk.crash('process');
      const again = await start(bench.disk.mount(), { config: segmented });
      assert.equal(again.log.endOffset, 42n);
      assert.deepEqual(again.log.health.damaged, [{ from: 7n, to: 40n }]);
      assert.deepEqual(bases(await readAll(again.log, 40n, 42n)), [40, 41]);
    });
  });

  test('misses its first file: below the HW the range is named, above it nothing that followed is kept', async () => {
    for (const highWatermark of [0, 60]) {
      await onSimulatedDisk(`first gone ${highWatermark}`, async (bench) => {
        const files = await killed(bench, { config: segmented, count: 60, highWatermark });
        await files.remove(logFile(0));
        const second = Number.parseInt(
          (await files.list(`data/${folder}`)).find((name) => name.endsWith('.log')) ?? '',
          10,
        );
        for (const stop of ['found', 'known']) {
          const broker = await start(bench.disk.mount(), { config: segmented });
          assert.equal(broker.log.startOffset, 0n, stop);
          assert.equal(broker.log.health.possibleLoss, true);
          if (highWatermark === 0) {
            assert.equal(broker.log.endOffset, 0n);
          } else {
            assert.deepEqual(broker.log.health.damaged, [{ from: 0n, to: BigInt(second) }]);
            assert.equal((await refusal(broker, 0)).error, 'CORRUPT_MESSAGE');
            assert.deepEqual(bases(await readAll(broker.log, BigInt(second), 60n)), range(second, 60));
          }
          bench.disk.crash('process');
        }
      });
    }
  });

  test('that lost a whole segment in the middle knows it', async () => {
    await onSimulatedDisk('segment gone', async (bench) => {
      const files = await killed(bench, { config: segmented, count: 60, highWatermark: 60 });
      await files.remove('data/checkpoints');
      const names = (await files.list(`data/${folder}`)).filter((name) => name.endsWith('.log'));
      const [gone, after] = [names[1] ?? '', names[2] ?? ''];
      await files.remove(`data/${folder}/${gone}`);
      const broker = await start(files, { config: segmented });
      // The HW went with the checkpoints: nobody can say what was promised, so it cuts, keeps a copy and says so.
      assert.equal(broker.log.endOffset, BigInt(Number.parseInt(gone, 10)));
      assert.equal(broker.log.health.possibleLoss, true);
      assert.ok((await copies(files)).includes(after.replace('.log', '.cut')));
    });
  });

  for (const how of ['process', 'power'] as const) {
    test(`ends with the same log wherever a crash (${how}) cuts the repair short`, async () => {
      let crashes = 0;
      for (let at = 1, reached = true; reached; at++) {
        await onSimulatedDisk(`repair ${at}`, async (bench) => {
          const { disk } = bench;
          const files = await killed(bench, { config: unindexed, count: 20, highWatermark: 15 });
          // Below the HW twice, and above it with whole batches behind.
          await edit(files, logFile(0), spoil(3, 4, 9, 17));
          const { promise: crashed, resolve } = Promise.withResolvers<void>();
          const first = disk.operations;
          reached = false;
          disk.onOperation = (number) => {
            if (number - first !== at) return;
            reached = true;
            disk.onOperation = undefined;
            disk.crash(how);
            resolve();
          };
          const boot = how === 'power' ? 'boot-2' : 'boot-1';
          await Promise.race([start(files, { config: unindexed }), crashed]);
          disk.onOperation = undefined;
          disk.crash('process');
          const broker = await start(disk.mount(), { config: unindexed, host: testHost(boot) });
          assert.deepEqual(
            broker.log.health,
            {
              suspect: false,
              possibleLoss: true,
              damaged: [
                { from: 3n, to: 5n },
                { from: 9n, to: 10n },
              ],
            },
            `crash at ${at}`,
          );
          assert.equal(broker.log.endOffset, 17n, `crash at ${at}`);
          for (const [from, to] of [
            [0, 3],
            [5, 9],
            [10, 17],
          ] as const) {
            assert.deepEqual(
              bases(await readAll(broker.log, BigInt(from), BigInt(to))),
              range(from, to),
              `crash at ${at}`,
            );
          }
          const seen = [...range(0, 3), ...range(5, 9), ...range(10, 17)];
          assert.deepEqual(broker.replay.seen, seen.map(String), `crash at ${at}`);
          assert.ok((await copies(disk.mount())).length > 0);
        });
        crashes++;
      }
      assert.ok(crashes > 40, `${crashes} crashes`);
    });
  }
});

describe('a member whose log is damaged', () => {
  test('cuts at the first damage, also below the HW, and stays suspect until the controller knows', async () => {
    await onSimulatedDisk('member', async (bench) => {
      const files = await killed(bench, { config: unindexed, count: 20, highWatermark: 20 });
      await edit(files, logFile(0), spoil(5));
      const member: StartOptions = { config: unindexed, role: 'member' };
      const broker = await start(files, member);
      assert.equal(broker.log.endOffset, 5n);
      assert.equal(broker.log.health.suspect, true);
      assert.equal((await copies(files)).length, 1);
      bench.disk.crash('process');
      const again = await start(bench.disk.mount(), member);
      assert.equal(again.log.health.suspect, true);
      await again.log.clearSuspect();
      await again.directory.close();
      const healed = await start(bench.disk.mount(), member);
      assert.equal(healed.log.health.suspect, false);
      assert.equal(healed.log.endOffset, 5n);
    });
  });

  test('is not suspect for a torn tail above what it had flushed', async () => {
    await onSimulatedDisk('member torn', async (bench) => {
      const member: StartOptions = { config: unindexed, role: 'member' };
      const broker = await start(bench.disk.mount(), member);
      await broker.append(...batches(0, 10));
      await broker.log.sync();
      await broker.directory.checkpoint();
      await broker.append(...batches(10, 12));
      bench.disk.crash('process');
      const files = bench.disk.mount();
      await edit(files, logFile(0), (bytes) => bytes.subarray(0, bytes.length - 5));
      const again = await start(files, member);
      assert.equal(again.log.endOffset, 11n);
      assert.deepEqual(again.log.health, { suspect: false, possibleLoss: false, damaged: [] });
      assert.deepEqual(await copies(files), []);
    });
  });
});

describe('an async log', () => {
  test('after a loss of power gives lost offsets out again and says so; after a kill it has lost nothing', async () => {
    await onSimulatedDisk('async', async (bench) => {
      const broker = await start(bench.disk.mount(), { config: asynchronous });
      await broker.append(...batches(0, 10));
      await broker.log.sync();
      await broker.append(...batches(10, 20));
      broker.log.noteHighWatermark(offset(20n));
      await broker.directory.checkpoint();
      bench.disk.crash('process');
      const kept = await start(bench.disk.mount(), { config: asynchronous });
      assert.equal(kept.log.endOffset, 20n);
      assert.equal(kept.log.health.possibleLoss, false);
      bench.disk.crash('process');
      await edit(bench.disk.mount(), logFile(0), (bytes) => bytes.subarray(0, positionOf(12) + 9));
      const lossy = await start(bench.disk.mount(), { config: asynchronous, host: testHost('boot-2') });
      assert.equal(lossy.directory.lastStop, 'lossy');
      assert.equal(lossy.log.endOffset, 12n);
      assert.deepEqual(lossy.log.health, { suspect: false, possibleLoss: true, damaged: [] });
      assert.equal(lossy.log.highWatermark, 12n);
    });
  });
});

describe('what is beside the log', () => {
  for (const kind of ['index', 'timeindex']) {
    test(`is made anew when the ${kind} is missing, cut or nonsense`, async () => {
      const indexed = config({ 'segment.bytes': '3000', 'index.interval.bytes': '150' });
      const changes: readonly ((bytes: Buffer) => Buffer)[] = [
        () => Buffer.alloc(0),
        (bytes) => bytes.subarray(0, Math.floor(bytes.length / 2) - 1),
        (bytes) => Buffer.alloc(bytes.length),
        (bytes) => Buffer.alloc(bytes.length, 0xa7),
        (bytes) => {
          bytes[7] = (bytes[7] ?? 0) ^ 0x11;
          return bytes;
        },
        (bytes) => {
          bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 0x11;
          return bytes;
        },
      ];
      for (const [number, change] of changes.entries()) {
        for (const stop of ['clean', 'killed'] as const) {
          await onSimulatedDisk(`${kind} ${number} ${stop}`, async ({ disk }) => {
            const first = await start(disk.mount(), { config: indexed });
            for (const one of batches(0, 200)) await first.append(one);
            await first.log.sync();
            first.log.noteHighWatermark(offset(200n));
            await first.directory.checkpoint();
            if (stop === 'clean') await first.directory.close();
            disk.crash('process');
            const files = disk.mount();
            for (const name of await files.list(`data/${folder}`)) {
              if (name.endsWith(`.${kind}`)) await edit(files, `data/${folder}/${name}`, change);
            }
            const again = await start(files, { config: indexed });
            assert.equal(again.log.endOffset, 200n);
            assert.deepEqual(again.log.health, { suspect: false, possibleLoss: false, damaged: [] });
            assert.deepEqual(bases(await readAll(again.log)), range(0, 200));
            for (let from = 0; from < 200; from += 7) {
              assert.equal((await readAll(again.log, BigInt(from), BigInt(from + 1)))[0]?.base, BigInt(from));
              const found = await again.log.offsetForTimestamp(1_000 + from);
              assert.equal(found?.offset, BigInt(from), `${kind} ${number} ${stop} at ${from}`);
            }
          });
        }
      }
    });
  }

  test('damaged checkpoints cost a scan, not data', async () => {
    await onSimulatedDisk('checkpoints', async (bench) => {
      const broker = await start(bench.disk.mount(), { config: segmented });
      await broker.append(...batches(0, 50));
      await broker.directory.close();
      const files = bench.disk.mount();
      await edit(files, 'data/checkpoints', (bytes) => {
        bytes[40] = (bytes[40] ?? 0) ^ 1;
        return bytes;
      });
      bench.disk.crash('process');
      const again = await start(bench.disk.mount(), { config: segmented });
      assert.equal(again.log.recovery.how, 'scanned');
      assert.deepEqual(bases(await readAll(again.log)), range(0, 50));
      assert.deepEqual(again.replay.seen, range(0, 50).map(String));
    });
  });

  test('a damaged producer snapshot is passed over for an older one, then for the log itself', async () => {
    await onSimulatedDisk('snapshots', async (bench) => {
      const broker = await start(bench.disk.mount(), { config: segmented });
      for (const [i, one] of batches(0, 60).entries()) {
        await broker.append(one);
        broker.log.noteHighWatermark(offset(BigInt(i + 1)));
      }
      await broker.directory.close();
      bench.disk.crash('process');
      const names = (await bench.disk.mount().list(`data/${folder}`)).filter((name) => name.endsWith('.snapshot'));
      assert.equal(names.length, 2);
      for (const name of names.toReversed()) {
        const files = bench.disk.mount();
        await edit(files, `data/${folder}/${name}`, (bytes) => bytes.subarray(0, bytes.length - 1));
        const again = await start(files, { config: segmented });
        assert.deepEqual(again.replay.seen, range(0, 60).map(String), name);
        assert.ok((again.replay.restoredAt ?? 0n) < 60n);
        bench.disk.crash('process');
      }
    });
  });
});

describe('a batch of a closed segment whose offsets have turned over', () => {
  const within = (number: number, field: number, byte: number) => (bytes: Buffer) => {
    bytes[positionOf(number) + field] = byte;
    return bytes;
  };
  const offsetDelta = 23;
  const baseOffset = 1;
  for (const [what, field] of [
    ['its last offset above the bound', offsetDelta],
    ['its base offset above the bound', baseOffset],
  ] as const) {
    test(`is refused, and does not look like the end of the log: ${what}`, async () => {
      await onSimulatedDisk(`turned over ${what}`, async (bench) => {
        const files = await killed(bench, { config: segmented, count: 60, highWatermark: 60 });
        await edit(files, logFile(0), within(3, field, 1));
        const broker = await start(files, { config: segmented });
        // Read on from where a reader stopped, and through a search.
        for (const from of [0, 2, 3]) {
          const thrown = await (from === 3
            ? refusal(broker, 3)
            : readAll(broker.log, BigInt(from)).catch((e: unknown) => e));
          assert.ok(thrown instanceof TributaryError && thrown.error === 'CORRUPT_MESSAGE', String(thrown));
          assert.match(thrown.message, /must end below 60/);
        }
      });
    });
  }
});
