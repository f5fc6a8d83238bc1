/**
 * A takeover that can read only the beginning of its journal for longer than members are silent, while some members reach nobody (G2): they are well, and
 * could not have been heard.
 *
 * The owner's last writes and the next one's fence are committed at once, of which only the partition's leader knows: it dies before what lies below the fence
 * has been read from it. Those that have all of it hear nobody, each other neither: the new leader shows what it knows to be committed, and no more (R3).
 */
import { groupPartitionOf, offsetsTopic } from '@tributary/metadata';
import { methods, type ProduceBatch } from '@tributary/wire';
import { ms } from '../cluster/blows.ts';
import type { Member } from '../cluster/member.ts';
import type { Stage } from '../cluster/stage.ts';
import type { Call } from '../network/connection.ts';
import type { SeededRandom } from '../seeded-random.ts';
import { groupIdOf } from './plan.ts';

/** A takeover is faster than this, unless other faults are in its way. */
const FENCED_MS_MAX = 2_500;
/** The owner writes something meanwhile, and its followers are not taken out of the ISR. */
const UNACKNOWLEDGED_MS = [200, 900] as const;
/** About the sessions of members. */
const SHOWN_IN_PART_MS = [800, 6_000] as const;
/** Up to one and a half of the longest ones. */
const APART_MS = [100, 6_000] as const;
/** Not every run has a second group. */
const SECOND_CHANCE = 0.25;

interface Journal {
  readonly topicId: string;
  readonly partition: number;
  readonly writerEpoch: bigint;
  readonly owner: Member;
  readonly leader: Member;
  readonly followers: readonly Member[];
}

export async function readInTwo(stage: Stage, random: SeededRandom): Promise<void> {
  const { network, coverage } = stage.world;
  const journal = someJournal(stage, random);
  if (journal === undefined) return;
  const { owner, leader, followers } = journal;
  const copies = [leader, ...followers];
  const isTroubled = (): void => {
    for (const member of copies) member.troubled();
  };
  const unacknowledged = followers.map(({ name }) => [name, leader.name] as const);
  const unheard = pairsOf(
    [leader.name],
    followers.map(({ name }) => name),
  );
  const among = followers.flatMap(({ name }) =>
    followers.filter((other) => other.name !== name).map((other) => [name, other.name] as const),
  );
  const apart = pairsOf(
    [...stage.world.machines.keys()].filter((name) => name.startsWith('m') && random.chance(0.6)),
    stage.members.map(({ name }) => name),
  );
  isTroubled();
  silence(stage, unacknowledged);
  await ms(stage, random.between(...UNACKNOWLEDGED_MS));
  silence(stage, apart);
  const fence = fenceOf(stage, journal);
  owner.kill();
  if ((await within(stage, FENCED_MS_MAX, fence.asked)) !== undefined) {
    // By then all of them have it.
    await ms(stage, 20);
    silence(stage, [...unheard, ...among]);
    for (const [from, to] of unacknowledged) network.hear(from, to);
    const by = await within(stage, 200, fence.answered);
    silence(stage, unheard);
    if (by !== undefined && (await within(stage, 200, openedBy(stage, journal, by))) !== undefined) {
      coverage.count('group: journal shown in part');
      leader.kill();
      await ms(stage, random.between(...SHOWN_IN_PART_MS));
    }
  }
  for (const [from, to] of [...unacknowledged, ...unheard, ...among]) network.hear(from, to);
  isTroubled();
  await ms(stage, random.between(...APART_MS));
  for (const [from, to] of apart) network.hear(from, to);
}

/** That of a group, with all of its copies in sync. */
function someJournal(stage: Stage, random: SeededRandom): Journal | undefined {
  const { image } = stage.truth;
  const topic = offsetsTopic(image);
  if (topic === undefined) return undefined;
  const { topicId } = topic;
  const partition = groupPartitionOf(groupIdOf(random.chance(SECOND_CHANCE) ? 1 : 0), topic.partitions);
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

/** The first write of another owner reaches the leader; it acknowledges it. */
function fenceOf(
  stage: Stage,
  { topicId, partition, writerEpoch, leader }: Journal,
): { readonly asked: Promise<string>; readonly answered: Promise<string> } {
  const { network } = stage.world;
  const asked = Promise.withResolvers<string>();
  const answered = Promise.withResolvers<string>();
  const correlationIds = new Map<Call, number>();
  const isFence = (batch: ProduceBatch): boolean =>
    batch.topicId === topicId && batch.partition === partition && (batch.writerEpoch ?? 0n) > writerEpoch;
  network.watch((call, bytes) => {
    if (call.server !== leader.name || call.path !== methods.produce.path) return false;
    const fence = methods.produce.request.decode(bytes).batches.find(isFence);
    if (fence === undefined) return false;
    correlationIds.set(call, fence.correlationId);
    asked.resolve(call.client);
    return true;
  });
  const { onAnswered } = network;
  network.onAnswered = (call, message) => {
    onAnswered?.(call, message);
    const correlationId = correlationIds.get(call);
    if (correlationId === undefined || call.path !== methods.produce.path) return;
    const { results } = methods.produce.response.decode(message.bytes());
    if (!results.some((each) => each.correlationId === correlationId && each.errorCode === 0)) return;
    correlationIds.delete(call);
    answered.resolve(call.client);
  };
  return { asked: asked.promise, answered: answered.promise };
}

/** The new owner's question for the journal has reached the leader. */
function openedBy(stage: Stage, { topicId, partition, leader }: Journal, machine: string): Promise<true> {
  const { promise, resolve } = Promise.withResolvers<true>();
  stage.world.network.watch((call, bytes) => {
    if (call.client !== machine || call.server !== leader.name || call.path !== methods.fetch.path) return false;
    const request = methods.fetch.request.decode(bytes);
    const isIt = request.open.some((each) => each.topicId === topicId && each.partition === partition);
    if (isIt) resolve(true);
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
