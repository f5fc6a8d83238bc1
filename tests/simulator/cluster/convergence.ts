/** The end of a run: healed, the cluster must come right by itself. */
import { baseOffsetOf, lastOffsetOf } from '@tributary/record';
import { RawConsumer } from '../clients/raw-consumer.ts';
import { keyOf } from '../clients/routes.ts';
import { batchesOn, endOn } from './on-disk.ts';
import { isCompacted, topicNamed } from './plan.ts';
import type { KnownPartition, Stage } from './stage.ts';
import { described } from './truth.ts';

/** Virtual time after the last fault within which everything must have come right. */
const CONVERGENCE_MS = 120_000;

/** Waits. When it takes too long, something that was pending will never be done. @param amiss what is not yet so. */
export async function within(stage: Stage, what: string, amiss: () => string | undefined): Promise<void> {
  const until = stage.world.scheduler.nowMicros + CONVERGENCE_MS * 1_000;
  for (let why = amiss(); why !== undefined; why = amiss()) {
    if (stage.world.scheduler.nowMicros > until) {
      stage.world.broken(
        'convergence',
        `healed, and after ${CONVERGENCE_MS} ms it is still not so that ${what}\n${why}`,
      );
      return;
    }
    await stage.world.scheduler.pause(50_000);
  }
}

/** Every partition is led, and all its replicas are in sync. */
export function notSettled(stage: Stage): string | undefined {
  for (const partition of stage.truth.image.partitions()) {
    const { leader, isr, replicas, eligibleLeaderReplicas } = partition;
    if (leader === undefined || isr.length !== replicas.length || eligibleLeaderReplicas.length > 0)
      return `${stage.nameOf(`${partition.topicId}-${partition.partition}`)} is ${described(partition)}`;
  }
  return undefined;
}

/** All replicas end where the leader's does. */
export function notEven(stage: Stage): string | undefined {
  for (const known of stage.partitions) {
    const ends = endsOf(stage, known);
    if (new Set(ends.values()).size > 1)
      return `${keyOf(known.topic, known.partition)} ends at ${[...ends].map(([name, end]) => `${end} on ${name}`).join(', ')}`;
  }
  return undefined;
}

function endsOf(stage: Stage, { folder }: KnownPartition): Map<string, bigint> {
  const ends = new Map<string, bigint>();
  for (const { nodeId } of stage.truth.partition(folder)?.replicas ?? []) {
    const member = stage.broker(nodeId);
    if (member !== undefined) ends.set(member.name, endOn(member.machine.disk, folder, 'cache') ?? 0n);
  }
  return ends;
}

/** What several replicas have is the same, byte for byte; where nothing is removed each has all from its start on. */
export function compareReplicas(stage: Stage): void {
  for (const known of stage.partitions) {
    const [first, ...others] = (stage.truth.partition(known.folder)?.replicas ?? []).map(({ nodeId }) => nodeId);
    if (first === undefined) continue;
    const mine = logOf(stage, first, known.folder);
    for (const node of others) compareTwo(stage, known, [first, mine], [node, logOf(stage, node, known.folder)]);
  }
}

type Log = ReadonlyMap<bigint, Uint8Array>;

function logOf(stage: Stage, node: number, folder: string): Log {
  const member = stage.broker(node);
  return member === undefined ? new Map() : batchesOn(member.machine.disk, folder, 'cache');
}

function compareTwo(stage: Stage, known: KnownPartition, [a, one]: [number, Log], [b, other]: [number, Log]): void {
  // Each compacts by itself: only what neither has rewritten can be compared, and clients look at the rest.
  if (isCompacted(topicNamed(known.topic))) return;
  const name = keyOf(known.topic, known.partition);
  for (const [offset, batch] of one) {
    const there = other.get(offset);
    if (there === undefined) {
      stage.world.broken('R2', `${name}: ${a} has a batch from ${offset} to ${lastOffsetOf(batch, 0)}, ${b} has none`);
      return;
    }
    if (Buffer.compare(batch, there) !== 0) {
      stage.world.broken('R2', `${name}: ${a} and ${b} have different batches at ${baseOffsetOf(batch, 0)}`);
      return;
    }
  }
  if (one.size !== other.size)
    stage.world.broken('R2', `${name}: ${a} has ${one.size} batches, ${b} has ${other.size}`);
  stage.world.coverage.count('checked: replicas byte by byte');
}

/** One more reader, from the beginning to the end of every partition, and everybody else's progress. */
export async function readEverything(stage: Stage, name: string): Promise<void> {
  const readers: { readonly known: KnownPartition; reader: RawConsumer | undefined }[] = [];
  const stop = new AbortController();
  for (const known of stage.partitions) {
    const entry: (typeof readers)[number] = { known, reader: undefined };
    readers.push(entry);
    const who = `${name} of ${keyOf(known.topic, known.partition)}`;
    const program = stage.clients.start(who, (ports) => {
      const plan = { name: who, bootstrap: stage.bootstrap, topics: [known.topic], partition: known.partition };
      const rest = { windowBytes: 500_000, seekChance: () => 0 };
      const random = stage.random.stream(who);
      entry.reader = new RawConsumer({ ...plan, ...rest }, ports, random, stage.observers(), true);
      return entry.reader.run(stop.signal);
    });
    program.ended.then((end) => {
      if (end.how === 'failed') stage.world.scheduler.fail(end.thrown);
    }, stage.world.scheduler.fail);
  }
  const ends = new Map(
    [...stage.partitions].map((known) => [keyOf(known.topic, known.partition), endIn(stage, known)]),
  );
  await within(stage, `${name} and all consumers have read everything`, () => {
    for (const { progress } of [...readers.flatMap(({ reader }) => reader ?? []), ...stage.consumers].map((each) => ({
      progress: each.progress(),
    }))) {
      for (const [key, next] of progress)
        if (next < (ends.get(key) ?? 0n)) return `${key} ends at ${ends.get(key)}, a reader is at ${next}`;
    }
    const unread = readers.find(({ known, reader }) => !reader?.progress().has(keyOf(known.topic, known.partition)));
    return unread === undefined ? undefined : `${unread.known.topic} has not been read at all`;
  });
  stop.abort();
  for (const { known, reader } of readers) {
    const key = keyOf(known.topic, known.partition);
    const history = stage.history(known.topic, known.partition);
    history.finish(reader?.kept(key) ?? [], reader?.logStart(key) ?? 0n, ends.get(key) ?? 0n);
  }
}

/** Where its first replica ends. */
export function endIn(stage: Stage, known: KnownPartition): bigint {
  const [end = 0n] = endsOf(stage, known).values();
  return end;
}
