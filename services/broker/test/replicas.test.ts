import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterImage } from '@tributary/metadata';
import { clusterId, leaderEpoch, nodeId, offset, TributaryError } from '@tributary/model';
import { FileError } from '@tributary/ports';
import { readBatchHeader } from '@tributary/record';
import { ProducerState } from '../src/partition/producer-state.ts';
import { Replicas } from '../src/replicas.ts';
import { counting } from './log/counting-files.ts';
import { batches, config, folder, openDirectory, partition as index, start, testClock, topic } from './log/harness.ts';
import { onSimulatedDisk } from './log/on-disk.ts';

const me = nodeId(1);

/** A cluster of one topic with one partition, led here. */
function imageOf(
  directoryId: string,
  phase: 'ready' | 'deleting' = 'ready',
  setting: 'commit' | 'async' = 'commit',
  key: 'commit' | 'async' = 'commit',
  epoch = 4,
): ClusterImage {
  const info = {
    topicId: topic,
    partition: index,
    leader: me,
    leaderEpoch: leaderEpoch(epoch),
    replicas: [{ nodeId: me, directoryId }],
    isr: [me],
    effectiveMinIsr: 1,
    effectiveFlushPolicy: key,
  };
  const image = {
    cluster: { clusterId: clusterId('c') },
    clusterConfigs: {},
    revision: 9n,
    topic: () => ({ topicId: topic, name: 't', partitions: 1, configs: { 'flush.policy': setting }, phase }),
    partition: () => (phase === 'ready' ? info : undefined),
    partitions: () => (phase === 'ready' ? [info] : []),
  };
  return image as unknown as ClusterImage;
}

test('a partition for which the disk has no room waits for it, and does not end the broker; deleted, it leaves nothing', async () => {
  for (const end of ['room again', 'deleted'] as const) {
    await onSimulatedDisk(`put off: ${end}`, async ({ disk }) => {
      const counted = counting(disk.mount());
      const directory = await openDirectory(counted.files);
      const image = imageOf(directory.directoryId);
      const warned: string[] = [];
      const logger = {
        info: () => undefined,
        error: () => undefined,
        warn: (event: string) => void warned.push(event),
      };
      const replicas = new Replicas(me, directory, { clock: testClock(), logger }, image);
      counted.before = (call, path) => {
        if ((call === 'append' || call === 'open') && path.includes('.log'))
          throw new FileError('full', `${path}: no space`);
      };
      for (let attempt = 0; attempt < 2; attempt++) await replicas.follow(image, true, []);
      await replicas.retry();
      assert.deepEqual(warned, ['replica-put-off']);
      assert.deepEqual(
        [...replicas.open()].map(({ partition }) => partition.state.role.kind).filter((kind) => kind === 'leading'),
        [],
      );
      counted.before = () => {};
      if (end === 'deleted') {
        await replicas.follow(imageOf(directory.directoryId, 'deleting'), true, [{ topicId: topic, partition: index }]);
        assert.equal(replicas.has(topic), false);
        assert.deepEqual(
          (await counted.files.list('data')).filter((name) => name.startsWith(folder)),
          [],
        );
      } else {
        await replicas.retry();
        const { role } = replicas.find(topic, index).state;
        assert.deepEqual([role.kind, role.kind === 'leading' && role.epoch], ['leading', 4]);
      }
      await replicas.close();
    });
  }
});

test('R6: a replica goes without flushing only where both the setting and the key say async, and gives its word where only the key does', async () => {
  const logger = { info: () => undefined, error: () => undefined, warn: () => undefined };
  const policies = ['commit', 'async'] as const;
  for (const setting of policies) {
    for (const key of policies) {
      await onSimulatedDisk(`policy: ${setting}, ${key}`, async ({ disk }) => {
        const directory = await openDirectory(disk.mount());
        const image = imageOf(directory.directoryId, 'ready', setting, key);
        const replicas = new Replicas(me, directory, { clock: testClock(), logger }, image);
        await replicas.follow(image, true, []);
        const both = setting === 'async' && key === 'async';
        assert.equal(replicas.find(topic, index).state.config.flushPolicy, both ? 'async' : 'commit');
        const words = [...replicas.newlyFlushing()].map(({ leaderEpoch: epoch, revision }) => [epoch, revision]);
        assert.deepEqual(words, setting === 'commit' && key === 'async' ? [[4, 9n]] : []);
        await replicas.close();
      });
    }
  }
});

