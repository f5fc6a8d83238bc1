/** A data directory of format version 1 is opened for ever, and this build still writes the same bytes. */
import assert from 'node:assert/strict';
import { cp, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { leaderEpoch, partitionIndex } from '@tributary/model';
import { nodeFileSystem } from '@tributary/runtime';
import { epochAt, filesBelow, fixture, fixtureConfig, inScratch, makeState, states } from './format-v1.ts';
import { bases, openDirectory, RecordingReplay, range, readAll, testHost, topic } from './harness.ts';

describe('the data directory of format version 1', () => {
  for (const state of states) {
    test(`(${state}) is opened with all that it holds`, async () => {
      await inScratch(async (root) => {
        await cp(path.join(fixture, state), root, { recursive: true });
        const directory = await openDirectory(nodeFileSystem, { root, host: testHost('boot of the fixture') });
        assert.equal(directory.lastStop, state === 'closed' ? 'clean' : 'unclean');
        assert.equal(directory.identity.meta.clusterId, 'ClusterOfTheFixture000');
        assert.equal(directory.identity.meta.brokerId, 3);
        assert.equal(directory.identity.meta.lastRegisteredIncarnation, 'IncarnationOfFixture00');
        assert.equal(directory.identity.meta.highestRevision, 4_711n);
        assert.equal(directory.unopened.length, 2);
        const replay = new RecordingReplay();
        const log = await directory.openLog(topic, partitionIndex(0), { config: fixtureConfig, role: 'sole', replay });
        assert.equal(log.recovery.how, state === 'closed' ? 'clean' : 'scanned');
        assert.deepEqual([log.startOffset, log.endOffset, log.highWatermark], [7n, 60n, 50n]);
        const read = await readAll(log);
        assert.deepEqual(bases(read), range(7, 60));
        assert.ok(read.every(({ base, epoch }) => epoch === epochAt(Number(base))));
        assert.deepEqual(log.endOffsetFor(leaderEpoch(1)), { epoch: 1, end: 20n });
        assert.deepEqual(log.endOffsetFor(leaderEpoch(5)), { epoch: 2, end: 41n });
        assert.deepEqual(replay.seen, range(0, 60).map(String));
        assert.deepEqual(await log.offsetForTimestamp(1_700_000_000_333), {
          offset: 34n,
          timestampMs: 1_700_000_000_340,
        });
        assert.deepEqual(log.health, { suspect: false, possibleLoss: false, damaged: [] });
        await directory.close();
      });
    });

    test(`(${state}) is written byte for byte as before`, async () => {
      await inScratch(async (root) => {
        await makeState(root, state);
        const names = await filesBelow(path.join(root, state));
        assert.deepEqual(names, await filesBelow(path.join(fixture, state)));
        for (const name of names) {
          const [now, before] = await Promise.all([
            readFile(path.join(root, state, name)),
            readFile(path.join(fixture, state, name)),
          ]);
          assert.ok(now.equals(before), `${name} differs`);
        }
      });
    });
  }
});
