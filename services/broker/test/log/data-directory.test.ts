import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { clusterId, incarnationId, nodeId, offset, partitionIndex, TributaryError } from '@tributary/model';
import { FileError, type FileSystem } from '@tributary/ports';
import type { Identity } from '../../src/log/identity.ts';
import { counting } from './counting-files.ts';
import {
  bases,
  batches,
  config,
  folder,
  openDirectory,
  partition,
  RecordingReplay,
  range,
  readAll,
  start,
  testHost,
  topic,
} from './harness.ts';
import { onRealDisk, onSimulatedDisk } from './on-disk.ts';

async function refusal(attempt: Promise<unknown>): Promise<TributaryError> {
  try {
    await attempt;
  } catch (thrown) {
    assert.ok(thrown instanceof TributaryError, String(thrown));
    return thrown;
  }
  return assert.fail('it was allowed');
}

describe('a data directory', () => {
  test('is used by one process at a time, and says so', async () => {
    await onRealDisk(async (files, root) => {
      const first = await openDirectory(files, { root });
      const { message } = await refusal(openDirectory(files, { root }));
      assert.match(message, new RegExp(`Data directory ${root} is used by another process`));
      await first.close();
      const second = await openDirectory(files, { root });
      assert.equal(second.directoryId, first.directoryId);
      await second.close();
    });
  });

  test('that cannot be written is refused with its path and the reason', async () => {
    await onSimulatedDisk('read-only', async ({ disk }) => {
      const counted = counting(disk.mount());
      counted.before = (call, path) => {
        if (call === 'append') throw new FileError('not-writable', `${path}: the file system is read-only`);
      };
      const { error, message } = await refusal(openDirectory(counted.files));
      assert.equal(error, 'KAFKA_STORAGE_ERROR');
      assert.match(message, /Data directory data cannot be used: .*read-only/);
      counted.before = () => {};
      await openDirectory(counted.files);
    });
  });

  test('of a newer format is left alone', async () => {
    await onRealDisk(async (files, root) => {
      await (await openDirectory(files, { root })).close();
      const newer = (await readFile(`${root}/meta.json`, 'utf8')).replace('"formatVersion": 1', '"formatVersion": 2');
      await writeFile(`${root}/meta.json`, newer);
      const { error, message } = await refusal(openDirectory(files, { root }));
      assert.equal(error, 'UNSUPPORTED_VERSION');
      assert.match(message, /meta\.json has format version 2; this build reads up to 1/);
      assert.equal(await readFile(`${root}/meta.json`, 'utf8'), newer);
    });
  });

  test('whose meta.json is damaged or gone is not taken for an empty one', async () => {
    await onRealDisk(async (files, root) => {
      const broker = await start(files, { root });
      await broker.append(...batches(0, 3));
      await broker.directory.close();
      const whole = await readFile(`${root}/meta.json`, 'utf8');
      for (const broken of [whole.slice(0, 40), '', whole.replace('"cleanShutdown": true', '"cleanShutdown": false')]) {
        await writeFile(`${root}/meta.json`, broken);
        assert.match((await refusal(openDirectory(files, { root }))).message, /meta\.json is damaged/);
      }
      await files.remove(`${root}/meta.json`);
      assert.match((await refusal(openDirectory(files, { root }))).message, /holds logs but no meta\.json/);
      await writeFile(`${root}/meta.json`, whole);
      const again = await start(files, { root });
      assert.deepEqual(bases(await readAll(again.log)), range(0, 3));
      await again.directory.close();
    });
  });

  test('belongs to one broker of one cluster', async () => {
    await onSimulatedDisk('bind', async ({ disk }) => {
      const first = await openDirectory(disk.mount());
      assert.equal(first.identity.meta.clusterId, undefined);
      await first.identity.bind(clusterId('one'), nodeId(1));
      disk.crash('power');
      const again = await openDirectory(disk.mount());
      assert.deepEqual([again.identity.meta.clusterId, again.identity.meta.brokerId], ['one', 1]);
      await again.identity.bind(clusterId('one'), nodeId(1));
      const other = await refusal(again.identity.bind(clusterId('two'), nodeId(1)));
      assert.equal(other.error, 'INCONSISTENT_CLUSTER_ID');
      assert.match(other.message, /belongs to cluster one, this broker to cluster two/);
      const { message } = await refusal(again.identity.bind(clusterId('one'), nodeId(2)));
      assert.match(message, /belongs to broker 1, this is broker 2/);
    });
  });

  test('knows whether its last stop was clean, unclean or lossy (L1), and that a lossy one is news until a registration that told of it is admitted (R6)', async () => {
    await onSimulatedDisk('stops', async ({ disk }) => {
      const stops: string[] = [];
      const open = async (bootId: string) => {
        const directory = await openDirectory(disk.mount(), { host: testHost(bootId) });
        stops.push(directory.lastStop);
        return directory;
      };
      await (await open('a')).close();
      await open('a');
      disk.crash('process');
      await open('a');
      disk.crash('process');
      await open('b');
      disk.crash('process');
      await open('b');
      disk.crash('process');
      const registered = await open('b');
      await registered.identity.recordRegistered(incarnationId('x'), []);
      disk.crash('process');
      await (await open('b')).identity.recordHeard();
      disk.crash('process');
      await (await open('b')).close();
      await (await open('c')).close();
      assert.deepEqual(stops, ['first', 'clean', 'unclean', 'lossy', 'lossy', 'lossy', 'lossy', 'unclean', 'clean']);
    });
  });

  test('keeps through a loss of power all incarnations by which metadata may know it, as soon as they are recorded, and no others (R6)', async () => {
    await onSimulatedDisk('incarnations', async ({ disk }) => {
      const start = async (work: (identity: Identity) => Promise<void>): Promise<readonly string[]> => {
        const { identity } = await openDirectory(disk.mount());
        await work(identity);
        disk.crash('power');
        const found = (await openDirectory(disk.mount())).identity.incarnations;
        disk.crash('process');
        return found;
      };
      const one = incarnationId('one');
      const two = incarnationId('two');
      const three = incarnationId('three');
      const four = incarnationId('four');
      assert.deepEqual(await start((identity) => identity.recordPending(one, [])), ['one']);
      assert.deepEqual(await start((identity) => identity.recordRegistered(one, [])), ['one']);
      // The first was admitted; the others are registered while no controller runs, so metadata keeps the first.
      assert.deepEqual(await start((identity) => identity.recordPending(two, [one])), ['one', 'two']);
      assert.deepEqual(await start((identity) => identity.recordRegistered(two, [one])), ['one', 'two']);
      assert.deepEqual(await start((identity) => identity.recordPending(three, [one])), ['one', 'two', 'three']);
      // Whether the third was registered nobody knows.
      assert.deepEqual(await start((identity) => identity.recordPending(four, [one])), ['one', 'three', 'two', 'four']);
      assert.deepEqual(await start((identity) => identity.recordRegistered(four, [three])), ['three', 'two', 'four']);
    });
  });

  test('keeps the metadata revision from the last checkpoint, and refuses an older one unless an operator restored it (M6)', async () => {
    await onSimulatedDisk('revision', async ({ disk }) => {
      const first = await openDirectory(disk.mount());
      first.identity.noteRevision(41n, 0);
      await first.checkpoint();
      first.identity.noteRevision(45n, 0);
      disk.crash('power');
      const again = await openDirectory(disk.mount());
      assert.equal(again.identity.meta.highestRevision, 41n);
      const restored = /at revision 40.*has seen 41.*restored from a backup/;
      assert.throws(() => again.identity.noteRevision(40n, 0), restored);
      again.identity.noteRevision(20n, 1);
      await again.checkpoint();
      disk.crash('power');
      const { identity } = await openDirectory(disk.mount());
      assert.throws(() => identity.noteRevision(50n, 0), /restore generation 0.*has seen 1.*restored from a backup/);
      assert.throws(() => identity.noteRevision(19n, 1), /at revision 19.*has seen 20/);
      identity.noteRevision(21n, 1);
    });
  });

  test('M6: what was put aside before stays when a folder of the same name is put aside', async () => {
    await onSimulatedDisk('aside twice', async ({ disk }) => {
      const directory = await openDirectory(disk.mount());
      for (const count of [5, 3, 1]) {
        const replay = new RecordingReplay();
        const log = await directory.openLog(topic, partition, { config: config(), role: 'sole', replay });
        await log.append(batches(0, count));
        await directory.quarantine({ topicId: topic, partition });
      }
      const aside = await disk.mount().list('data/quarantine');
      assert.deepEqual(aside, [folder, `${folder}.2`, `${folder}.3`]);
    });
  });

  test('opens a log anew where a crash kept the checkpoint of a folder that had been put aside', async () => {
    await onSimulatedDisk('aside, and remembered', async ({ disk }) => {
      const first = await openDirectory(disk.mount());
      const options = { config: config(), role: 'sole' as const };
      const log = await first.openLog(topic, partition, { ...options, replay: new RecordingReplay() });
      await log.append(batches(0, 5));
      await log.sync();
      await first.checkpoint();
      disk.crash('process');
      await (await openDirectory(disk.mount())).quarantine({ topicId: topic, partition });
      disk.crash('power');
      const again = await openDirectory(disk.mount());
      const anew = await again.openLog(topic, partition, {
        ...options,
        role: 'member',
        replay: new RecordingReplay(),
      });
      assert.equal(anew.endOffset, 0n);
      await anew.append(batches(0, 2));
    });
  });

  test('puts unknown folders aside with all that is in them, and removes those of deleted topics', async () => {
    await onSimulatedDisk('folders', async ({ disk }) => {
      const first = await openDirectory(disk.mount());
      for (const index of [0, 1, 2]) {
        const replay = new RecordingReplay();
        const log = await first.openLog(topic, partitionIndex(index), { config: config(), role: 'sole', replay });
        await log.append(batches(0, 5));
        await log.sync();
      }
      await first.checkpoint();
      disk.crash('process');
      const files = disk.mount();
      const again = await openDirectory(files);
      const named = (index: number) => ({ topicId: topic, partition: partitionIndex(index) });
      assert.deepEqual(again.unopened, [named(0), named(1), named(2)]);
      await again.quarantine(named(0));
      await again.deletePartition(named(1));
      const log = await again.openLog(topic, partitionIndex(2), {
        config: config(),
        role: 'sole',
        replay: new RecordingReplay(),
      });
      await again.deletePartition(named(2));
      assert.deepEqual(again.unopened, []);
      disk.crash('power');
      const left = await disk.mount().list('data');
      assert.deepEqual(
        left.filter((name) => name.startsWith(topic) && !name.endsWith('.deleted')),
        [],
      );
      assert.ok((await disk.mount().list(`data/quarantine/${folder}`)).includes('00000000000000000000.log'));
      assert.equal(log.endOffset, 5n);
      const third = await openDirectory(disk.mount());
      assert.deepEqual(third.unopened, []);
      assert.deepEqual(
        (await disk.mount().list('data')).filter((name) => name.endsWith('.deleted')),
        [],
      );
    });
  });
});