test('R6: what is being deleted is not led, whoever its key names: the controller gives it no epoch after a new registration', async () => {
  await onSimulatedDisk('going', async ({ disk }) => {
    const directory = await openDirectory(disk.mount());
    const logger = { info: () => undefined, error: () => undefined, warn: () => undefined };
    const image = imageOf(directory.directoryId);
    const about = { topicId: topic, name: 't', partitions: 1, configs: {}, phase: 'deleting' };
    const going = Object.assign(image, { topic: () => about });
    const replicas = new Replicas(me, directory, { clock: testClock(), logger }, going);
    await replicas.follow(going, true, []);
    assert.equal(replicas.find(topic, index).state.role.kind, 'waiting');
    await replicas.close();
  });
});

test('M4: a setting that changes leaves a leadership, and what it has proposed, alone; a new epoch begins anew', async () => {
  await onSimulatedDisk('leading on', async ({ disk }) => {
    const directory = await openDirectory(disk.mount());
    const logger = { info: () => undefined, error: () => undefined, warn: () => undefined };
    const image = imageOf(directory.directoryId);
    const replicas = new Replicas(me, directory, { clock: testClock(), logger }, image);
    const told: string[] = [];
    replicas.roles = {
      leading: () => void told.push('leading'),
      following: () => void told.push('following'),
      forget: () => void told.push('forget'),
    };
    await replicas.follow(image, true, []);
    assert.deepEqual(told.splice(0), ['forget', 'leading']);
    await replicas.follow(imageOf(directory.directoryId, 'ready', 'async'), true, [
      { topicId: topic, partition: index },
    ]);
    assert.deepEqual(told.splice(0), ['leading']);
    await replicas.follow(imageOf(directory.directoryId, 'ready', 'async', 'commit', 5), true, [
      { topicId: topic, partition: index },
    ]);
    assert.deepEqual(told, ['forget', 'leading']);
    await replicas.close();
  });
});

test('a log that cannot be opened keeps neither its broker from starting nor the others from serving, and says why', async () => {
  await onSimulatedDisk('unopenable', async ({ disk }) => {
    const first = await openDirectory(disk.mount());
    const image = imageOf(first.directoryId);
    const logger = { info: () => undefined, error: () => undefined, warn: () => undefined };
    const before = new Replicas(me, first, { clock: testClock(), logger }, image);
    await before.follow(image, true, []);
    await before.close();
    await first.close();
    const counted = counting(disk.mount());
    const directory = await openDirectory(counted.files);
    const clock = testClock();
    const replicas = new Replicas(me, directory, { clock, logger }, image);
    counted.before = (call, path) => {
      if (call === 'open' && path.endsWith('.log')) throw new FileError('io', `${path}: input/output error`);
    };
    assert.deepEqual(await replicas.recover(), []);
    await replicas.follow(image, true, []);
    assert.deepEqual(
      [...replicas.failed()].map(({ name }) => name.partition),
      [0],
    );
    assert.throws(
      () => replicas.find(topic, index),
      (thrown) =>
        thrown instanceof TributaryError &&
        thrown.error === 'KAFKA_STORAGE_ERROR' &&
        /t-0 could not be opened: .*input\/output error/.test(thrown.message),
    );
    counted.before = () => {};
    await replicas.retry();
    assert.equal([...replicas.failed()].length, 1, 'it is tried again before its time');
    clock.now += 60_000;
    await replicas.retry();
    assert.equal(replicas.find(topic, index).state.role.kind, 'leading');
    await replicas.close();
  });
});

const logger = { info: () => undefined, error: () => undefined, warn: () => undefined };

/** Broker 2 has a replica too, and leads. */
function imageWith(directory: string, isr: readonly number[], elr: readonly number[]): ClusterImage {
  const image = imageOf(directory);
  const other = { nodeId: nodeId(2), directoryId: 'other' };
  const info = {
    ...image.partition(topic, index),
    leader: other.nodeId,
    replicas: [{ nodeId: me, directoryId: directory }, other],
    isr,
    eligibleLeaderReplicas: elr,
  };
  return Object.assign(image, { partition: () => info, partitions: () => [info] });
}

