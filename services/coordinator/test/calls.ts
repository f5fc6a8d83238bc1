/** What the tests ask coordinators and brokers for. */
import { errorName } from '@tributary/model';
import { methods } from '@tributary/wire';
import { context, type Scene, type TestMember } from './scene.ts';

export const commitOf = (topicId: string, partition: number, offset: bigint) => ({
  topicId,
  partition,
  offset,
  leaderEpoch: -1,
  metadata: '',
});

export async function commit(
  scene: Scene,
  member: TestMember | undefined,
  groupId: string,
  offsets: ReturnType<typeof commitOf>[],
) {
  const request = {
    context,
    groupId,
    memberId: member?.memberId ?? '',
    memberEpoch: member?.epoch ?? 0,
    offsets,
    sequence: 0n,
    validateOnly: false,
  };
  const { results } = await scene.asked(groupId, methods.commitOffsets, request);
  return results.map(({ errorCode }) => (errorCode === 0 ? 'done' : errorName(errorCode)));
}

export async function fetched(scene: Scene, groupId: string) {
  const request = { context, groupId, partitions: [], memberId: '', memberEpoch: 0 };
  const { offsets } = await scene.asked(groupId, methods.fetchOffsets, request);
  return offsets.map(({ partition, offset }) => `${partition}: ${offset}`).sort();
}

export async function publish(scene: Scene, topic: string, partition: number, count: number): Promise<void> {
  const records = Array.from({ length: count }, () => ({
    key: undefined,
    value: Buffer.from('x'),
    headers: [],
    timestampMs: undefined,
    partition,
  }));
  const request = { context: { ...context, hops: 0 }, topic, records, partition: undefined, acks: 3, timeoutMs: 0 };
  await scene.broker.unary(methods.publish, { ...request, acks: 3, sequence: undefined }, { deadlineMs: 10_000 });
}
