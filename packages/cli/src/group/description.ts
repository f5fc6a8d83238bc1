/** A group as its coordinator describes it, in the columns that people know from Kafka's tools. */
import type { GroupDescription, GroupMember, GroupPartitionLag } from '@tributary/client';

/** Stands where there is nothing, as in Kafka's tools. */
const none = '-';

export const offsetsHead = [
  'GROUP',
  'TOPIC',
  'PARTITION',
  'CURRENT-OFFSET',
  'LOG-END-OFFSET',
  'LAG',
  'LAG-SECONDS',
  'STATE',
  'CONSUMER-ID',
  'HOST',
  'CLIENT-ID',
] as const;

export function offsetRows({ groupId, members, partitions }: GroupDescription): readonly (readonly string[])[] {
  const byId = new Map(members.map((member) => [member.memberId, member]));
  return partitions.map((partition) => {
    const owner = partition.memberId === undefined ? undefined : byId.get(partition.memberId);
    return [
      groupId,
      partition.topic,
      String(partition.partition),
      orNone(partition.committedOffset),
      orNone(partition.highWatermark),
      orNone(partition.lag),
      secondsText(partition),
      partition.state,
      orNone(partition.memberId),
      orNone(owner?.host),
      orNone(owner?.clientId),
    ];
  });
}

export const membersHead = [
  'GROUP',
  'CONSUMER-ID',
  'INSTANCE-ID',
  'HOST',
  'CLIENT-ID',
  '#PARTITIONS',
  'EPOCH',
  'STATE',
  'ASSIGNMENT',
] as const;

export function memberRows({ groupId, members }: GroupDescription): readonly (readonly string[])[] {
  return members.map((member) => [
    groupId,
    member.memberId,
    orNone(member.instanceId),
    orNone(member.host),
    orNone(member.clientId),
    String(member.assigned.length),
    String(member.memberEpoch),
    memberState(member),
    orNone(assignmentText(member)),
  ]);
}

/** What is the matter with it; `ok`: nothing. */
function memberState({ connected, stalled, revoking }: GroupMember): string {
  if (stalled) return 'stalled';
  if (!connected) return 'disconnected';
  return revoking.length > 0 ? 'revoking' : 'ok';
}

/** `orders[0-2,5], payments[1]` */
export function assignmentText({ assigned }: Pick<GroupMember, 'assigned'>): string {
  const byTopic = new Map<string, number[]>();
  for (const { topic, partition } of assigned) byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition]);
  return [...byTopic]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([topic, partitions]) => `${topic}[${ranges(partitions)}]`)
    .join(', ');
}

function ranges(partitions: readonly number[]): string {
  const found: { readonly first: number; last: number }[] = [];
  for (const partition of partitions.toSorted((a, b) => a - b)) {
    const open = found.at(-1);
    if (open !== undefined && open.last === partition - 1) open.last = partition;
    else found.push({ first: partition, last: partition });
  }
  return found.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}

/** One sentence for the group as a whole. */
export function headline(group: GroupDescription): string {
  const { groupId, phase, members, assignor, coordinator, coordinatorAddress, groupEpoch } = group;
  const count = members.length === 1 ? '1 member' : `${members.length} members`;
  const how = assignor === '' ? '' : `, assignor ${assignor}`;
  return `Group ${groupId}: ${phase}, ${count}${how}, epoch ${groupEpoch}, coordinator ${coordinator} at ${coordinatorAddress}.`;
}

/** `~` before what is estimated. */
function secondsText({ lagSeconds, lagSecondsEstimated }: GroupPartitionLag): string {
  if (lagSeconds === undefined) return none;
  const digits = lagSeconds > 0 && lagSeconds < 10 ? 1 : 0;
  return `${lagSecondsEstimated ? '~' : ''}${lagSeconds.toFixed(digits)}`;
}

export function orNone(value: string | bigint | number | undefined): string {
  return value === undefined || value === '' ? none : String(value);
}

/** For programs: as numbers, with null where there is nothing. */
export function groupJson(group: GroupDescription, warnings: readonly string[]) {
  const { groupId, phase, groupEpoch, assignmentEpoch, assignor, assignorError, coordinator, coordinatorAddress } =
    group;
  const { members, partitions, expiresMs } = group;
  return {
    group: groupId,
    state: phase,
    groupEpoch,
    assignmentEpoch,
    assignor,
    assignorError: assignorError ?? null,
    coordinator,
    coordinatorAddress,
    expires: expiresMs ?? null,
    members: members.map((member) => ({
      id: member.memberId,
      instanceId: member.instanceId ?? null,
      clientId: member.clientId,
      host: member.host,
      rack: member.rack ?? null,
      epoch: member.memberEpoch,
      topics: member.topics,
      topicPattern: member.topicPattern ?? null,
      assigned: member.assigned,
      target: member.target,
      revoking: member.revoking,
      stalled: member.stalled,
      connected: member.connected,
      silentMs: member.silentMs,
    })),
    partitions: partitions.map((partition) => ({
      topic: partition.topic,
      partition: partition.partition,
      currentOffset: numberOrNull(partition.committedOffset),
      metadata: partition.metadata,
      committed: partition.committedMs ?? null,
      logStartOffset: numberOrNull(partition.logStartOffset),
      logEndOffset: numberOrNull(partition.highWatermark),
      lag: numberOrNull(partition.lag),
      lagBytes: partition.lagBytes ?? null,
      lagSeconds: partition.lagSeconds ?? null,
      lagSecondsEstimated: partition.lagSecondsEstimated,
      state: partition.state,
      consumerId: partition.memberId ?? null,
      secondsToLoss: partition.secondsToLoss ?? null,
      error: partition.error?.message ?? null,
    })),
    warnings,
  };
}

const numberOrNull = (value: bigint | undefined): number | null => (value === undefined ? null : Number(value));