test('L3: a replica that lost what it had is named until the controller has taken it out of ISR and ELR, and no longer', async () => {
  await onSimulatedDisk('suspect', async ({ disk }) => {
    const before = await start(disk.mount(), { role: 'member' });
    for (const one of batches(0, 20)) await before.append(one);
    await before.log.sync();
    before.log.noteHighWatermark(offset(20n));
    await before.directory.checkpoint();
    disk.crash('process');
    const damaged = await disk.mount().open(`data/${folder}/00000000000000000000.log`, 'append');
    await damaged.truncate(damaged.size / 2);
    await damaged.close();

    for (const isr of [[1, 2], [2]] as const) {
      const directory = await openDirectory(disk.mount());
      const image = imageWith(directory.directoryId, isr, []);
      const replicas = new Replicas(me, directory, { clock: testClock(), logger }, image);
      assert.deepEqual(await replicas.recover(), [{ topicId: topic, partition: index }], 'it is told of');
      await replicas.follow(image, false, []);
      const { log } = replicas.find(topic, index);
      assert.equal(log.health.suspect, true, 'not yet admitted');
      await replicas.follow(imageWith(directory.directoryId, [2], [1]), true, []);
      assert.equal(log.health.suspect, true, 'in the ELR');
      await replicas.follow(image, true, [{ topicId: topic, partition: index }]);
      assert.equal(log.health.suspect, isr.length === 2, `isr ${isr.join()}`);
      disk.crash('process');
    }
    const directory = await openDirectory(disk.mount());
    const image = imageWith(directory.directoryId, [1, 2], []);
    const replicas = new Replicas(me, directory, { clock: testClock(), logger }, image);
    assert.deepEqual(await replicas.recover(), []);
    await replicas.close();
  });
});

test('P3: a replica that has lost what it knew of producers is named too: in the ISR or ELR it could never begin anew', async () => {
  await onSimulatedDisk('producers lost', async ({ disk }) => {
    const before = await openDirectory(disk.mount());
    const replay = new ProducerState();
    const log = await before.openLog(topic, index, { config: config(), role: 'member', replay });
    const written = batches(0, 20);
    for (const { bytes } of written) replay.batch(readBatchHeader(bytes, 0));
    await log.append(written);
    log.noteHighWatermark(offset(20n));
    assert.equal(await log.advanceStart(offset(10n)), true);
    await before.checkpoint();
    for (const isSpoilt of [false, true]) {
      disk.crash('process');
      const hit = isSpoilt ? disk.flipBit((path) => path.endsWith('.snapshot')) : 'none is to be hit';
      assert.ok(hit !== undefined);
      const directory = await openDirectory(disk.mount());
      const image = imageWith(directory.directoryId, [2], [1]);
      const replicas = new Replicas(me, directory, { clock: testClock(), logger }, image);
      assert.deepEqual(await replicas.recover(), isSpoilt ? [{ topicId: topic, partition: index }] : []);
    }
  });
});

test('L4: where a disk has no room to begin a log anew it is put off, not tried again at once, and the broker goes on', async () => {
  await onSimulatedDisk('begins anew without room', async ({ disk }) => {
    const counted = counting(disk.mount());
    const directory = await openDirectory(counted.files);
    const image = imageWith(directory.directoryId, [2], []);
    const clock = testClock();
    const replicas = new Replicas(me, directory, { clock, logger }, image);
    await replicas.recover();
    await replicas.follow(image, true, []);
    const beginsAt = { start: offset(5n), producers: { ...new ProducerState().take(), end: offset(5n) } };
    // The checkpoint without the old log, what is known of producers, or the checkpoint with the new one.
    for (const [file, failing, begins] of [
      ['checkpoints', 1, 0n],
      ['snapshot', 1, 5n],
      ['checkpoints', 2, 5n],
    ] as const) {
      const before = replicas.find(topic, index);
      const { role } = before.state;
      assert.ok(role.kind === 'following');
      let writes = 0;
      counted.before = (call, path) => {
        if (call === 'append' && path.includes(file) && ++writes >= failing)
          throw new FileError('full', `${path}: no space`);
      };
      const name = { topicId: topic, partition: index };
      await replicas.restart(name, before, role.term, { ...beginsAt, tombstonesGone: offset(0n) });
      assert.deepEqual(
        [...replicas.failed()].map(({ why }) => why.includes('the disk is full')),
        failing === 1 ? [true] : [],
      );
      counted.before = () => {};
      await replicas.retry();
      assert.deepEqual([...replicas.failed()], []);
      assert.equal(replicas.find(topic, index).startOffset, begins);
    }
  });
});
