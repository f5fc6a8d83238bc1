/**
 * A takeover that can read only the beginning of its journal for longer than members are silent, while some members reach nobody (G2): they are well, and
 * could not have been heard.
 *
 * The owner dies, the next one writes its fence, and before it has read what lies below it the partition's leader dies, and those that have all of it hear
 * neither that the fence is committed nor each other. The new leader shows what it knows to be committed, and no more until they hear each other (R3).
 */
import { groupPartitionOf, offsetsTopic } from '@tributary/metadata';
import { methods } from '@tributary/wire';
import { ms } from '../cluster/blows.ts';
import type { Member } from '../cluster/member.ts';
import type { Stage } from '../cluster/stage.ts';
import type { Call } from '../network/connection.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { groupIdOf, SESSION_TIMEOUTS_MS } from './plan.ts';

/** A takeover is faster than this, unless other faults are in its way. */
const FENCED_MS_MAX = 2_500;

interface Journal {
  readonly topicId: string;
  readonly partition: number;
  readonly writerEpoch: bigint;
  readonly owner: Member;
  readonly leader: Member;
  readonly followers: readonly Member[];
}

export async function readInTwo(stage: Stage, random: SeededRandom): Promise<void> {
  const journal = someJournal(stage, random);
  if (journal === undefined) return;
  const { owner, leader, followers } = journal;
  const seats = [...stage.world.machines.keys()].filter((name) => name.startsWith('m') && random.chance(0.6));
  const apart = pairsOf(
    seats,
    stage.members.map(({ name }) => name),
  );
  silence(stage, apart);
  owner.kill();
  const fenced = await within(stage, FENCED_MS_MAX, fenceOf(stage, journal));
  if (fenced !== undefined) {
    const copies = [leader, ...followers].map(({ name }) => name);
    const unheard = copies.flatMap((one) =>
      copies.filter((other) => other !== one).map((other) => [one, other] as const),
    );
    silence(stage, unheard);
    for (const member of [leader, ...followers]) member.troubled();
    await within(stage, 500, openedBy(stage, journal, fenced.by));
    leader.kill();
    stage.world.coverage.count('group: journal shown in part');
    await ms(stage, random.between(800, 2 * Math.max(...SESSION_TIMEOUTS_MS)));
    for (const [from, to] of unheard) stage.world.network.hear(from, to);
    for (const member of [leader, ...followers]) member.troubled();
  }
  await ms(stage, random.between(100, 2_000));
  for (const [from, to] of apart) stage.world.network.hear(from, to);
}

/** That of a group, with all of its copies in sync. */
function someJournal(stage: Stage, random: SeededRandom): Journal | undefined {
  const { image } = stage.truth;
  const topic = offsetsTopic(image);
  if (topic === undefined) return undefined;
  const { topicId } = topic;
  const partition = groupPartitionOf(groupIdOf(random.below(2)), topic.partitions);
  const assignment = image.groupPartition(partition);
  const journal = image.partition(topicId, partition);
  if (assignment === undefined || journal === undefined || journal.isr.length < 3) return undefined;
  const owner = stage.coordinators.find(({ nodeId }) => nodeId === assignment.coordinator);
  const leader = stage.broker(journal.leader ?? -1);
  const followers = stage.brokers.filter(
    (each) => each !== leader && journal.replicas.some(({ nodeId }) => nodeId === each.nodeId),
  );
  if (owner === undefined || leader === undefined) return undefined;
  return { topicId, partition, writerEpoch: assignment.writerEpoch, owner, leader, followers };
}

/** The leader acknowledges the first write of another owner. */
function fenceOf(stage: Stage, { topicId, partition, writerEpoch, leader }: Journal): Promise<{ readonly by: string }> {
  const { network } = stage.world;
  const { promise, resolve } = Promise.withResolvers<{ readonly by: string }>();
  const asked = new Map<Call, number>();
  network.watch((call, bytes) => {
    if (call.server !== leader.name || call.path !== methods.produce.path) return false;
    const fence = methods.produce.request
      .decode(bytes)
      .batches.find(
        (batch) =>
          batch.topicId === topicId && batch.partition === partition && (batch.writerEpoch ?? 0n) > writerEpoch,
      );
    if (fence !== undefined) asked.set(call, fence.correlationId);
    return fence !== undefined;
  });
  const { onAnswered } = network;
  network.onAnswered = (call, message) => {
    onAnswered?.(call, message);
    const correlationId = asked.get(call);
    if (correlationId === undefined || call.path !== methods.produce.path) return;
    const { results } = methods.produce.response.decode(message.bytes());
    if (!results.some((each) => each.correlationId === correlationId && each.errorCode === 0)) return;
    asked.delete(call);
    resolve({ by: call.client });
  };
  return promise;
}

/** The new owner's question for the journal has reached the leader. */
function openedBy(stage: Stage, { topicId, partition, leader }: Journal, machine: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stage.world.network.watch((call, bytes) => {
    if (call.client !== machine || call.server !== leader.name || call.path !== methods.fetch.path) return false;
    const request = methods.fetch.request.decode(bytes);
    const isIt = request.open.some((each) => each.topicId === topicId && each.partition === partition);
    if (isIt) resolve();
    return isIt;
  });
  return promise;
}

const pairsOf = (some: readonly string[], others: readonly string[]): (readonly [string, string])[] =>
  some.flatMap((one) => others.flatMap((other) => [[one, other] as const, [other, one] as const]));

function silence(stage: Stage, pairs: readonly (readonly [string, string])[]): void {
  for (const [from, to] of pairs) stage.world.network.silence(from, to);
}

/** @returns undefined: it did not come in time. */
function within<T>(stage: Stage, forMs: number, promise: Promise<T>): Promise<T | undefined> {
  return Promise.race([promise, ms(stage, forMs).then(() => undefined)]);
}
