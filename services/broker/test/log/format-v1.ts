/**
 * The data directory that tests/fixtures/data-directory-v1 keeps for ever: made by the first build that could be released, opened by every one
 * since. Run this file to make it again, which is right only as long as no release has written format version 1:
 *
 *     node services/broker/test/log/format-v1.ts
 */
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  clusterId,
  incarnationId,
  leaderEpoch,
  nodeId,
  offset,
  partitionIndex,
  type TopicConfig,
} from '@tributary/model';
import { nodeFileSystem } from '@tributary/runtime';
import { batch, config, openDirectory, RecordingReplay, testClock, testHost, testRandom, topic } from './harness.ts';

export const fixture = path.join(import.meta.dirname, '..', '..', '..', '..', 'tests', 'fixtures', 'data-directory-v1');
/** Closed; and left by a process that was killed with batches past its last checkpoint. */
export const states = ['closed', 'killed'] as const;
export const fixtureConfig: TopicConfig = config({ 'segment.bytes': '2000', 'index.interval.bytes': '200' });
export const epochAt = (at: number): number => (at < 20 ? 1 : at < 41 ? 2 : 6);

/** Not part of the format. */
const transient = ['lock', 'reserve', 'headroom'];

/** Makes `state` below `root`. What it holds depends on nothing but this code. */
export async function makeState(root: string, state: (typeof states)[number]): Promise<void> {
  const home = path.join(root, 'home');
  const directory = await openDirectory(nodeFileSystem, {
    root: home,
    host: testHost('boot of the fixture'),
    clock: testClock(1_700_000_000_000),
    random: testRandom(),
  });
  await directory.identity.bind(clusterId('ClusterOfTheFixture000'), nodeId(3));
  await directory.identity.recordPending(incarnationId('IncarnationOfFixture00'), []);
  await directory.identity.recordRegistered(incarnationId('IncarnationOfFixture00'), []);
  directory.identity.noteRevision(4_711n, 0);
  await directory.openLog(topic, partitionIndex(1), {
    config: fixtureConfig,
    role: 'sole',
    replay: new RecordingReplay(),
  });
  const replay = new RecordingReplay();
  const log = await directory.openLog(topic, partitionIndex(0), { config: fixtureConfig, role: 'sole', replay });
  const add = async (from: number, to: number): Promise<void> => {
    for (let at = from; at < to; at++) {
      const made = batch({
        at: BigInt(at),
        epoch: epochAt(at),
        timestamp: 1_700_000_000_000 + at * 10,
        producer: 9n,
        sequence: at,
      });
      await log.append([made]);
      replay.apply(made.baseOffset, offset(made.lastOffset + 1n));
      await log.sync();
    }
  };
  await add(0, 20);
  log.beginEpoch(leaderEpoch(2), offset(20n));
  await add(20, 41);
  log.beginEpoch(leaderEpoch(6), offset(41n));
  await add(41, 55);
  log.noteHighWatermark(offset(50n));
  await log.advanceStart(offset(7n));
  await directory.checkpoint();
  await add(55, 60);
  if (state === 'killed') await cp(home, path.join(root, state), { recursive: true });
  await directory.close();
  if (state === 'closed') await cp(home, path.join(root, state), { recursive: true });
  for (const name of transient) await rm(path.join(root, state, name), { force: true });
  await rm(home, { recursive: true });
}

/** Paths of all files below `root`, sorted. */
export async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .sort();
}

/** In a folder that is removed afterwards. */
export async function inScratch(story: (root: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'tributary-format-'));
  try {
    await story(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  await inScratch(async (root) => {
    await rm(fixture, { recursive: true, force: true });
    for (const state of states) {
      await makeState(root, state);
      await cp(path.join(root, state), path.join(fixture, state), { recursive: true });
    }
    console.log((await filesBelow(fixture)).join('\n'));
  });
}
