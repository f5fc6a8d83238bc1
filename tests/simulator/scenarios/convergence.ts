/** The end of a run: healed, it must converge. */
import { TributaryError } from '@tributary/model';
import { nextOffsetOf, scanBatches } from '@tributary/record';
import { methods, OffsetSpec } from '@tributary/wire';
import type { RawConsumer } from '../clients/raw-consumer.ts';
import { contextOf, findRoutes, keyOf, type PartitionKey, untilDone } from '../clients/routes.ts';
import { DATA_DIRECTORY } from '../cluster.ts';
import { folderOf } from '../invariants.ts';
import type { ProcessMain, ProcessPorts } from '../process.ts';
import { newConsumer, runProgram } from './client-programs.ts';
import type { Reading, Scene } from './scene.ts';
import { isCompactedTopic, topics } from './topics.ts';

/** Virtual time after the last fault within which everything must have come right. */
const CONVERGENCE_MS = 240_000;

/** The last flush of what was acknowledged without waiting for it. */
const SETTLING_MS = 10_000;

type Ends = ReadonlyMap<PartitionKey, bigint>;

/** Waits. When it takes too long, something that was pending will never be done. */
export async function within(scene: Scene, what: string, isSo: () => boolean, report: () => string): Promise<void> {
  const until = scene.world.scheduler.nowMicros + CONVERGENCE_MS * 1_000;
  while (!isSo()) {
    if (scene.world.scheduler.nowMicros > until) {
      scene.world.broken(
        'convergence',
        `healed, and after ${CONVERGENCE_MS} ms it is still not so that ${what}\n${report()}`,
      );
    }
    await scene.world.scheduler.pause(20_000);
  }
}

/** One more reader, from the beginning to the end of every partition, and everybody else's progress. */
export async function readEverything(scene: Scene, name: string): Promise<void> {
  let ends: Ends | undefined;
  let reader: RawConsumer | undefined;
  let hasRead = false;
  const program: ProcessMain = async (ports, stop) => {
    const found = await settledEnds(scene, name, ports, stop);
    ends = found;
    const plan = {
      name,
      bootstrap: [scene.bootstrap] as const,
      topics: topics.map((topic) => topic.name),
      windowBytes: 500_000,
      seekChance: () => 0,
    };
    const own = newConsumer(scene, plan, ports, true);
    reader = own;
    const done = new AbortController();
    const reading = own.run(done.signal);
    while (!hasReached(scene, own, found)) await ports.clock.sleep(20, stop);
    done.abort();
    await reading;
    hasRead = true;
  };
  runProgram(scene, name, program).catch((thrown: unknown) => scene.world.scheduler.fail(thrown));
  const everybodyIsThere = (): boolean => {
    const known = ends;
    return known !== undefined && hasRead && scene.consumers.every((consumer) => hasReached(scene, consumer, known));
  };
  await within(scene, `${name} and all consumers have read everything`, everybodyIsThere, () =>
    progressOf(ends, [reader, ...scene.consumers]),
  );
  for (const { name: topic, partitions } of topics) {
    for (let partition = 0; partition < partitions; partition++) {
      const key = keyOf(topic, partition);
      scene
        .history(topic, partition)
        .finish(reader?.kept(key) ?? [], reader?.logStart(key) ?? 0n, ends?.get(key) ?? 0n);
    }
  }
}

function progressOf(ends: Ends | undefined, readers: readonly (Reading | undefined)[]): string {
  if (ends === undefined) return 'the high watermarks are not where the logs end';
  const line = ([key, end]: readonly [string, bigint]): string =>
    `${key} ends at ${end}; ${readers.map((each) => each?.progress().get(key) ?? '-').join(' ')}`;
  return [...ends].map(line).join('\n');
}

/** Whatever a reader reads, it has read to the end. */
function hasReached(scene: Scene, reader: Reading, ends: Ends): boolean {
  const progress = reader.progress();
  return (
    progress.size > 0 && [...progress].every(([key, next]) => next >= (ends.get(key) ?? 0n) || mayEndInAGap(scene, key))
  );
}

/** What replaced the records before the end of a compacted log has decayed: there is nothing left to read up to there. */
function mayEndInAGap(scene: Scene, key: PartitionKey): boolean {
  const at = key.lastIndexOf('-');
  const topic = key.slice(0, at);
  return isCompactedTopic(topic) && scene.history(topic, Number(key.slice(at + 1))).isRotten;
}

/** Once nothing is written any more the high watermark comes to where the last batch on the disk ends (R3). */
async function settledEnds(scene: Scene, name: string, ports: ProcessPorts, stop: AbortSignal): Promise<Ends> {
  const until = ports.clock.monotonicMs() + SETTLING_MS;
  for (;;) {
    const ends = await untilDone(ports, stop, () => latestOffsets(scene, name, ports));
    const amiss = amissAt(scene, ends);
    if (amiss === undefined) return ends;
    if (ports.clock.monotonicMs() > until) scene.world.broken('R3', amiss);
    await ports.clock.sleep(50, stop);
  }
}

async function latestOffsets(scene: Scene, name: string, ports: ProcessPorts): Promise<Ends> {
  await using peer = ports.transport.connect(scene.bootstrap);
  const routes = await findRoutes(
    peer,
    name,
    topics.map((topic) => topic.name),
  );
  const spec = OffsetSpec.LATEST;
  const partitions = [...routes.values()].map(({ topicId, partition, leaderEpoch }) => ({
    topicId,
    partition,
    leaderEpoch,
    spec,
    timestampMs: 0n,
  }));
  const answer = await peer.unary(methods.listOffsets, { context: contextOf(name), partitions }, { deadlineMs: 5_000 });
  const ends = new Map<PartitionKey, bigint>();
  for (const [i, key] of [...routes.keys()].entries()) {
    const found = answer.partitions[i];
    if (found === undefined || found.errorCode !== 0)
      throw TributaryError.fromAnswer(found?.errorCode ?? -1, found?.errorMessage ?? '');
    ends.set(key, found.offset);
  }
  return ends;
}

/** @returns where a log ends elsewhere than its high watermark; undefined: nowhere. */
function amissAt(scene: Scene, ends: Ends): string | undefined {
  for (const { name, topicId } of scene.created) {
    const partitions = topics.find((topic) => topic.name === name)?.partitions ?? 1;
    for (let partition = 0; partition < partitions; partition++) {
      if (scene.history(name, partition).isRotten) continue;
      const key = keyOf(name, partition);
      const end = logEnd(scene, key, folderOf(topicId, partition));
      const latest = ends.get(key);
      if (end > 0n && latest !== end)
        return `${key}: the log ends at ${end}, and the high watermark stays at ${latest}`;
    }
  }
  return undefined;
}

function logEnd(scene: Scene, key: PartitionKey, folder: string): bigint {
  let end = 0n;
  for (const [file, bytes] of scene.server.disk.cachedFilesIn(`${DATA_DIRECTORY}/${folder}`)) {
    if (!file.endsWith('.log')) continue;
    const fileEnd = endOf(bytes);
    if (fileEnd === undefined) scene.world.broken('L3', `${key}: ${file} is served, and holds what is no batch`);
    else if (fileEnd > end) end = fileEnd;
  }
  return end;
}

/** The offset after the last batch; undefined: something in between is none. */
function endOf(bytes: Uint8Array): bigint | undefined {
  let end = 0n;
  let position = 0;
  try {
    for (const { at, size } of scanBatches(bytes)) {
      end = nextOffsetOf(bytes, at);
      position = at + size;
    }
  } catch {
    return undefined;
  }
  return position === bytes.length ? end : undefined;
}