describe('a start after a failed sync', () => {
  test('is one after a lossy stop, although the machine has run on: what the kernel dropped is gone (R6)', async () => {
    await onSimulatedDisk('failed sync is lossy', async ({ disk, scheduler }) => {
      const host = testHost();
      const first = await openDirectory(disk.mount(), { host });
      const options = { config: config(), role: 'sole' as const, replay: new RecordingReplay() };
      const log = await first.openLog(topic, partitionIndex(0), options);
      await log.append(batches(0, 5));
      disk.failSyncs(1);
      void log.sync();
      while (host.crashes.length === 0) await scheduler.pause(1_000);
      const stops: string[] = [];
      for (const heard of [false, true, true]) {
        disk.crash('process');
        const directory = await openDirectory(disk.mount());
        stops.push(directory.lastStop);
        if (heard) await directory.identity.recordHeard();
      }
      assert.deepEqual(stops, ['lossy', 'lossy', 'unclean']);
    });
  });

  test('distrusts every log until that one is rewritten, however often it is cut short', async () => {
    await onSimulatedDisk('failed sync', async ({ disk, scheduler }) => {
      const options = () => ({ config: config(), role: 'sole' as const, replay: new RecordingReplay() });
      const host = testHost();
      const first = await openDirectory(disk.mount(), { host });
      const logs = await Promise.all([0, 1, 2].map((index) => first.openLog(topic, partitionIndex(index), options())));
      for (const log of logs) {
        await log.append(batches(0, 5));
        await log.sync();
        await log.append(batches(5, 8));
      }
      disk.failSyncs(1);
      void logs[0]?.sync();
      while (host.crashes.length === 0) await scheduler.pause(1_000);
      disk.crash('process');
      const seen: string[] = [];
      const openOne = async (files: FileSystem, index: number) => {
        const directory = await openDirectory(files);
        const log = await directory.openLog(topic, partitionIndex(index), options());
        seen.push(`${index} ${log.recovery.how} ${log.endOffset}`);
        return directory;
      };
      await openOne(disk.mount(), 0);
      disk.crash('process');
      await (await openOne(disk.mount(), 1)).close();
      await (await openOne(disk.mount(), 2)).close();
      await (await openOne(disk.mount(), 2)).close();
      assert.deepEqual(seen, ['0 rewritten 8', '1 rewritten 8', '2 rewritten 8', '2 clean 8']);
    });
  });
});

describe('the checkpoint of all logs', () => {
  test('is written once for all who ask at the same time', async () => {
    await onSimulatedDisk('coalesced', async ({ disk }) => {
      const counted = counting(disk.mount());
      const directory = await openDirectory(counted.files);
      const logs = await Promise.all(
        range(0, 40).map((index) =>
          directory.openLog(topic, partitionIndex(index), {
            config: config(),
            role: 'sole',
            replay: new RecordingReplay(),
          }),
        ),
      );
      counted.calls.length = 0;
      await Promise.all(logs.map((log) => log.inheritTombstonesGone(offset(1n))));
      const renames = counted.calls.filter(({ call }) => call === 'rename').length;
      assert.ok(renames <= 2, `${renames} writes`);
    });
  });
});

test('a log is open once', async () => {
  await onSimulatedDisk('twice', async ({ disk }) => {
    const broker = await start(disk.mount());
    const again = broker.directory.openLog(topic, partition, {
      config: config(),
      role: 'sole',
      replay: new RecordingReplay(),
    });
    assert.match((await refusal(again)).message, /is open already/);
  });
});
