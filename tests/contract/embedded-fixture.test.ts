/** Data directories and metadata of every format that was ever released stay readable. Fixtures are added, never changed. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { ClusterImage, EmbeddedMetadataStore, decodeEntry, metadataKeys } from '@tributary/metadata';
import { partitionIndex, topicId } from '@tributary/model';
import { nodeClock, nodeFileSystem, nodeRandom } from '@tributary/runtime';

interface Expected {
  readonly revision: string;
  readonly entries: readonly {
    readonly key: string;
    readonly value: string;
    readonly createRevision: string;
    readonly modRevision: string;
  }[];
}

const fixture = path.join(import.meta.dirname, 'fixtures', 'metadata-format-1');

async function opened<T>(use: (store: EmbeddedMetadataStore) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'tributary-fixture-'));
  try {
    await cp(path.join(fixture, 'metadata.journal'), path.join(directory, 'metadata.journal'));
    await using store = await EmbeddedMetadataStore.open(nodeFileSystem, directory, nodeClock, nodeRandom);
    return await use(store);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

describe('a metadata journal of format 1', () => {
  test('is opened with every key, value and revision, and without what a lease held', async () => {
    const expected: Expected = JSON.parse(await readFile(path.join(fixture, 'expected.json'), 'utf8'));
    const { revision, entries } = await opened((store) => store.read('/'));
    const found = entries.map((entry) => ({
      ...entry,
      createRevision: String(entry.createRevision),
      modRevision: String(entry.modRevision),
    }));
    assert.deepEqual({ revision: String(revision), entries: found }, expected);
  });

  test('holds values that this version reads as they were meant', async () => {
    const keys = metadataKeys('fixture');
    const { revision, entries } = await opened((store) => store.read(keys.prefix));
    const puts = entries.map((entry) => decodeEntry(keys, entry)).filter((put) => put !== undefined);
    assert.equal(puts.length, entries.length);
    const { image } = ClusterImage.empty.apply(revision, puts);
    assert.equal(image.cluster?.clusterId, 'cluster');
    assert.equal(image.producerIds?.nextId, 2n ** 62n);
    assert.equal(image.topicNamed('orders')?.phase, 'deleting');
    const partition = image.partition(topicId('t'), partitionIndex(7));
    assert.deepEqual(
      [partition?.leader, partition?.isr, partition?.effectiveFlushPolicy, partition?.uncleanEpoch],
      [2, [2, 1], 'async', 2],
    );
  });
});
